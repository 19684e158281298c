package keyring

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

func TestRotateIsIdempotent(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	for i, want := range []bool{true, false, false} {
		// Each a little later, as nodes on one timer call.
		changed, err := r.Rotate(t.Context(), day(10).Add(time.Duration(i)*time.Second), 0)
		if err != nil || changed != want {
			t.Fatalf("call %d: changed %v, %v", i, changed, err)
		}
	}
	if n := len(r.Set().Keys()); n != 2 || source.version != 2 {
		t.Fatalf("%d keys in version %d: want the 2 that there were, in version 2", n, source.version)
	}
}

func TestRotateOlderThan(t *testing.T) {
	for _, c := range []struct {
		name      string
		at        float64
		olderThan time.Duration
		takeover  time.Time // zero: nothing changes
	}{
		{"always", 0, 0, epoch.Add(Lead)},
		{"always, late", 20, 0, day(20).Add(Lead)},
		{"not old enough", 9.999, 10 * oneDay, time.Time{}},
		{"just old enough", 10, 10 * oneDay, day(10).Add(Lead)},
		{"the timer, early", 5, DefaultSeals, time.Time{}},
		{"the next one is due sooner than a lead", 29.99, 0, time.Time{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := newMemoryRing(t, Schedule{})
			changed, err := r.Rotate(t.Context(), day(c.at), c.olderThan)
			if err != nil {
				t.Fatal(err)
			}
			next := r.Set().Keys()[1]
			if changed == c.takeover.IsZero() {
				t.Fatalf("changed is %v", changed)
			}
			if want := c.takeover; changed && !next.Activates().Equal(want) || !changed && !next.Activates().Equal(day(30)) {
				t.Fatalf("the next key takes over %v: want %v (zero: day 30)", next.Activates(), want)
			}
		})
	}
}

func TestRotatePublishesTheNextAfterATakeover(t *testing.T) {
	for _, c := range []struct {
		name      string
		at        float64
		olderThan time.Duration
		takeover  time.Time
	}{
		{"on time", 30, DefaultSeals, day(60)},
		{"within the schedule", 45, DefaultSeals, day(60)},
		{"at the last moment: a lead ahead all the same", 59.99, DefaultSeals, day(59.99).Add(Lead)},
		{"long overdue: a lead from now", 200, DefaultSeals, day(200).Add(Lead)},
		{"by hand", 31, 0, day(31).Add(Lead)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := newMemoryRing(t, Schedule{})
			second := r.Set().Keys()[1]
			changed, err := r.Rotate(t.Context(), day(c.at), c.olderThan)
			if err != nil || !changed {
				t.Fatal(changed, err)
			}
			keys := r.Set().Keys()
			if len(keys) != 3 || !keys[2].Activates().Equal(c.takeover) || !keys[2].Created().Equal(day(c.at)) {
				t.Fatalf("%v, the last one from %v: want it from %v", r, keys[len(keys)-1].Activates(), c.takeover)
			}
			if k := mustPrimary(t, r.Set(), c.takeover.Add(-time.Millisecond)); k.ID() != second.ID() {
				t.Fatalf("primary before the takeover is %v", k)
			}
			if k := mustPrimary(t, r.Set(), c.takeover); k.ID() != keys[2].ID() {
				t.Fatalf("primary at the takeover is %v", k)
			}
		})
	}
}

func TestRotateWithoutAPrimarySealsAtOnce(t *testing.T) {
	t.Run("the clock is before the first activation", func(t *testing.T) {
		r, _ := newMemoryRing(t, Schedule{})
		early := day(-3)
		if _, err := r.Primary(early); err != nil { // an implementation may bridge the gap itself
			wantError(t, err, ErrNoPrimary)
		}
		must(r.Rotate(t.Context(), early, 0))(t)
		mustPrimary(t, r.Set(), early.Add(Lead))
	})
	t.Run("every key was revoked by hand", func(t *testing.T) {
		s := handMade(t, Schedule{}, keySpec{id: 1, revoked: 3})
		s = must(s.rotate(day(4), DefaultSeals))(t)
		mustPrimary(t, s, day(4))
	})
}

