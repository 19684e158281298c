package faulttest_test

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/store"
)

// failures collects the failures of a world.
type failures struct {
	*testing.T
	mu   sync.Mutex
	text []string
}

func (f *failures) Errorf(format string, values ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.text = append(f.text, fmt.Sprintf(format, values...))
}

// mutant is a store that breaks the contract on purpose.
type mutant struct {
	*flaky
	broken atomic.Bool

	revoke  func(ctx context.Context, r store.Revocation) (store.Snapshot, error)
	advance func(ctx context.Context, a store.Advance) (store.Snapshot, error)
	reissue func(ctx context.Context, r store.Reissue) (store.Snapshot, error)
	commit  func(ctx context.Context, c store.Commit) (store.Snapshot, error)
	since   func(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error)
}

func (m *mutant) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	if m.revoke != nil && m.broken.Load() {
		return m.revoke(ctx, r)
	}
	return m.flaky.Revoke(ctx, r)
}
func (m *mutant) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	if m.advance != nil && m.broken.Load() {
		return m.advance(ctx, a)
	}
	return m.flaky.Advance(ctx, a)
}
func (m *mutant) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	if m.reissue != nil && m.broken.Load() {
		return m.reissue(ctx, r)
	}
	return m.flaky.Reissue(ctx, r)
}
func (m *mutant) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	if m.commit != nil && m.broken.Load() {
		return m.commit(ctx, c)
	}
	return m.flaky.Commit(ctx, c)
}
func (m *mutant) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if m.since != nil && m.broken.Load() {
		return m.since(ctx, after, limit, wait)
	}
	return m.flaky.Since(ctx, after, limit, wait)
}

// forgetting acknowledges a revocation without writing it.
func forgetting(m *mutant) {
	m.revoke = func(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
		c, err := m.Store.Cutoffs(ctx, store.ID{}, "")
		return store.Snapshot{Outcome: store.Written, Head: c.Head, Entry: c.Head, Log: c.Log, Now: c.Now}, err
	}
}

// A store that breaks a promise is caught, with the message for that promise. The
// worlds mostly wait, so all run at once.
func TestTheObserverCatches(t *testing.T) {
	t.Parallel()
	var worlds sync.WaitGroup
	defer worlds.Wait()
	for name, c := range map[string]struct {
		mutate  func(m *mutant)
		restart bool          // a node, again and again
		lasts   time.Duration // of the world; 0: until a promise is broken
		want    string
		or      string // what else it may be caught by
	}{
		"nothing": {mutate: func(*mutant) {}, restart: true, lasts: 2500 * time.Millisecond},
		"a store that forgets acknowledged revocations": {mutate: forgetting, want: "promise 1: accepted"},
		"and the node that acknowledged is restarted":   {mutate: forgetting, restart: true, want: "promise 1: accepted"},
		"a Since that leaves revocations out": {mutate: func(m *mutant) {
			m.since = func(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
				b, err := m.Store.Since(ctx, after, limit, wait)
				b.Entries = slices.Clone(b.Entries)
				for i := range b.Entries {
					b.Entries[i].Kind, b.Entries[i].Session, b.Entries[i].Subject = store.KindSuperseding, store.ID{1}, ""
				}
				return b, err
			}
		}, want: "promise 1: accepted"},
		// wafer itself detects these, and then trusts no newer cookie.
		"a Since that is stale and looks fresh": {mutate: func(m *mutant) {
			m.since = func(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
				time.Sleep(wait)
				c, err := m.Store.Cutoffs(ctx, store.ID{}, "")
				return store.Batch{Log: c.Log, Head: after.Position, HeadID: after.ID, Floor: min(c.Floor, after.Position), Now: c.Now}, err
			}
		}, want: "promise 9: an honest browser is logged out"},
		"a store that says absent": {mutate: func(m *mutant) {
			m.advance = func(ctx context.Context, a store.Advance) (store.Snapshot, error) {
				c, err := m.Store.Cutoffs(ctx, store.ID{}, "")
				return store.Snapshot{State: store.Absent, Head: c.Head, Log: c.Log, Now: c.Now}, err
			}
		}, want: "promise 9: an honest browser is logged out"},
		"a refresh that skips a generation": {mutate: func(m *mutant) {
			m.advance = func(ctx context.Context, a store.Advance) (store.Snapshot, error) {
				a.Age = 0
				m.Store.Advance(ctx, a)
				a.Generation++
				m.Store.Advance(ctx, a)
				return m.Store.Family(ctx, a.ID)
			}
		}, want: "promise 9: an honest browser is reported as a thief"},
		"a revocation that ends more than it names": {mutate: func(m *mutant) {
			m.revoke = func(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
				if r.Except == nil {
					r.Subjects = append(r.Subjects, "resident0")
				}
				return m.Store.Revoke(ctx, r)
			}
		}, want: "promise 9: an honest browser is logged out"},
		"a commit whose value is an older one": {mutate: func(m *mutant) {
			m.commit = func(ctx context.Context, c store.Commit) (store.Snapshot, error) {
				old, err := m.Store.Family(ctx, c.ID)
				if err == nil && old.Family.Value != nil {
					c.Value = old.Family.Value
				}
				return m.Store.Commit(ctx, c)
			}
		}, want: "its data is"},
		"a commit that supersedes nothing": {mutate: func(m *mutant) {
			m.commit = func(ctx context.Context, c store.Commit) (store.Snapshot, error) {
				snap, err := m.Store.Family(ctx, c.ID)
				if err == nil && snap.State == store.Alive {
					snap.Outcome, snap.Entry = store.Written, snap.Head
				}
				return snap, err
			}
		}, want: "its data is", or: "an honest browser is logged out"}, // one that has forgotten its session cookie
		"a store that does not come back": {mutate: func(m *mutant) {
			go func() {
				time.Sleep(200 * time.Millisecond)
				m.down.Store(true)
			}()
		}, lasts: time.Second, want: "after the fault all is not well"},
	} {
		worlds.Go(func() {
			t.Run(name, func(t *testing.T) {
				f := &failures{T: t}
				m := &mutant{flaky: newFlaky()}
				c.mutate(m)
				lasts := c.lasts
				if lasts == 0 {
					lasts = time.Minute
				}
				recovery := 2 * time.Second // of what does not recover
				if c.want == "" {
					recovery = 0 // the default: the machine may be busy
				}
				w := faulttest.New(f, faulttest.Config{
					Open:      func(int) (store.Store, io.Closer, error) { return m, nil, nil },
					Residents: 3, Guests: 6, Recovery: recovery, Access: 2 * time.Second, Grace: 500 * time.Millisecond, StoreTimeout: 150 * time.Millisecond,
				})
				w.Run(func() {
					time.Sleep(300 * time.Millisecond)
					m.broken.Store(true)
					for began := time.Now(); time.Since(began) < lasts && w.Broken() == 0; time.Sleep(50 * time.Millisecond) {
						if c.restart {
							w.Restart(0)
						}
					}
				})
				f.mu.Lock()
				defer f.mu.Unlock()
				caught := strings.Join(f.text, "\n\n")
				switch {
				case c.want == "" && caught != "":
					t.Errorf("nothing is broken, and it fails with:\n%s", caught)
				case !strings.Contains(caught, c.want) && (c.or == "" || !strings.Contains(caught, c.or)):
					t.Errorf("it was not caught by %q, but by: %s", c.want, caught)
				}
			})
		})
	}
}

