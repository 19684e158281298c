package keywatch

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// A source that fails is reported when that begins, when it ends, and by an alarm
// while it lasts: long before a key that is published meanwhile may seal.
func TestSourceFails(t *testing.T) {
	const (
		loadDown = "keyring: load the key set: down"
		began    = "the ring could not be read; this node goes on with the keys that it has (" + loadDown + ")"
		ended    = "the ring is read again"
	)
	lasts := func(d string) string {
		return "alarm: the ring could not be read for " + d + ": users with cookies under a newer key are anonymous here (" + loadDown + ")"
	}
	w := newWorld(t)
	down := func(context.Context) (uint64, []byte, error) { return 0, nil, errors.New("down") }
	for _, step := range []struct {
		after time.Duration
		down  bool
		want  []string
	}{
		{time.Minute, false, nil},
		{time.Minute, true, []string{began}},
		{time.Minute, true, nil},
		{keyring.Lead/2 - time.Minute - 1, true, nil},
		{1, true, []string{lasts("30m0s")}},
		{time.Minute, true, nil},
		{59*time.Minute - 1, true, nil},
		{1, true, []string{lasts("1h30m0s")}},
		{time.Minute, false, []string{ended}},
		{time.Minute, false, nil},
		{time.Minute, true, []string{began}},
		{keyring.Lead / 2, true, []string{lasts("30m0s")}}, // within an hour of the last alarm, but another outage
		{time.Minute, false, []string{ended}},
	} {
		w.now = w.now.Add(step.after)
		w.source.answers(nil)
		if step.down {
			w.source.answers(down)
		}
		w.reads()
		w.want(w.now.Sub(begin).String(), step.want...)
	}
}

