package redis_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/storetest"
)

// shifted is a store whose server's clock the test moves: the scripts add the shift to
// the time, and subtract it from every time to live.
type shifted struct {
	*redis.Store
	t      testing.TB
	client *goredis.Client
	name   string
}

// Since also returns the shifted time: outside a script it is the server's own.
func (s *shifted) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	b, err := s.Store.Since(ctx, after, limit, wait)
	b.Now = b.Now.Add(s.shift())
	return b, err
}

func (s *shifted) shift() time.Duration {
	n, err := s.client.Get(context.Background(), "{"+s.name+"}:shift").Int64()
	if err != nil && err != goredis.Nil {
		s.t.Error(err)
	}
	return time.Duration(n) * time.Millisecond
}

// set moves the clock, but not the expiry of keys: a server expires a key when the key
// is read, or some time later.
func (s *shifted) set(d time.Duration) {
	must(s.t, s.client.IncrBy(context.Background(), "{"+s.name+"}:shift", d.Milliseconds()).Err())
}

// move moves the clock and expires all keys that are due at once.
func (s *shifted) move(d time.Duration) {
	ctx := context.Background()
	s.set(d)
	for _, key := range keys(s.t, s.client, "{"+s.name+"}:*") {
		ttl, err := s.client.PTTL(ctx, key).Result()
		must(s.t, err)
		if ttl >= 0 {
			must(s.t, s.client.PExpire(ctx, key, ttl-d).Err())
		}
	}
}

// shiftClock makes the scripts of this process read a shifted clock until the end of
// the test. Such a test must not run in parallel with others.
func shiftClock(t *testing.T) {
	t.Helper()
	restore := redis.ShiftClock()
	if restore == nil {
		t.Fatal("ShiftClock does not know how the scripts read the clock")
	}
	t.Cleanup(restore)
}

// TestStoreByClock runs the conformance suite with a clock that it can move, for
// checks that would take hours and for clocks that jump.
func TestStoreByClock(t *testing.T) {
	shiftClock(t)
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		var first *shifted
		e := engine(t, client, func(t testing.TB, name string) *redis.Store {
			db := open(t, client, redis.Options{Name: name})
			if first == nil {
				first = &shifted{db, t, client, name}
			}
			return db
		})
		wrap := func(s store.Store) store.Store {
			return &shifted{s.(*redis.Store), t, client, first.name}
		}
		reopen, restart := e.Reopen, e.Restart
		e.Store = first
		e.Clock = first.move
		e.Reopen = func(t *testing.T) store.Store { return wrap(reopen(t)) }
		e.Restart = func(t *testing.T) store.Store { return wrap(restart(t)) }
		return e
	})
}

// leftovers returns the keys of families, of indexes and of what is to be forgotten.
func leftovers(t testing.TB, client *goredis.Client) []string {
	t.Helper()
	return append(keys(t, client, "{wafer}:[fian]:*"), append(keys(t, client, "{wafer}:living"), keys(t, client, "{wafer}:forget")...)...)
}

func newShifted(t *testing.T) *shifted {
	shiftClock(t)
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	s := &shifted{open(t, client, redis.Options{}), t, client, "wafer"}
	announce(t, s, store.Announcement{Access: 5 * time.Minute, Absolute: 12 * time.Hour, Leeway: 10 * time.Second})
	return s
}

func (s *shifted) revokeSubject(subject string) {
	s.t.Helper()
	snap, err := s.Revoke(context.Background(), store.Revocation{Subjects: []string{subject}})
	if err != nil || snap.Outcome != store.Written {
		s.t.Fatalf("revoke: %v, %v", snap.Outcome, err)
	}
}

func (s *shifted) is(id store.ID, want ...store.State) {
	s.t.Helper()
	snap, err := s.Family(context.Background(), id)
	must(s.t, err)
	for _, w := range want {
		if snap.State == w {
			return
		}
	}
	s.t.Errorf("the family is %v; want %v", snap.State, want)
}

// TestPromise1_ClockJumpForgetsNoCutoff: a family that was stamped while the clock was
// ahead lives longer than a cutoff that was stamped after the clock was set right. It
// must not come back when the cutoff is old enough to be deleted.
func TestPromise1_ClockJumpForgetsNoCutoff(t *testing.T) {
	s := newShifted(t)
	id := newID()
	c := store.Creation{ID: id, Subject: "alice", Idle: 12 * time.Hour, Absolute: 12 * time.Hour}
	if snap, err := s.Create(t.Context(), c); err != nil || snap.Outcome != store.Written {
		t.Fatalf("%v, %v", snap.Outcome, err)
	}
	s.move(-2 * time.Hour)
	s.revokeSubject("alice") // kept until 10 h and a little
	s.is(id, store.CutOff)
	s.move(12*time.Hour + time.Minute)
	must(t, s.Tidy(t.Context()))
	s.is(id, store.CutOff)
	s.move(2 * time.Hour)
	must(t, s.Tidy(t.Context()))
	s.is(id, store.Absent)
	// Then there is no more reason to keep the cutoff.
	if c, err := s.Cutoffs(t.Context(), store.ID{}, "alice"); err != nil || c.Subject != 0 {
		t.Errorf("the cutoff of somebody without families is kept: %+v, %v", c, err)
	}
	if left := leftovers(t, s.client); len(left) != 0 {
		t.Errorf("left: %q", left)
	}
}

