package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// ringPoll is the longest interval between two reads of a ring's source by a
// node.
const ringPoll = time.Minute

// openKeeper seals nothing and keeps every document in clear, so that a test
// can search for its secrets. It counts the documents that it is asked to open.
type openKeeper struct {
	mu      sync.Mutex
	plain   [][]byte
	decrypt int
}

func (k *openKeeper) Encrypt(_ context.Context, b []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.plain = append(k.plain, bytes.Clone(b))
	return bytes.Clone(b), nil
}

func (k *openKeeper) Decrypt(_ context.Context, b []byte) ([]byte, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.decrypt++
	return bytes.Clone(b), nil
}

func (k *openKeeper) decrypts() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.decrypt
}

// secrets returns each secret that was ever sealed, in the textual forms that
// could leak.
func (k *openKeeper) secrets(t *testing.T) (all []string) {
	for _, plain := range k.plain {
		var d struct{ Keys []struct{ Secret []byte } }
		if err := json.Unmarshal(plain, &d); err != nil {
			t.Fatal(err)
		}
		for _, key := range d.Keys {
			all = append(all, string(key.Secret), base64.StdEncoding.EncodeToString(key.Secret)[:16])
		}
	}
	return all
}

// watchedRing is a ring in a file, the operator's handle on it, and nodes that
// follow it.
type watchedRing struct {
	*testing.T
	path     string
	source   keyring.Source
	keeper   *openKeeper
	operator *keyring.Ring
	mem      *memory.Store
}

func newWatchedRing(t *testing.T, schedule keyring.Schedule) *watchedRing {
	t.Helper()
	w := &watchedRing{T: t, path: filepath.Join(t.TempDir(), "ring"), keeper: new(openKeeper), mem: memory.New(memory.Options{})}
	w.source = keyring.File(w.path)
	var err error
	if w.operator, err = keyring.Create(t.Context(), w.source, w.keeper, time.Now(), schedule); err != nil {
		t.Fatal(err)
	}
	return w
}

// ringNode is a node of a watchedRing.
type ringNode struct {
	*wafer.Sessions[basket]
	t    *testing.T
	ring *keyring.Ring

	mu     sync.Mutex
	events []wafer.Event
}

func (w *watchedRing) node() *ringNode {
	w.Helper()
	n := &ringNode{t: w.T}
	var err error
	if n.ring, err = keyring.Open(w.Context(), w.source, w.keeper); err != nil {
		w.Fatal(err)
	}
	n.Sessions, err = wafer.New(w.Context(), n.ring, w.mem, wafer.Config[basket]{Realm: testRealm, MaxStaleness: 10 * time.Minute, Observe: func(e wafer.Event) {
		if e.Kind == wafer.KindKeys || e.Kind == wafer.KindAlarm {
			n.mu.Lock()
			n.events = append(n.events, e)
			n.mu.Unlock()
		}
	}})
	if err != nil {
		w.Fatal(err)
	}
	return n
}

// reports lets time pass and fails the test unless the node's events in that
// time match exactly these, in any order. Each is a kind and a pattern of the
// reason.
func (n *ringNode) reports(d time.Duration, want ...string) {
	n.t.Helper()
	time.Sleep(d)
	synctest.Wait()
	n.mu.Lock()
	events := n.events
	n.events = nil
	n.mu.Unlock()
	left := make(map[int]bool)
	for i := range events {
		left[i] = true
	}
	for _, pattern := range want {
		found := false
		for i, e := range events {
			if left[i] && regexp.MustCompile("^"+pattern+"$").MatchString(string(e.Kind)+": "+e.Reason) {
				found = true
				delete(left, i)
				break
			}
		}
		if !found {
			n.t.Errorf("no report matches %q", pattern)
		}
	}
	if len(left) > 0 || n.t.Failed() {
		n.t.Fatalf("in %v there were %v; wanted %q", d, events, want)
	}
}

// nextKey returns the published next key.
func nextKey(t *testing.T, set *keyring.Set, now time.Time) *keyring.Key {
	t.Helper()
	for _, k := range set.Keys() {
		if _, revoked := k.Revocation(); !revoked && k.Activates().After(now) {
			return k
		}
	}
	t.Fatalf("no next key in %v", set)
	return nil
}

