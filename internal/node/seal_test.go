package node

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

func (w *world) renew(r Renewal) (store.Snapshot, error) {
	c := creation(fresh, "alice")
	c.Renews = &store.Renewal{ID: a, Basis: store.MaxPosition}
	return w.Renew(w.t.Context(), c, r)
}

// Nothing is made of a row that is not as it was sealed: the session is over, and
// operators hear of it. A seal that cannot be verified now is an outage.
func TestPromise2_RenewOfARowThatWasChanged(t *testing.T) {
	wrong := errors.New("forged")
	inBubbles(t, map[string]struct {
		err, want error
		report    string
	}{
		"changed":      {wrong, sentinel.ErrEnded, "alarm 1: a session's row in the store is not as it was sealed"},
		"unverifiable": {fmt.Errorf("%w: down", refresh.ErrUnverifiable), sentinel.ErrUnavailable, "unavailable 1"},
	}, func(t *testing.T, row struct {
		err, want error
		report    string
	}) {
		w := newWorld(t)
		w.verify = func(*store.Family) error { return row.err }
		if _, err := w.renew(Renewal{}); !errors.Is(err, row.want) {
			t.Errorf("%v, want %v", err, row.want)
		}
		w.wantReports(row.report)
		if w.family(fresh).State != store.Absent || w.family(a).State != store.Alive {
			t.Errorf("the new one is %v, the old one %v", w.family(fresh).State, w.family(a).State)
		}
	})
}

// A family that is bound between the reading and the writing has another seal. It
// is read, verified and sealed again, once.
func TestRenewOfAFamilyThatIsBoundMeanwhile(t *testing.T) {
	inBubbles(t, map[string]int{"once": 1, "twice": 2}, func(t *testing.T, times int) {
		w := newWorld(t)
		bound := 0
		w.db.answer(func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			snap, err := perform()
			if bound < times && callOf(ctx).name == "Family" {
				bound++
				b := store.Binding{ID: a, Key: store.Key{7}, Verified: snap.Family.Seal, Seal: store.Seal{byte(bound)}}
				if bound > 1 { // another row, which the store gives the same key
					if _, err := w.db.Store.Commit(t.Context(), store.Commit{ID: a, Basis: store.MaxPosition, Value: []byte("v")}); err != nil {
						t.Fatal(err)
					}
					snap.Family.Seal[1]++
				} else if s, err := w.db.Store.Bind(t.Context(), b); err != nil || s.Outcome != store.Written {
					t.Fatal(s.Outcome, err)
				}
			}
			return snap, err
		})
		snap, err := w.renew(Renewal{})
		w.db.answer(nil)
		if times == 1 {
			if err != nil || snap.Family.Key != (store.Key{7}) || snap.Family.First != a {
				t.Errorf("%+v, %v", snap.Family, err)
			}
			return
		}
		if !errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("%v, want unavailable", err)
		}
	})
}

// A login, and an authentication, are sealed by the engine's clock, whatever this
// node's shows. If the node does not know that clock any more, the store says so,
// and the node seals again.
func TestLoginsAreSealedByTheEnginesClock(t *testing.T) {
	inBubbles(t, map[string]time.Duration{"in step": 0, "within the leeway": leeway, "behind": -time.Hour, "ahead": time.Hour}, func(t *testing.T, off time.Duration) {
		w := newWorld(t)
		w.config.Now = func() time.Time { return time.Now().Add(off) }
		want := 1
		if off.Abs() > leeway {
			want = 2
		}
		for name, start := range map[string]func() (store.Snapshot, error){
			"Start": func() (store.Snapshot, error) { return w.Start(t.Context(), creation(store.ID{9}, "alice")) },
			"Reauthenticate": func() (store.Snapshot, error) {
				return w.renew(Renewal{Reauthenticate: true, Methods: "otp", Level: "2"})
			},
		} {
			w.clock.learn(time.Now(), time.Now()) // as if the node's clock had jumped since
			w.db.made()
			snap, err := start()
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			made := slices.DeleteFunc(w.db.made(), func(c call) bool { return c.name != "Create" })
			if len(made) != want {
				t.Errorf("%s: %d attempts, want %d", name, len(made), want)
			}
			if at := snap.Family.Authenticated; at.Sub(snap.Now).Abs() > leeway {
				t.Errorf("%s: authenticated %v from the engine's time", name, at.Sub(snap.Now))
			}
			if name == "Reauthenticate" && (snap.Family.Methods != "otp" || snap.Family.Level != "2") {
				t.Errorf("%s: %+v", name, snap.Family)
			}
		}
	})
}