// TestPromise1_ClockJumpsAheadAndBack: a server whose clock is ahead for a while
// expires some of the keys that are due by it. No family survives its cutoff.
func TestPromise1_ClockJumpsAheadAndBack(t *testing.T) {
	s := newShifted(t)
	var ids []store.ID
	for range 300 {
		ids = append(ids, create(t, s.Store, "alice"))
	}
	s.revokeSubject("alice")
	again := create(t, s.Store, "alice")
	s.revokeSubject("alice")
	s.set(1000 * time.Hour)
	// The server has expired every third family, and all due keys of other kinds.
	for i, key := range keys(t, s.client, "{wafer}:*") {
		ttl, err := s.client.PTTL(t.Context(), key).Result()
		must(t, err)
		if ttl >= 0 && (i%3 == 0 || key[:len("{wafer}:f:")] != "{wafer}:f:") {
			must(t, s.client.Del(t.Context(), key).Err())
		}
	}
	must(t, s.Tidy(t.Context()))
	s.set(-1000 * time.Hour)
	for _, id := range append(ids, again) {
		s.is(id, store.CutOff, store.Absent)
	}
	if page, err := s.Families(t.Context(), store.Query{Subject: "alice", Limit: 1000}); err != nil || len(page.Families) != 0 {
		t.Errorf("%d families have come back, %v", len(page.Families), err)
	}
}

// TestPromise1_ClockAheadTakesNoIndex: if the clock is ahead for less than a week, no
// index expires of a family that is alive once the clock is right again. Otherwise its
// subject's cutoff would be deleted before the family when the clock is ahead again.
func TestPromise1_ClockAheadTakesNoIndex(t *testing.T) {
	for _, ahead := range []time.Duration{20 * time.Hour, 6 * 24 * time.Hour} {
		t.Run(ahead.String(), func(t *testing.T) {
			s := newShifted(t)
			id := create(t, s.Store, "alice")
			s.set(ahead) // the server expires all due keys, except families
			for _, key := range keys(t, s.client, "{wafer}:[^f]*") {
				ttl, err := s.client.PTTL(t.Context(), key).Result()
				must(t, err)
				if ttl >= 0 && ttl <= ahead {
					must(t, s.client.Del(t.Context(), key).Err())
				}
			}
			s.set(-ahead)
			s.revokeSubject("alice")
			s.is(id, store.CutOff)
			s.set(ahead) // the cutoff is old
			must(t, s.Tidy(t.Context()))
			s.set(-ahead)
			s.is(id, store.CutOff, store.Absent)
		})
	}
}

// TestCutoffOfBeforeTheAnnouncement: a cutoff from before the first announcement is
// deleted after it, when it is old enough.
func TestCutoffOfBeforeTheAnnouncement(t *testing.T) {
	shiftClock(t)
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	s := &shifted{open(t, client, redis.Options{}), t, client, "wafer"}
	s.revokeSubject("alice")
	s.move(10000 * time.Hour)
	must(t, s.Tidy(t.Context()))
	if c, err := s.Cutoffs(t.Context(), store.ID{}, "alice"); err != nil || c.Subject == 0 {
		t.Errorf("forgotten before anything was announced: %+v, %v", c, err)
	}
	announce(t, s, store.Announcement{Access: time.Minute, Absolute: time.Hour})
	must(t, s.Tidy(t.Context()))
	if c, err := s.Cutoffs(t.Context(), store.ID{}, "alice"); err != nil || c.Subject != 0 {
		t.Errorf("kept for ever: %+v, %v", c, err)
	}
}

