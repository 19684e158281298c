package peers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// fleet is a store and the reports of the nodes that use it.
type fleet struct {
	*testing.T
	db      *memory.Store
	mu      sync.Mutex
	reports []string
	down    atomic.Bool
}

func (f *fleet) report(text string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, text)
}

// node returns the configuration of a node.
func (f *fleet) node(name string, change func(*Config)) Config {
	c := Config{
		Announce: func(ctx context.Context, a store.Announcement) (store.Peers, error) {
			if f.down.Load() {
				return store.Peers{}, errors.New("down")
			}
			return f.db.Announce(ctx, a)
		},
		Announcement: store.Announcement{Access: time.Minute, Absolute: time.Hour, Realm: "shop", Instance: "session"},
		Settings:     []Setting{{"Access", "5m0s"}, {"MaxStaleness", "30s"}},
		Ring:         func() (store.ID, uint64) { return store.ID{7}, 3 },
		Timeout:      time.Second, Now: time.Now,
		Alarm:  func(reason string) { f.report(name + " alarm: " + reason) },
		Inform: func(reason string) { f.report(name + " inform: " + reason) },
	}
	if change != nil {
		change(&c)
	}
	return c
}

func (f *fleet) start(id byte, c Config) *Peers {
	f.Helper()
	p, err := New(f.Context(), store.ID{id}, c)
	if err != nil {
		f.Fatal(err)
	}
	p.Start()
	return p
}

// wantReports compares the beginnings of the reports so far with those wanted, in
// any order, and forgets them.
func (f *fleet) wantReports(want ...string) {
	f.Helper()
	synctest.Wait()
	f.mu.Lock()
	defer f.mu.Unlock()
	slices.Sort(f.reports)
	slices.Sort(want)
	if !slices.EqualFunc(f.reports, want, strings.HasPrefix) {
		f.Errorf("reports %q, want %q", f.reports, want)
	}
	f.reports = nil
}

func test(t *testing.T, body func(f *fleet)) {
	synctest.Test(t, func(t *testing.T) { body(&fleet{T: t, db: memory.New(memory.Options{})}) })
}

// Nodes with the same settings report nothing, whatever happens to the store.
func TestNodesThatAgree(t *testing.T) {
	test(t, func(f *fleet) {
		for id := range byte(3) {
			defer f.start(id+1, f.node(fmt.Sprint(id), nil)).Close()
		}
		time.Sleep(30 * time.Minute)
		f.down.Store(true)
		time.Sleep(30 * time.Minute)
		f.down.Store(false)
		time.Sleep(30 * time.Minute)
		f.wantReports()
	})
}

// A setting that differs is reported by each node, with both values, and again
// after an hour while it lasts.
func TestASettingDiffers(t *testing.T) {
	test(t, func(f *fleet) {
		defer f.start(1, f.node("a", nil)).Close()
		b := f.start(2, f.node("b", func(c *Config) {
			c.Settings = []Setting{{"Access", "5m0s"}, {"MaxStaleness", "10s"}, {"Newer", "1"}}
		}))
		f.wantReports("b alarm: nodes differ in MaxStaleness: 10s here, 30s on another")
		time.Sleep(50 * time.Minute)
		f.wantReports("a alarm: nodes differ in MaxStaleness: 30s here, 10s on another")
		time.Sleep(20 * time.Minute)
		f.wantReports("a alarm: nodes differ in MaxStaleness", "b alarm: nodes differ in MaxStaleness")
		b.Close()
		time.Sleep(2 * time.Hour)
		f.wantReports()
	})
}

// Another instance on the store is reported once, and its settings may differ.
func TestAnotherInstance(t *testing.T) {
	test(t, func(f *fleet) {
		defer f.start(1, f.node("a", nil)).Close()
		defer f.start(2, f.node("b", func(c *Config) {
			c.Announcement.Instance, c.Settings = "staff", []Setting{{"Access", "1m0s"}}
		})).Close()
		time.Sleep(3 * time.Hour)
		f.wantReports(`a inform: other nodes use the store for the session cookie "staff"`, `b inform: other nodes use the store for the session cookie "session"`)
	})
}

// A node whose key set stays behind is reported; one that is behind for a minute
// is not.
func TestTheRingStaysBehind(t *testing.T) {
	test(t, func(f *fleet) {
		var version, slow atomic.Uint64
		version.Store(3)
		slow.Store(3)
		defer f.start(1, f.node("a", func(c *Config) { c.Ring = func() (store.ID, uint64) { return store.ID{7}, version.Load() } })).Close()
		defer f.start(2, f.node("b", func(c *Config) { c.Ring = func() (store.ID, uint64) { return store.ID{7}, slow.Load() } })).Close()
		time.Sleep(10 * time.Minute)
		version.Store(4)
		time.Sleep(2 * time.Minute)
		slow.Store(4)
		time.Sleep(20 * time.Minute)
		f.wantReports()
		version.Store(5)
		time.Sleep(20 * time.Minute)
		f.wantReports("a alarm: nodes have had different versions of the key set for minutes: 5 here, 4 on another",
			"b alarm: nodes have had different versions of the key set for minutes: 4 here, 5 on another")
	})
}

// A store that belongs to another realm or key set is refused, with what to do.
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Config)
		want   error
		text   string
	}{
		"another realm": {func(c *Config) { c.Announcement.Realm = "office" }, ErrRealm, `belongs to "shop", and this node's is "office"`},
		"another ring":  {func(c *Config) { c.Ring = func() (store.ID, uint64) { return store.ID{8}, 9 } }, ErrRing, "wafer keys adopt"},
		"an older ring": {func(c *Config) { c.Ring = func() (store.ID, uint64) { return store.ID{7}, 2 } }, ErrRing, "this node's is version 2"},
		"static":        {func(c *Config) { c.Ring = func() (store.ID, uint64) { return store.ID{}, 0 } }, nil, ""},
		"a newer ring":  {func(c *Config) { c.Ring = func() (store.ID, uint64) { return store.ID{7}, 4 } }, nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			test(t, func(f *fleet) {
				f.start(1, f.node("a", nil)).Close()
				_, err := New(f.Context(), store.ID{2}, f.node("b", c.change))
				if !errors.Is(err, c.want) || err != nil && !strings.Contains(err.Error(), c.text) {
					t.Errorf("%v, want %v with %q", err, c.want, c.text)
				}
			})
		})
	}
}

// A store that an operator gives to another realm while the node runs is reported.
func TestTheStoreIsGivenAway(t *testing.T) {
	test(t, func(f *fleet) {
		defer f.start(1, f.node("a", nil)).Close()
		if _, err := f.db.Announce(f.Context(), store.Announcement{Realm: "office", Adopt: true}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Minute)
		f.wantReports("a alarm: the store belongs to another realm")
	})
}

// An outage at the start is an error that is neither of the others.
func TestOutageAtTheStart(t *testing.T) {
	test(t, func(f *fleet) {
		f.down.Store(true)
		if _, err := New(f.Context(), store.ID{1}, f.node("a", nil)); err == nil || errors.Is(err, ErrRealm) || errors.Is(err, ErrRing) {
			t.Errorf("%v, want an outage", err)
		}
	})
}

// Settings from another node may be any text.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{"", "Access=5m\n", "=\n", "a=b=c", "\n\n=x\ny"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		parsed := Parse(text)
		var again []Setting
		for name, value := range parsed {
			again = append(again, Setting{name, value})
		}
		if fmt.Sprint(Parse(format(again))) != fmt.Sprint(parsed) {
			t.Errorf("%q is parsed as %v, and that as %v", text, parsed, Parse(format(again)))
		}
	})
}
