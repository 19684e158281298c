package node

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

var errDown = errors.New("down")

// settle waits until the retries have done what the time allows.
func settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// running reports whether the goroutine of the retries runs.
func (w *world) running() bool {
	w.pending.mu.Lock()
	defer w.pending.mu.Unlock()
	return w.pending.running
}

// A logout is in force on this node before the store is asked, and the store's
// entry replaces what was assumed.
func TestPromise1_EndRefusesBeforeTheStoreAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		before := w.db.head()
		w.db.answer(func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			for _, id := range []store.ID{a, b} {
				if v := w.verdict(id, before+500); v != revocation.Revoked {
					t.Errorf("while the store is asked, the cookie of %d is %v", id[0], v)
				}
			}
			return perform()
		})
		if err := w.End(t.Context(), "logout", "alice", a, b); err != nil {
			t.Fatal(err)
		}
		w.wantReports("ended 1: logout", "ended 2: logout")
		if w.running() {
			t.Error("a logout that the store took is tried again")
		}
	})
}

// A logout that the store did not take is in force on this node for the cookies
// that other nodes mint meanwhile too. It is tried again until the store takes
// it, each session by itself and by turns, and its goroutine then ends.
func TestPromise1_EndIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		before := w.db.head()
		w.db.fail(errDown)
		if err := w.End(hungUp(t), "logout", "alice", a, b); !errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("%v, want unavailable", err)
		}
		w.wantReports("unavailable 1")
		for _, id := range []store.ID{a, b} {
			for _, at := range []store.Position{before, before + 1, store.MaxPosition} {
				if v := w.verdict(id, at); v != revocation.Revoked {
					t.Errorf("the cookie of %d at %d is %v", id[0], at, v)
				}
			}
		}
		began := time.Now()
		settle(10 * time.Minute)
		made := w.db.made()
		var pauses []time.Duration
		last := began
		for i, c := range made {
			r := c.revocation
			if one := []store.ID{a, b}[(i+1)%2]; i > 0 && !slices.Equal(r.Sessions, []store.ID{one}) || r.Reason != "logout" || r.Actor != "alice" {
				t.Errorf("attempt %d is %+v: want them by turns", i, r)
			}
			if i > 0 {
				pauses = append(pauses, c.at.Sub(last))
			}
			last = c.at
		}
		const ms = time.Millisecond
		want := []time.Duration{100 * ms, 200 * ms, 400 * ms, 800 * ms, 1600 * ms, 3200 * ms, 6400 * ms, 12800 * ms, 25600 * ms, 30 * time.Second}
		if len(pauses) < len(want) || !slices.Equal(pauses[:len(want)], want) || slices.Max(pauses) != 30*time.Second {
			t.Errorf("pauses %v, want %v, and so on", pauses, want)
		}
		if r := made[0].revocation; r.Reason != "logout" || r.Actor != "alice" || !slices.Equal(r.Sessions, []store.ID{a, b}) {
			t.Errorf("asked for %+v", r)
		}
		w.wantReports()

		w.db.fail(nil)
		settle(30 * time.Second)
		for _, id := range []store.ID{a, b} {
			if w.family(id).State != store.Ended {
				t.Errorf("the store has not ended %d", id[0])
			}
		}
		if w.running() {
			t.Error("the goroutine goes on")
		}
		w.db.made()
		settle(10 * time.Minute)
		if made := w.db.made(); asked(made, "Revoke") != 0 {
			t.Errorf("%d calls after the store took it", len(made))
		}

		// The next one starts anew, with short pauses.
		w.db.fail(errDown)
		if err := w.End(t.Context(), "logout", "bob", c); err == nil {
			t.Error("no error of a store that is down")
		}
		w.db.fail(nil)
		settle(100 * time.Millisecond)
		if w.family(c).State != store.Ended {
			t.Error("the second logout was not tried again")
		}
	})
}

// maxPending is the number of logouts that may wait in these tests.
const maxPending = 1024