// TestChurn: many logins that expire leave nothing behind, whether or not their subjects
// log in again.
func TestChurn(t *testing.T) {
	s := newShifted(t)
	ctx := context.Background()
	for range 60 {
		for _, subject := range []string{"alice", "bob", "carol"} {
			for range 5 {
				c := store.Creation{ID: newID(), Subject: subject, Idle: 30 * time.Minute, Absolute: 12 * time.Hour}
				if snap, err := s.Create(ctx, c); err != nil || snap.Outcome != store.Written {
					t.Fatalf("%v, %v", snap.Outcome, err)
				}
			}
		}
		s.move(10 * time.Minute)
		must(t, s.Tidy(ctx))
	}
	// 15 to 20 live at a time; 300 were made.
	for _, key := range keys(t, s.client, "{wafer}:i:*") {
		if n := s.client.ZCard(ctx, key).Val(); n > 20 {
			t.Errorf("the index of a subject holds %d, and 20 live", n)
		}
	}
	if page, err := s.Families(ctx, store.Query{Subject: "alice", Limit: 1000}); err != nil || len(page.Families) != 10 && len(page.Families) != 15 {
		t.Errorf("%d live, %v", len(page.Families), err)
	}
	s.move(13 * time.Hour)
	must(t, s.Tidy(ctx))
	if left := leftovers(t, s.client); len(left) != 0 {
		t.Errorf("%d keys are left", len(left))
	}
}

// TestPastItsLimits: a server may still have the record of a family that is past a
// limit. Nothing refreshes it.
func TestPastItsLimits(t *testing.T) {
	s := newShifted(t)
	ctx := t.Context()
	for name, c := range map[string]store.Creation{
		"idle":     {Idle: time.Hour, Absolute: 12 * time.Hour},
		"absolute": {Idle: 12 * time.Hour, Absolute: time.Hour},
	} {
		c.ID, c.Subject = newID(), "alice"
		if snap, err := s.Create(ctx, c); err != nil || snap.Outcome != store.Written {
			t.Fatalf("%v, %v", snap.Outcome, err)
		}
		if snap, err := s.Advance(ctx, store.Advance{ID: c.ID, Generation: 1}); err != nil || snap.Outcome != store.Written {
			t.Fatalf("%v, %v", snap.Outcome, err)
		}
		s.set(90 * time.Minute)
		for call, do := range map[string]func() (store.Snapshot, error){
			"Advance": func() (store.Snapshot, error) {
				return s.Advance(ctx, store.Advance{ID: c.ID, Generation: 2})
			},
			"Advance of the position": func() (store.Snapshot, error) {
				return s.Advance(ctx, store.Advance{ID: c.ID, Generation: 2, PositionOnly: true})
			},
			"Reissue": func() (store.Snapshot, error) {
				return s.Reissue(ctx, store.Reissue{ID: c.ID, Generation: 1})
			},
			"Commit": func() (store.Snapshot, error) {
				return s.Commit(ctx, store.Commit{ID: c.ID, Value: []byte("v")})
			},
		} {
			if snap, err := do(); err != nil || snap.Outcome != store.Unwritten || snap.State != store.Alive {
				t.Errorf("%s past the %s limit: %v of a family that is %v, %v; want Unwritten, and the record", call, name, snap.Outcome, snap.State, err)
			}
		}
		s.set(-90 * time.Minute)
	}
}

// TestPartsOfAMillisecond: the server counts in whole milliseconds. It judges an age
// and a skew that are not whole by the times that its answer shows.
func TestPartsOfAMillisecond(t *testing.T) {
	s := newShifted(t)
	ctx := t.Context()
	const part = time.Millisecond / 2
	for name, refresh := range map[string]func(f store.Family, age, skew time.Duration) (store.Snapshot, error){
		"Advance": func(f store.Family, age, skew time.Duration) (store.Snapshot, error) {
			return s.Advance(ctx, store.Advance{ID: f.ID, Generation: f.Generation, Copy: f.Copy, Age: age, Skew: skew})
		},
		"Reissue": func(f store.Family, age, skew time.Duration) (store.Snapshot, error) {
			return s.Reissue(ctx, store.Reissue{ID: f.ID, Generation: f.Generation - 1, Copy: f.Used, Age: age, Skew: skew})
		},
	} {
		snap, err := s.Advance(ctx, store.Advance{ID: create(t, s.Store, "alice"), Generation: 1})
		must(t, err)
		f := snap.Family
		try := func(age, skew time.Duration) (written bool) {
			t.Helper()
			snap, err := refresh(f, age, skew)
			must(t, err)
			since := snap.Now.Sub(f.Issued)
			written = snap.Outcome == store.Written
			if want := since >= age || -since > skew; written != want {
				t.Fatalf("%s %v after the last issue, with an age of %v and a skew of %v: %v", name, since, age, skew, snap.Outcome)
			}
			f = snap.Family
			return written
		}
		for range 50 {
			for !try(2*time.Millisecond+part, time.Hour) {
			}
		}
		for range 100 {
			try(0, time.Hour)
			s.set(-time.Second - time.Millisecond)
			try(time.Hour, time.Second+part)
			s.set(time.Second + time.Millisecond)
		}
	}
}