// However many answers are lost, each in turn or several in a row, the browser is not
// logged out and nothing has to be excused.
func TestLostAnswersNeedNoExcuse(t *testing.T) { synctest.Test(t, lostAnswers) }

func lostAnswers(t *testing.T) {
	const access, grace = 1600 * time.Millisecond, 300 * time.Millisecond
	m := &mutant{flaky: newFlaky()}
	m.advance = func(ctx context.Context, a store.Advance) (store.Snapshot, error) {
		m.Store.Advance(ctx, a)
		return store.Snapshot{}, errLost
	}
	m.reissue = func(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
		m.Store.Reissue(ctx, r)
		return store.Snapshot{}, errLost
	}
	w := faulttest.New(t, faulttest.Config{
		Open:   func(int) (store.Store, io.Closer, error) { return m, nil, nil },
		Access: access, Grace: grace, StoreTimeout: 100 * time.Millisecond,
	})
	b := w.Browser("alice")
	do := func(act string, lost bool, want int) {
		t.Helper()
		m.broken.Store(lost)
		if got := b.Do(0, act); got != want {
			t.Errorf("%s, its answer lost %v: %d, want %d", act, lost, got, want)
		}
	}
	do("start", false, 200)
	do("commit", false, 200)
	for lost := range 5 {
		time.Sleep(access / 2)
		for range lost {
			do("forget", true, 503)
			time.Sleep(grace)
		}
		do("forget", false, 200)
	}
	if w.Excused() != 0 {
		t.Errorf("%d excused", w.Excused())
	}
}

// Latency measures the delay of entries, and ReadsCost counts the calls of the store
// by a read on a node that receives no entries.
func TestMeasures(t *testing.T) { synctest.Test(t, measures) }

func measures(t *testing.T) {
	const delay = 200 * time.Millisecond
	m := &mutant{flaky: newFlaky()}
	var silent atomic.Bool
	m.since = func(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
		b, err := m.Store.Since(ctx, after, limit, wait)
		time.Sleep(delay)
		if silent.Load() {
			err = errLost
		}
		return b, err
	}
	w := faulttest.New(t, faulttest.Config{Open: func(int) (store.Store, io.Closer, error) { return m, nil, nil }})
	if calls, cookies := w.ReadsCost(200, nil); calls+cookies != 0 {
		t.Errorf("600 reads took %d calls of the store and %d cookies", calls, cookies)
	}
	prompt := w.Latency(5)
	m.broken.Store(true)
	time.Sleep(time.Second)
	late := w.Latency(5)
	if len(prompt) != 10 || len(late) != 10 {
		t.Fatalf("%d and %d durations, want 10", len(prompt), len(late))
	}
	if p, l := faulttest.Percentile(prompt, 50), faulttest.Percentile(late, 50); l-p < delay/2 {
		t.Errorf("the median is %v, and %v if entries are %v late", p, l, delay)
	}
	silent.Store(true)
	time.Sleep(1500 * time.Millisecond) // past MaxStaleness
	if calls, _ := w.ReadsCost(10, nil); calls < 30 {
		t.Errorf("30 reads without entries took %d calls of the store, want one each", calls)
	}
}