func TestRotateAtOnceMakesOneKey(t *testing.T) {
	rotateAtOnce := func(t *testing.T, rings []*Ring) {
		now := day(31) // the second key seals, and no next one is published
		var group sync.WaitGroup
		changes := make(chan bool, len(rings))
		for _, r := range rings {
			group.Go(func() {
				changed, err := r.Rotate(t.Context(), now, DefaultSeals)
				if err != nil {
					t.Error(err)
				}
				changes <- changed
			})
		}
		group.Wait()
		close(changes)
		won := 0
		for changed := range changes {
			if changed {
				won++
			}
		}
		if won != 1 {
			t.Errorf("%d callers changed the set: want 1", won)
		}
		for _, r := range rings {
			if err := r.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			if n, v := len(r.Set().Keys()), r.Set().Version(); n != 3 || v != 2 {
				t.Fatalf("%d keys in version %d: want 3 in version 2", n, v)
			}
		}
	}

	t.Run("ten rings over one file", func(t *testing.T) {
		path := newRingFile(t)
		var rings []*Ring
		for range 10 {
			rings = append(rings, must(Open(t.Context(), File(path), testKeeper(t)))(t))
		}
		rotateAtOnce(t, rings)
	})
	t.Run("ten rings over one store", func(t *testing.T) {
		_, source := newMemoryRing(t, Schedule{})
		var rings []*Ring
		for range 10 {
			rings = append(rings, openRing(t, source))
		}
		rotateAtOnce(t, rings)
	})
}

func TestCreateAtOnceMakesOneSet(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	keeper := testKeeper(t)
	var group sync.WaitGroup
	rings := make(chan *Ring, 20)
	for range cap(rings) {
		group.Go(func() {
			r, err := Create(t.Context(), File(path), keeper, epoch, Schedule{})
			if err == nil {
				rings <- r
				return
			}
			if err != ErrExists {
				t.Errorf("a loser got %v: want ErrExists", err)
			}
		})
	}
	group.Wait()
	if len(rings) != 1 {
		t.Fatalf("%d callers created: want 1", len(rings))
	}
	won := <-rings
	opened := must(Open(t.Context(), File(path), keeper))(t)
	if a, b := mustPrimary(t, won.Set(), epoch), mustPrimary(t, opened.Set(), epoch); a.ID() != b.ID() {
		t.Fatalf("the winner seals with %v, the file holds %v", a, b)
	}
	assertNoLeftovers(t, filepath.Dir(path), "ring", "ring.lock")
}

func TestCreateLosesTheSwap(t *testing.T) {
	source := new(memorySource)
	source.beforeSwap = func() error { // somebody else, between look and swap
		source.beforeSwap = nil
		must(Create(context.Background(), source, plainKeeper{}, epoch, Schedule{}))(t)
		return nil
	}
	_, err := Create(t.Context(), source, plainKeeper{}, epoch, Schedule{})
	wantError(t, err, ErrExists)
	_, err = Create(t.Context(), source, plainKeeper{}, epoch, Schedule{})
	wantError(t, err, ErrExists)
}

func TestOpenNeverCreates(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	_, err := Open(t.Context(), File(path), testKeeper(t))
	wantError(t, err, ErrAbsent)
	assertNoLeftovers(t, filepath.Dir(path))
}

// If a change was stored but its answer was lost, a retry does not make it
// twice.
func TestLostAnswerIsNotRepeated(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	lossy := &lostAnswer{memorySource: source}
	r.source = lossy
	if _, err := r.Rotate(t.Context(), day(31), DefaultSeals); err == nil {
		t.Fatal("the lost answer was not noticed")
	}
	changed, err := r.Rotate(t.Context(), day(31), DefaultSeals)
	if err != nil || changed {
		t.Fatalf("again: changed %v, %v", changed, err)
	}
	if n := len(r.Set().Keys()); n != 3 {
		t.Fatalf("%d keys: want 3", n)
	}
}

type lostAnswer struct {
	*memorySource
	lost bool
}

func (l *lostAnswer) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	swapped, err := l.memorySource.SwapKeys(ctx, version, document)
	if !l.lost {
		l.lost = true
		return false, context.DeadlineExceeded
	}
	return swapped, err
}

func TestGivesUpAmongOthersWithItsContext(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	ctx, cancel := context.WithCancel(t.Context())
	r.source = neverSwaps{source, cancel}
	_, err := r.Rotate(ctx, day(31), 0)
	wantError(t, err, context.Canceled)
}

type neverSwaps struct {
	*memorySource
	cancel func()
}

func (n neverSwaps) SwapKeys(context.Context, uint64, []byte) (bool, error) {
	n.cancel()
	return false, nil
}