// The number of logouts that wait is bounded. One too many is in force on this
// node, and an alarm says that it is nowhere else.
func TestPromise8_PendingLogoutsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = maxPending
		w := newWorld(t)
		ids := many(most+2, 0, false).Sessions
		w.db.fail(errDown)
		for i, id := range ids {
			if err := w.End(t.Context(), "logout", "", id); !errors.Is(err, sentinel.ErrUnavailable) || !w.Ended(id) {
				t.Fatalf("logout %d: %v, refused here: %v", i, err, w.Ended(id))
			}
		}
		const alarm = "alarm 200: too many logouts wait for the store; this one is in force on this node only"
		reports := w.reported()
		alarms := slices.DeleteFunc(slices.Clone(reports), func(r string) bool { return r != alarm })
		if len(alarms) != 2 || len(reports) != len(ids)+2 {
			t.Errorf("%d alarms among %d reports", len(alarms), len(reports))
		}
		if n := w.pending.left(); n != most {
			t.Errorf("%d wait, want %d", n, most)
		}
		w.db.fail(nil)
		before := w.db.head()
		settle(time.Second)
		var taken []store.ID
		for _, e := range w.db.entries(before) {
			taken = append(taken, e.Session)
		}
		if !slices.Equal(taken, ids[:most]) {
			t.Errorf("the store took %d logouts, want the first %d in their order", len(taken), most)
		}
		w.db.fail(errDown)
		w.reported()
		if w.End(t.Context(), "logout", "", ids[most]); !w.running() {
			t.Error("there is room again, and the logout does not wait")
		}
		w.wantReports("unavailable 200")
		w.db.fail(nil)
	})
}

// A client that repeats its logout takes one place, however often, with whatever
// other sessions beside it. It drops nobody's.
func TestPromise8_ARepeatedLogoutWaitsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.db.fail(errDown)
		for range 2 * maxPending {
			for _, ids := range [][]store.ID{{a}, {b, a}, {a, b}} {
				if err := w.End(t.Context(), "logout", "mallory", ids...); err == nil {
					t.Error("no error")
				}
			}
		}
		if err := w.End(t.Context(), "logout", "bob", c); err == nil {
			t.Error("no error")
		}
		for _, r := range w.reported() {
			if r[:5] == "alarm" {
				t.Fatal(r)
			}
		}
		if n := w.pending.left(); n != 3 {
			t.Errorf("%d wait, want one for each session", n)
		}
		w.db.made()
		w.db.fail(nil)
		settle(time.Minute)
		if made := w.db.made(); asked(made, "Revoke") != 3 {
			t.Errorf("the store was asked %d times, want once for each session", asked(made, "Revoke"))
		}
		for _, id := range []store.ID{a, b, c} {
			if w.family(id).State != store.Ended {
				t.Errorf("the store has not ended %d", id[0])
			}
		}
		// A session that was placed may wait again.
		w.db.fail(errDown)
		if w.End(t.Context(), "logout", "", a); !w.running() {
			t.Error("its next logout does not wait")
		}
		w.db.fail(nil)
	})
}

// A logout that the store refuses for good, at once or when it is tried again,
// neither waits nor blocks the ones behind it, and an alarm names its session.
func TestPendingLogoutThatTheStoreRefuses(t *testing.T) {
	inBubbles(t, map[string]error{"argument": store.ErrArgument, "above": store.ErrAbove}, func(t *testing.T, refusal error) {
		w := newWorld(t)
		refuse := func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			if slices.Contains(callOf(ctx).revocation.Sessions, a) {
				return store.Snapshot{}, refusal
			}
			return perform()
		}
		alarms := func() (got []string) {
			for _, r := range w.reported() {
				if strings.HasSuffix(r, refusedLogout) {
					got = append(got, r)
				}
			}
			return got
		}
		w.db.answer(refuse)
		if err := w.End(t.Context(), "logout", "", a); !errors.Is(err, refusal) || w.running() {
			t.Errorf("%v, and it waits: %v", err, w.running())
		}
		if got := alarms(); len(got) != 1 || got[0] != "alarm 1: "+refusedLogout {
			t.Errorf("reports %q", got)
		}
		w.db.fail(errDown)
		for _, id := range []store.ID{a, b} {
			if err := w.End(t.Context(), "logout", "", id); err == nil {
				t.Error("no error")
			}
		}
		w.db.made()
		w.reported()
		w.db.answer(refuse)
		settle(time.Hour)
		if got := alarms(); len(got) != 1 || got[0] != "alarm 1: "+refusedLogout {
			t.Errorf("reports %q", got)
		}
		if w.family(b).State != store.Ended || !w.Ended(a) || w.running() {
			t.Errorf("the one behind is %v; the refused one ended here: %v; running: %v", w.family(b).State, w.Ended(a), w.running())
		}
		if n := asked(w.db.made(), "Revoke"); n > 3 {
			t.Errorf("the store was asked %d times", n)
		}
	})
}