// An authentication of another system may be long before the login, and is never
// after it.
func TestStartWithAnEarlierAuthentication(t *testing.T) {
	inBubbles(t, map[string]time.Duration{"a day ago": -24 * time.Hour, "in an hour": time.Hour}, func(t *testing.T, at time.Duration) {
		w := newWorld(t)
		c := creation(fresh, "alice")
		c.Authenticated = time.Now().Add(at)
		snap, err := w.Start(t.Context(), c)
		if err != nil {
			t.Fatal(err)
		}
		if want := snap.Family.Started.Add(min(at, 0)); !snap.Family.Authenticated.Equal(want) {
			t.Errorf("authenticated at %v, want %v", snap.Family.Authenticated, want)
		}
	})
}

// A store that has a thousand dead rows in the way says so, and is asked again.
func TestStartAgain(t *testing.T) {
	inBubbles(t, map[string]int{"some": 3, "for ever": 1 << 30}, func(t *testing.T, times int) {
		w := newWorld(t)
		left := times
		w.db.answer(func(_ context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			if left--; left >= 0 {
				return store.Snapshot{Outcome: store.Again, Now: time.Now()}, nil
			}
			return perform()
		})
		_, err := w.Start(t.Context(), creation(fresh, "alice"))
		if made := len(w.db.made()); times == 3 && (err != nil || made != 4) || times > 3 && (!errors.Is(err, sentinel.ErrUnavailable) || made != maxTurns) {
			t.Errorf("%v after %d calls", err, made)
		}
	})
}

// A name's sessions end in as many calls as it takes, all with the id of the first.
func TestRevokeName(t *testing.T) {
	inBubbles(t, map[string]int{"a page": 3, "several": store.MaxEntries + 10}, func(t *testing.T, bearers int) {
		w := newWorld(t)
		name, err := store.NameOf("https://idp.example|sid:1")
		if err != nil {
			t.Fatal(err)
		}
		for i := range bearers {
			c := creation(store.ID{20, byte(i), byte(i >> 8)}, "alice")
			c.Names = []store.Name{name}
			if snap, err := w.Start(t.Context(), c); err != nil || snap.Outcome != store.Written {
				t.Fatal(snap.Outcome, err)
			}
		}
		w.db.made()
		last, ended, err := w.RevokeName(t.Context(), name, store.ID{}, "logged out there", "idp")
		if err != nil || ended != bearers || last != w.db.head() {
			t.Errorf("%d ended, the last at %d of %d, %v", ended, last, w.db.head(), err)
		}
		var ids []store.ID
		for _, c := range w.db.made() {
			if c.name == "Revoke" {
				ids = append(ids, c.revocation.ID)
			}
		}
		if len(ids) != 1+bearers/store.MaxEntries || ids[0].IsZero() || len(slices.Compact(ids)) != 1 {
			t.Errorf("calls with the ids %v", ids)
		}
		if w.family(a).State != store.Alive {
			t.Error("a session without the name ended too")
		}
		if w.family(store.ID{20}).State != store.Ended || w.verdict(store.ID{20}, last).String() != "revoked" {
			t.Errorf("the first is %v and %v here", w.family(store.ID{20}).State, w.verdict(store.ID{20}, last))
		}
	})
}

// Many renewals of one session at once, each of which has read and verified the
// same row, make one successor. The others find the session ended.
func TestPromise3_RenewalsAtOnceMakeOneSuccessor(t *testing.T) {
	w := newWorld(t)
	var all sync.WaitGroup
	var made, ended atomic.Int64
	for i := range 32 {
		all.Go(func() {
			c := creation(store.ID{60, byte(i)}, "alice")
			c.Renews = &store.Renewal{ID: a, Basis: store.MaxPosition}
			switch _, err := w.Renew(t.Context(), c, Renewal{Reauthenticate: i%2 == 0}); {
			case err == nil:
				made.Add(1)
			case errors.Is(err, sentinel.ErrEnded):
				ended.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	all.Wait()
	families, _, err := w.Families(t.Context(), store.Query{Subject: "alice", Limit: 100})
	if err != nil || made.Load() != 1 || ended.Load() != 31 || len(families) != 2 { // b, and the successor
		t.Errorf("%d made, %d ended, %d live, %v", made.Load(), ended.Load(), len(families), err)
	}
}