func primaryOf(t *testing.T, ring *keyring.Ring) keyring.ID {
	t.Helper()
	k, err := ring.Primary(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return k.ID()
}

// Every change of the keys is reported to operators once.
func TestRingWatchTells(t *testing.T) {
	const day = 24 * time.Hour
	synctest.Test(t, func(t *testing.T) {
		w := newWatchedRing(t, keyring.Schedule{Seals: 8 * day, Life: 4 * day})
		n := w.node()
		defer n.Close()
		first, next := primaryOf(t, n.ring), nextKey(t, n.ring.Set(), time.Now())
		n.reports(3 * time.Hour)

		change := func(changed bool, err error) {
			t.Helper()
			if err != nil || !changed {
				t.Fatal(changed, err)
			}
		}
		change(w.operator.Rotate(t.Context(), time.Now(), 0))
		n.reports(ringPoll, "keys: key "+next.ID().String()+" is to seal from 2000-01-01T04:00:00Z, which was changed")
		if primaryOf(t, n.ring) != first {
			t.Error("the next key seals before every node can know it")
		}
		n.reports(2*time.Hour, "keys: key "+next.ID().String()+" seals now")

		// Nothing rotates: an alarm in the last quarter, once an hour.
		n.reports(5 * day)
		time.Sleep(time.Until(nextAt(t, n.ring).Add(6*day + ringPoll)))
		n.reports(0, "alarm: no next key is published, and key "+next.ID().String()+" should hand over in (48h0m0s|47h59m0s): nothing rotates the ring")
		n.reports(3*time.Hour-2*ringPoll, "alarm: no next key .*", "alarm: no next key .*")
		change(w.operator.Rotate(t.Context(), time.Now(), w.operator.Set().Schedule().Seals))
		third := nextKey(t, w.operator.Set(), time.Now())
		n.reports(3*time.Hour, "keys: key "+third.ID().String()+" is published, to seal from 2000-01-09T04:00:00Z")
		n.reports(2*day, "keys: key "+third.ID().String()+" seals now")
		time.Sleep(time.Until(nextAt(t, n.ring).Add(8*day + ringPoll)))
		n.mu.Lock()
		last := n.events[len(n.events)-1]
		n.events = nil
		n.mu.Unlock()
		if last.Kind != wafer.KindAlarm || !strings.Contains(last.Reason, "should have handed over") && !strings.Contains(last.Reason, "should hand over in") {
			t.Errorf("past its time: %v", last)
		}
		n.reports(time.Hour+ringPoll, "alarm: no next key is published, and key "+third.ID().String()+" should have handed over .* ago: nothing rotates the ring")

		// A revocation of the primary without a next key, so a fresh one seals.
		change(w.operator.Revoke(t.Context(), time.Now(), third.ID(), "seen on a stick"))
		n.reports(ringPoll, "keys: key "+third.ID().String()+" is revoked: seen on a stick",
			"keys: key .* is published, to seal from .*", "keys: key .* is published, to seal from .*", "keys: key .* seals now")
		if got, want := primaryOf(t, n.ring), primaryOf(t, w.operator); got != want {
			t.Errorf("the node seals under %v, the operator says %v", got, want)
		}
		n.reports(3 * time.Hour)

		// The source fails: reported when it begins, while it lasts, and when
		// it ends.
		good, err := os.ReadFile(w.path)
		if err != nil {
			t.Fatal(err)
		}
		put := func(b []byte) {
			t.Helper()
			if err := os.WriteFile(w.path, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		put([]byte("not a ring file\n"))
		n.reports(29*time.Minute, "keys: the ring could not be read; .*")
		n.reports(4*time.Minute, "alarm: the ring could not be read for 3[01]m0s: .*")
		n.reports(140*time.Minute, "alarm: the ring could not be read for 1h.*", "alarm: the ring could not be read for 2h.*")
		put(good)
		n.reports(3*time.Hour, "keys: the ring is read again")
		put([]byte("not a ring file\n"))
		n.reports(2*ringPoll, "keys: the ring could not be read; .*")
		put(good)
		n.reports(2*ringPoll, "keys: the ring is read again")

		// A document that was rolled back, as in a restored backup.
		change(w.operator.Rotate(t.Context(), time.Now(), 0))
		n.reports(ringPoll, "keys: key .* is to seal from .*, which was changed")
		newest, _ := os.ReadFile(w.path)
		version := n.ring.Set().Version()
		put(good)
		n.reports(20*time.Minute, "alarm: the ring's source has lost a key set that this node holds and goes on with")
		if n.ring.Set().Version() != version {
			t.Error("the node went back with its source")
		}
		put(newest)
		n.reports(ringPoll, "keys: the ring is read again")
		if err := os.Remove(w.path); err != nil {
			t.Fatal(err)
		}
		n.reports(20*time.Minute, "alarm: the ring's source has lost .*")
		put(newest)
		n.reports(3*time.Hour, "keys: the ring is read again", "keys: key .* seals now")
	})
}

// nextAt returns when the primary activated.
func nextAt(t *testing.T, ring *keyring.Ring) time.Time {
	t.Helper()
	k, err := ring.Primary(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return k.Activates()
}

// Unknown key ids are counted and reported once an hour, however many come.
func TestRingWatchCountsUnknownKeys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newWatchedRing(t, keyring.Schedule{}).node()
		defer n.Close()
		other := newWatchedRing(t, keyring.Schedule{}).node()
		defer other.Close()
		rec := httptest.NewRecorder()
		if err := other.Start(rec, httptest.NewRequest(http.MethodPost, "https://harness.example/", nil), "alice", basket{}); err != nil {
			t.Fatal(err)
		}
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		for _, c := range rec.Result().Cookies() {
			r.Header.Add("Cookie", c.Name+"="+c.Value)
		}
		ask := func(times int) {
			for range times {
				if _, err := n.Check(r); !errors.Is(err, wafer.ErrNoSession) {
					t.Errorf("under another ring: %v", err)
				}
			}
		}
		ask(1)
		n.reports(2*ringPoll, "keys: 2 credentials named a key that the ring does not have")
		ask(500)
		n.reports(20 * time.Minute)
		n.reports(time.Hour, "keys: 1000 credentials named a key that the ring does not have")
		n.reports(3 * time.Hour)
	})
}

// An operator's change is in force on every node within one poll, and at once
// if the log has an entry that revokes everyone.
func TestRingWatchFollows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWatchedRing(t, keyring.Schedule{})
		nodes := []*ringNode{w.node(), w.node(), w.node()}
		for _, n := range nodes {
			defer n.Close()
		}
		agree := func(what string, patience time.Duration) {
			t.Helper()
			before := time.Now()
			for _, n := range nodes {
				for n.ring.Set().Version() != w.operator.Set().Version() {
					if time.Since(before) > patience {
						t.Fatalf("%s: a node has version %d %v after %d was written", what, n.ring.Set().Version(), patience, w.operator.Set().Version())
					}
					time.Sleep(100 * time.Millisecond)
				}
				if got, want := primaryOf(t, n.ring), primaryOf(t, w.operator); got != want {
					t.Errorf("%s: a node seals under %v, and not %v", what, got, want)
				}
			}
		}
		for range 50 {
			time.Sleep(rand.N(2 * ringPoll))
			if _, err := w.operator.Revoke(t.Context(), time.Now(), primaryOf(t, w.operator), "again"); err != nil {
				t.Fatal(err)
			}
			agree("a revoked key", ringPoll)
		}
		time.Sleep(2 * ringPoll)
		if err := w.operator.RevokeAll(t.Context(), time.Now(), "leaked"); err != nil {
			t.Fatal(err)
		}
		if _, err := nodes[0].Revoke(t.Context(), wafer.Revocation{Everyone: true, Reason: "leaked"}); err != nil {
			t.Fatal(err)
		}
		agree("everyone is revoked", 200*time.Millisecond)

		// The keeper, which may be a paid service, is called for new documents
		// and never for known ones.
		time.Sleep(2 * ringPoll) // two reads at once may both open a new one
		before := w.keeper.decrypts()
		time.Sleep(6 * time.Hour)
		if after := w.keeper.decrypts(); after != before {
			t.Errorf("the keeper opened a document %d times that had not changed", after-before)
		}

		secrets := w.keeper.secrets(t)
		if len(secrets) < 2*50 {
			t.Errorf("%d secrets; the test looks in the wrong place", len(secrets))
		}
		for _, n := range nodes {
			for _, e := range n.events {
				for _, secret := range secrets {
					if strings.Contains(e.Reason, secret) || e.Err != nil && strings.Contains(e.Err.Error(), secret) {
						t.Fatal("an event holds a key")
					}
				}
			}
		}
	})
}

// A ring with a source has one goroutine until Close; a static ring has none.
func TestRingWatchGoroutine(t *testing.T) {
	running := func() int {
		stacks := make([]byte, 1<<20)
		return strings.Count(string(stacks[:runtime.Stack(stacks, true)]), "created by github.com/waferkit/wafer/internal/keywatch.(*Watch).Start ")
	}
	before := running()
	w := newWatchedRing(t, keyring.Schedule{})
	n := w.node()
	if got := running() - before; got != 1 {
		t.Errorf("a ring in a file is watched by %d goroutines, want 1", got)
	}
	static, err := wafer.New(t.Context(), newStaticRing(t), w.mem, wafer.Config[basket]{Realm: testRealm})
	if err != nil {
		t.Fatal(err)
	}
	defer static.Close()
	if got := running() - before; got != 1 {
		t.Errorf("with a static ring beside it there are %d goroutines, want 1", got)
	}
	n.Close()
	if got := running() - before; got != 0 {
		t.Errorf("after Close there are %d goroutines", got)
	}
}