// A logout that fails every time, though the store works, does not starve others.
func TestPromise1_OneFailingLogoutHoldsUpNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.db.fail(errDown)
		ids := many(200, 0, false).Sessions
		for _, id := range append([]store.ID{a}, ids...) {
			if err := w.End(t.Context(), "logout", "", id); err == nil {
				t.Error("no error")
			}
		}
		before := w.db.head()
		w.db.answer(func(_ context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			if last := w.db.calls[len(w.db.calls)-1]; slices.Contains(last.revocation.Sessions, a) {
				return store.Snapshot{}, errDown
			}
			return perform()
		})
		settle(time.Second)
		if n := len(w.db.entries(before)); n != len(ids) {
			t.Errorf("%d of %d others were taken", n, len(ids))
		}
		if w.pending.left() != 1 {
			t.Errorf("%d wait", w.pending.left())
		}
		w.db.fail(nil)
		settle(time.Minute)
		if w.family(a).State != store.Ended {
			t.Error("it was not tried again")
		}
	})
}

// Closing a node reports each logout that the store has not taken, by its session.
func TestPromise1_CloseReportsWhatWasNotTaken(t *testing.T) {
	inBubbles(t, map[string]func(w *world){
		"down":  func(w *world) { w.db.fail(errDown) },
		"hangs": func(w *world) { w.db.hang() },
	}, func(t *testing.T, broken func(w *world)) {
		w := newWorld(t)
		broken(w)
		for _, id := range []store.ID{a, b, c} {
			if err := w.End(t.Context(), "logout", "", id); err == nil {
				t.Error("no error")
			}
		}
		w.reported()
		w.Node.Close()
		const lost = ": the process ends, and the store has not taken this logout; other nodes accept the session"
		got := w.reported()
		slices.Sort(got)
		if !slices.Equal(got, []string{"alarm 1" + lost, "alarm 2" + lost, "alarm 3" + lost}) {
			t.Errorf("reports %q", got)
		}
	})
}

// A store that hangs holds each attempt up for the timeout.
func TestPendingAttemptsAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.db.hang()
		if err := w.End(t.Context(), "logout", "", a); err == nil {
			t.Error("no error")
		}
		settle(time.Minute)
		made := w.db.made()
		for i, want := range []time.Duration{100 * time.Millisecond, 200 * time.Millisecond, 400 * time.Millisecond} {
			if got := made[i+1].at.Sub(made[i].at); got != timeout+want {
				t.Errorf("attempt %d came after %v, want %v", i+1, got, timeout+want)
			}
		}
		w.db.fail(nil)
	})
}

// Close tries the logouts that wait one last time, at once.
func TestPromise1_CloseTriesThePendingLogouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.db.fail(errDown)
		for _, id := range []store.ID{a, b, c} {
			if err := w.End(t.Context(), "logout", "", id); err == nil {
				t.Error("no error")
			}
		}
		settle(time.Minute) // the next attempt is far away
		w.db.fail(nil)
		began := time.Now()
		w.Node.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("it took %v", took)
		}
		for _, id := range []store.ID{a, b, c} {
			if w.family(id).State != store.Ended {
				t.Errorf("the store has not ended %d", id[0])
			}
		}
	})
}