// A source that holds less than this node is an alarm at once, and once for each
// time that it happens.
func TestSourceWentBack(t *testing.T) {
	w := newWorld(t)
	version, old, err := w.source.LoadKeys(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.did(w.operator.Rotate(t.Context(), begin, 0))
	w.reads()
	w.want("a rotation", fmt.Sprintf("key %v is to seal from %s, which was changed", w.next().ID(), w.next().Activates().UTC().Format(time.RFC3339)))
	held := w.ring.Set()

	const lost = "alarm: the ring's source has lost a key set that this node holds and goes on with"
	back := func(context.Context) (uint64, []byte, error) { return version, old, nil }
	absent := func(context.Context) (uint64, []byte, error) { return 0, nil, nil }
	down := func(context.Context) (uint64, []byte, error) { return 0, nil, errors.New("down") }
	for i, step := range []struct {
		source func(context.Context) (uint64, []byte, error)
		want   string
	}{
		{back, lost}, {back, ""}, {down, ""}, {absent, lost}, {back, ""}, {nil, "the ring is read again"},
		{absent, lost}, {nil, "the ring is read again"}, {down, "the ring could not be read"}, {back, lost}, {nil, "the ring is read again"},
	} {
		w.now = w.now.Add(time.Minute)
		w.source.answers(step.source)
		w.reads()
		if got := strings.Join(w.notices, "\n"); !strings.HasPrefix(got, step.want) || (got == "") != (step.want == "") || len(w.notices) > 1 {
			t.Errorf("step %d: %q, want %q", i, got, step.want)
		}
		w.notices = nil
		if w.ring.Set() != held {
			t.Fatalf("step %d: the node went back with its source", i)
		}
	}
}

// Each change of the keys is reported once, whoever reloaded the ring.
func TestKeysChange(t *testing.T) {
	w := newWorld(t)
	at := func(k *keyring.Key) string { return k.Activates().UTC().Format(time.RFC3339) }
	once := func(when string, want ...string) {
		t.Helper()
		if err := w.ring.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.compare()
		w.want(when, want...)
		w.reads()
		w.want(when + ", once more")
	}
	once("nothing changed")

	w.did(w.operator.Rotate(t.Context(), w.now, 0))
	first, next := w.primaryKey(), w.next()
	once("the next key is due earlier", fmt.Sprintf("key %v is to seal from %s, which was changed", next.ID(), at(next)))

	w.now = next.Activates()
	once("the next key's turn", fmt.Sprintf("key %v seals now", next.ID()))

	w.did(w.operator.Rotate(t.Context(), w.now, seals))
	third := w.next()
	once("a key is published", fmt.Sprintf("key %v is published, to seal from %s", third.ID(), at(third)))

	w.did(w.operator.Revoke(t.Context(), w.now, first.ID(), "old"))
	once("an old key is revoked", fmt.Sprintf("key %v is revoked: old", first.ID()))

	w.did(w.operator.Revoke(t.Context(), w.now, next.ID(), "leaked"))
	fourth := w.next()
	once("the primary is revoked, and the next key seals at once",
		fmt.Sprintf("key %v is revoked: leaked", next.ID()),
		fmt.Sprintf("key %v is published, to seal from %s", fourth.ID(), at(fourth)),
		fmt.Sprintf("key %v seals now", third.ID()))
}

// An alarm says that nothing rotates the ring while there is still a quarter of
// the primary's time.
func TestNothingRotates(t *testing.T) {
	w := newWorld(t)
	w.now = begin.Add(seals - 1)
	w.reads()
	w.want("a next key is published")
	w.now = w.next().Activates() // no next key from here on
	w.reads()
	primary := w.primaryKey()
	w.want("the next key's turn", fmt.Sprintf("key %v seals now", primary.ID()))
	alarm := func(when string) string {
		return fmt.Sprintf("alarm: no next key is published, and key %v %s: nothing rotates the ring", primary.ID(), when)
	}
	for _, step := range []struct {
		since time.Duration // the primary's activation
		want  []string
	}{
		{seals*3/4 - 1, nil},
		{seals * 3 / 4, []string{alarm("should hand over in 48h0m0s")}},
		{seals*3/4 + time.Hour - 1, nil},
		{seals*3/4 + time.Hour, []string{alarm("should hand over in 47h0m0s")}},
		{seals, []string{alarm("should have handed over 0s ago")}},
		{seals + 90*time.Minute, []string{alarm("should have handed over 1h30m0s ago")}},
	} {
		w.now = primary.Activates().Add(step.since)
		w.reads()
		w.want(step.since.String(), step.want...)
	}
	w.did(w.operator.Rotate(t.Context(), w.now, 0))
	w.reads()
	w.want("a key is published", fmt.Sprintf("key %v is published, to seal from %s", w.next().ID(), w.next().Activates().UTC().Format(time.RFC3339)))
}

// A condition that ended and came back is reported again within the hour.
func TestNothingRotatesAgain(t *testing.T) {
	w := newWorld(t)
	w.now = w.next().Activates().Add(seals)
	primary, without := w.primaryKey(), w.operator.Set()
	w.did(w.operator.Rotate(t.Context(), w.now, 0))
	for i, step := range []struct {
		set   *keyring.Set
		alarm int
	}{{without, 1}, {without, 0}, {w.operator.Set(), 0}, {without, 1}} {
		w.remind(step.set, primary, w.now.Add(time.Duration(i)*time.Minute))
		if len(w.notices) != step.alarm {
			t.Errorf("step %d: notices %q, want %d", i, w.notices, step.alarm)
		}
		w.notices = nil
	}
}

// A key that was revoked takes over from none.
func TestARevokedKeyIsNotNext(t *testing.T) {
	w := newWorld(t)
	w.now = w.next().Activates().Add(seals) // its successor is due, so a key seals as soon as it may
	w.did(w.operator.Rotate(t.Context(), w.now, 0))
	later := w.next().Activates()
	w.did(w.operator.Revoke(t.Context(), w.now.Add(-30*time.Minute), w.next().ID(), "leaked"))
	sooner := w.next().Activates() // of the fresh one, which was published instead
	if !sooner.Before(later) {
		t.Fatalf("the fresh key seals from %v, and the revoked one from %v", sooner, later)
	}
	for at, want := range map[time.Time]bool{sooner.Add(-1): true, sooner: false, later: false} {
		if got := hasNext(w.operator.Set(), at); got != want {
			t.Errorf("at %v: %v, want %v", at, got, want)
		}
	}
}

// Without a key that may seal, no login succeeds: an alarm, once an hour.
func TestNoKeySeals(t *testing.T) {
	w := newWorld(t)
	const alarm = "alarm: nothing can be sealed: no login and no refresh succeeds"
	for _, step := range []struct {
		now   time.Duration
		alarm bool
	}{{-24 * time.Hour, true}, {-23*time.Hour - 1, false}, {-23 * time.Hour, true}, {0, false}} {
		w.now = begin.Add(step.now)
		w.compare()
		if got := strings.Join(w.notices, "\n"); strings.HasPrefix(got, alarm) != step.alarm || (got == "") == step.alarm {
			t.Errorf("at %v: %q", step.now, got)
		}
		w.notices = nil
	}
}

// Credentials under unknown keys are counted. The number is reported once an
// hour, and none of them is lost.
func TestUnknownKeysAreCounted(t *testing.T) {
	w := newWorld(t)
	report := func(n int) string {
		return fmt.Sprintf("%d credentials named a key that the ring does not have (%v)", n, keyring.ErrUnknown)
	}
	for _, step := range []struct {
		after time.Duration
		n     int
		want  []string
	}{
		{0, 0, nil}, {0, 3, []string{report(3)}}, {time.Minute, 5, nil}, {58 * time.Minute, 0, nil},
		{time.Minute, 2, []string{report(7)}}, {2 * time.Hour, 0, nil}, {0, 1, []string{report(1)}},
	} {
		w.now = w.now.Add(step.after)
		for range step.n {
			w.Unknown()
		}
		w.compare()
		w.want(w.now.Sub(begin).String(), step.want...)
	}
}

// A reminder is due once an hour, and a clock that was set back does not silence
// it.
func TestReminder(t *testing.T) {
	var r reminder
	for i, step := range []struct {
		at  time.Duration
		due bool
	}{
		{0, true}, {0, false}, {remindEvery - 1, false}, {remindEvery, true}, {remindEvery + 1, false},
		{remindEvery - 1, true}, {remindEvery, false}, {2*remindEvery - 1, true},
	} {
		if got := r.due(begin.Add(step.at)); got != step.due {
			t.Errorf("step %d: due %v, want %v", i, got, step.due)
		}
	}
}

// The source is read about once a minute. A read that hangs is given up.
func TestPolling(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		began := time.Now()
		w.Start()
		time.Sleep(time.Hour)
		w.source.mu.Lock()
		reads := w.source.reads
		w.source.mu.Unlock()
		last := began
		for i, at := range reads {
			if d := at.Sub(last); d > time.Minute || i > 0 && d < 54*time.Second {
				t.Errorf("read %d came after %v", i, d)
			}
			last = at
		}
		if len(reads) < 60 {
			t.Errorf("%d reads in an hour", len(reads))
		}
		w.want("an hour")

		w.source.answers(func(ctx context.Context) (uint64, []byte, error) {
			<-ctx.Done()
			return 0, nil, ctx.Err()
		})
		time.Sleep(time.Minute + 10*time.Second)
		synctest.Wait()
		w.want("it hangs", "the ring could not be read; this node goes on with the keys that it has (keyring: load the key set: context deadline exceeded)")
		w.Close()
	})
}

// Close waits for no read, and one that it cuts short is no failure.
func TestCloseWhileItReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		reading := make(chan struct{})
		w.source.answers(func(ctx context.Context) (uint64, []byte, error) {
			close(reading)
			<-ctx.Done()
			return 0, nil, ctx.Err()
		})
		w.Start()
		<-reading
		began := time.Now()
		w.Close()
		if took := time.Since(began); took != 0 {
			t.Errorf("Close took %v", took)
		}
		w.want("Close")
	})
}

// The keys that are there at the start are no change. A static ring has no
// goroutine, and Close does without one.
func TestStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.primary = keyring.ID{}
		w.Start()
		synctest.Wait()
		w.want("Start")
		w.Close()

		static, err := keyring.Static(strings.Repeat("5a", keyring.SecretSize))
		if err != nil {
			t.Fatal(err)
		}
		w.Watch = New(static, w.Watch.now, w.Watch.report)
		w.Start()
		if w.done != nil {
			t.Error("a static ring has a goroutine")
		}
		w.Close()
	})
}