// Close takes at most the timeout for all pending logouts together, whatever the
// store does, also if an attempt is in flight. The bubble fails if a goroutine
// is left.
func TestPromise8_CloseIsBounded(t *testing.T) {
	inBubbles(t, map[string]struct {
		answer func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error)
		wait   time.Duration // before Close
		want   time.Duration
	}{
		"nothing waits": {},
		"down": {
			answer: func(context.Context, func() (store.Snapshot, error)) (store.Snapshot, error) {
				return store.Snapshot{}, errDown
			},
			wait: time.Minute,
		},
		"hangs":                  {answer: untilDone, wait: 50 * time.Millisecond, want: timeout},
		"hangs, and it is asked": {answer: untilDone, wait: 200 * time.Millisecond, want: timeout},
		"slow":                   {answer: slowly, wait: 50 * time.Millisecond, want: timeout},
		"slow, and it is asked":  {answer: slowly, wait: 200 * time.Millisecond, want: timeout},
		"slow, and long at work": {answer: slowly, wait: 20 * time.Second, want: timeout},
	}, func(t *testing.T, row struct {
		answer func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error)
		wait   time.Duration
		want   time.Duration
	}) {
		w := newWorld(t)
		if row.answer != nil {
			w.db.fail(errDown)
			for _, id := range many(100, 0, false).Sessions {
				if err := w.End(t.Context(), "logout", "", id); err == nil {
					t.Error("no error")
				}
			}
			w.db.answer(row.answer)
		}
		settle(row.wait)
		began := time.Now()
		w.Node.Close()
		if took := time.Since(began); took != row.want {
			t.Errorf("it took %v, want %v", took, row.want)
		}
	})
}

// untilDone answers when its context ends.
func untilDone(ctx context.Context, _ func() (store.Snapshot, error)) (store.Snapshot, error) {
	<-ctx.Done()
	return store.Snapshot{}, ctx.Err()
}

// slowly answers just in time.
func slowly(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
	select {
	case <-time.After(timeout - time.Millisecond):
		return perform()
	case <-ctx.Done():
		return store.Snapshot{}, ctx.Err()
	}
}

// A logout that waits is in force on this node however long it waits, also when
// the list has dropped what was in force at that time.
func TestPromise1_AWaitingLogoutOutlivesTheList(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.db.Store.Announce(t.Context(), store.Announcement{Access: time.Second, Absolute: time.Hour}); err != nil {
			t.Fatal(err)
		}
		w.db.answer(func(ctx context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			if r := callOf(ctx).revocation; slices.Contains(r.Sessions, a) {
				return store.Snapshot{}, errDown
			}
			return perform()
		})
		before := w.db.head()
		if err := w.End(t.Context(), "logout", "alice", a); !errors.Is(err, sentinel.ErrUnavailable) {
			t.Fatal(err)
		}
		for range 100 { // the list frees what it has dropped a part at a time
			if _, err := w.Revoke(t.Context(), store.Revocation{Subjects: []string{"carol"}}); err != nil {
				t.Fatal(err)
			}
			time.Sleep(2 * time.Second)
			if err := w.CatchUp(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if w.Floor() <= before+1 || w.family(a).State != store.Alive {
			t.Fatal("the list keeps it, or the store has taken it")
		}
		f := w.family(a).Family
		verdict, err := w.Node.Decide(t.Context(), time.Now(), a, "alice", f.Position)
		if !w.Node.Ended(a) || !w.Node.Dead(&f) || w.Node.Check(time.Now(), a, "alice", f.Position) != revocation.Revoked || verdict != revocation.Revoked || err != nil {
			t.Errorf("it is accepted here: ended %v, dead %v, %v, %v", w.Node.Ended(a), w.Node.Dead(&f), verdict, err)
		}
		w.db.answer(nil)
		settle(time.Minute)
		if w.family(a).State != store.Ended || w.pending.waits(a) || !w.Node.Ended(a) {
			t.Errorf("the store is back: %v, waits %v", w.family(a).State, w.pending.waits(a))
		}
	})
}
