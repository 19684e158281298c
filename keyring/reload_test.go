package keyring

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
)

func junkID() ID {
	// The first byte keeps it apart from every id that a test looks for.
	return ID{0xff, byte(rand.Uint32()), byte(rand.Uint32()), byte(rand.Uint32())}
}

// publish puts a set with one more key into the source, as another node does,
// and returns the new key's id.
func publish(t testing.TB, source *memorySource) ID {
	t.Helper()
	_, document := source.read()
	s := must(parseSet(document))(t)
	k := newKey(epoch, day(300), s.has)
	for k.id[0] = 0; s.has(k.id); k.id[3]++ {
	}
	s.version++
	s.keys = append(s.keys, k)
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
	source.put(s.version, must(marshalSet(s))(t))
	return k.id
}

// flood asks for junk ids from 64 goroutines until the context ends, and
// returns a function that waits for them.
func flood(t *testing.T, ctx context.Context, r *Ring) (wait func()) {
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := r.Key(ctx, junkID(), epoch); !errors.Is(err, ErrUnknown) {
					t.Errorf("a junk id: %v", err)
					return
				}
			}
		})
	}
	return group.Wait
}

func TestJunkIDsCauseAtMostFourReloadsASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		source.loads.Store(0)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		wait := flood(t, ctx, r)
		<-ctx.Done()
		wait()
		if n := source.loads.Load(); n < 30 || n > 42 {
			t.Errorf("%d reloads in 10 s: want about 40", n)
		}
		if worst := source.worst.Load(); worst != 1 {
			t.Errorf("%d reloads at once", worst)
		}
		time.Sleep(5 * time.Second) // whatever is due still
		quiet := source.loads.Load()
		time.Sleep(time.Minute)
		if n := source.loads.Load(); n != quiet {
			t.Errorf("%d reloads after the flood", n-quiet)
		}
	})
}

func TestTrueIDIsFoundDuringAFlood(t *testing.T) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond, 240 * time.Millisecond, 400 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, source := newMemoryRing(t, Schedule{})
				source.beforeLoad = func(context.Context) error {
					time.Sleep(delay)
					return nil
				}
				ctx, cancel := context.WithCancel(t.Context())
				wait := flood(t, ctx, r)
				for i := range 30 {
					time.Sleep(time.Duration(rand.Int64N(int64(700 * time.Millisecond))))
					id := publish(t, source)
					// A reload that began before the key was written must
					// not be all that this call gets.
					start := time.Now()
					if _, err := r.Key(t.Context(), id, epoch); err != nil {
						t.Fatalf("true id %d, after %v: %v", i, time.Since(start), err)
					}
					if took := time.Since(start); took > time.Second {
						t.Fatalf("true id %d took %v", i, took)
					}
				}
				cancel()
				wait()
				time.Sleep(5 * time.Second) // a reload may still be under way
			})
		})
	}
}

// The same on the real clock, with real goroutines in each other's way.
func TestFloodOnTheRealClock(t *testing.T) {
	t.Parallel()
	r, source := newMemoryRing(t, Schedule{})
	source.loads.Store(0)
	start := time.Now()
	ctx, cancel := context.WithCancel(t.Context())
	wait := flood(t, ctx, r)
	for range rounds.Of(3, 6) {
		id := publish(t, source)
		before := time.Now()
		if _, err := r.Key(t.Context(), id, epoch); err != nil {
			t.Fatalf("a true id after %v: %v", time.Since(before), err)
		}
	}
	cancel()
	wait()
	if most := int64(time.Since(start)/reloadEvery) + 2; source.loads.Load() > most {
		t.Errorf("%d reloads in %v: want at most %d", source.loads.Load(), time.Since(start), most)
	}
}

func TestUnknownIDRespectsTheCallersContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		source.beforeLoad = func(ctx context.Context) error {
			<-ctx.Done()
			return ctx.Err()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
		defer cancel()
		start := time.Now()
		_, err := r.Key(ctx, junkID(), epoch)
		wantError(t, err, ErrUnknown)
		wantError(t, err, context.DeadlineExceeded)
		if took := time.Since(start); took != 30*time.Millisecond {
			t.Errorf("a caller with 30 ms waited for %v", took)
		}
		time.Sleep(5 * time.Second)
	})
}

// A caller that gives up does not end the reload of the others.
func TestCallerWhoGivesUpLeavesTheReload(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		source.beforeLoad = func(ctx context.Context) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(100 * time.Millisecond):
				return nil
			}
		}
		id := publish(t, source)
		ctx, cancel := context.WithCancel(t.Context())
		go r.Key(ctx, id, epoch)
		synctest.Wait()
		second := make(chan error)
		go func() {
			_, err := r.Key(t.Context(), id, epoch)
			second <- err
		}()
		cancel()
		if err := <-second; err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
	})
}

func TestUnknownIDWaitsOneSecondAtMost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		source.beforeLoad = func(context.Context) error {
			time.Sleep(3 * time.Second) // deaf to its context
			return nil
		}
		start := time.Now()
		_, err := r.Key(t.Context(), junkID(), epoch)
		wantError(t, err, ErrUnknown)
		wantError(t, err, context.DeadlineExceeded)
		if took := time.Since(start); took != ReloadWait {
			t.Errorf("waited for %v: want %v", took, ReloadWait)
		}
		time.Sleep(5 * time.Second)
	})
}

func TestReloadErrorIsJoinedIn(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	down := errors.New("the store is down")
	source.beforeLoad = func(context.Context) error { return down }
	_, err := r.Key(t.Context(), junkID(), epoch)
	wantError(t, err, ErrUnknown)
	wantError(t, err, down)
	if _, err := r.Primary(epoch); err != nil {
		t.Fatalf("the ring does not go on: %v", err)
	}
}

// Only an unknown id causes a reload; other refusals cost none.
func TestOnlyUnknownIDsReload(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	first := r.Set().Keys()[0].ID()
	must(r.Revoke(t.Context(), day(10), first, ""))(t)
	second, third := r.Set().Keys()[1].ID(), r.Set().Keys()[2].ID()
	source.loads.Store(0)
	_, err := r.Key(t.Context(), first, day(11))
	wantError(t, err, ErrRevoked)
	_, err = r.Key(t.Context(), second, day(400))
	wantError(t, err, ErrExpired)
	must(r.Key(t.Context(), third, day(11)))(t)
	if n := source.loads.Load(); n != 0 {
		t.Fatalf("%d reloads", n)
	}
}

func TestStaticRingNeverReloads(t *testing.T) { synctest.Test(t, testStaticRingNeverReloads) }

func testStaticRingNeverReloads(t *testing.T) {
	r := must(Static(staticSecrets[0]))(t)
	start := time.Now()
	for range 1000 {
		_, err := r.Key(t.Context(), junkID(), epoch)
		if err != ErrUnknown {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 0 {
		t.Fatalf("1000 unknown ids took %v: something waits", took)
	}
	if r.next != nil || r.running {
		t.Fatal("a reload is due")
	}
}

func TestKeeperIsNotCalledForTheSameVersion(t *testing.T) {
	_, source := newMemoryRing(t, Schedule{})
	keeper := &countingKeeper{Keeper: plainKeeper{}}
	r := must(Open(t.Context(), source, keeper))(t)
	for range 10 {
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.Key(t.Context(), junkID(), epoch)
	if n := keeper.decrypts.Load(); n != 1 {
		t.Fatalf("the keeper opened %d times: want once, at Open", n)
	}
	publish(t, source)
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if n := keeper.decrypts.Load(); n != 2 || keeper.encrypts.Load() != 0 {
		t.Fatalf("the keeper opened %d times and sealed %d times after one change", n, keeper.encrypts.Load())
	}
}

func TestVersionThatWentBack(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	_, old := source.read()
	must(r.Rotate(t.Context(), day(31), DefaultSeals))(t)
	kept := r.Set()
	source.put(1, old) // a restored backup

	wantError(t, r.Reload(t.Context()), ErrRollback)
	_, err := r.Key(t.Context(), junkID(), day(31))
	wantError(t, err, ErrUnknown)
	wantError(t, err, ErrRollback)
	_, err = r.Rotate(t.Context(), day(90), 0)
	wantError(t, err, ErrRollback)
	if version, _ := source.read(); version != 1 {
		t.Fatalf("the ring wrote version %d over a version that went back", version)
	}
	if r.Set() != kept {
		t.Fatal("the ring took the older set")
	}
	for _, k := range kept.Keys() {
		must(r.Key(t.Context(), k.ID(), day(31)))(t)
	}
	source.put(0, nil) // and then it is gone
	wantError(t, r.Reload(t.Context()), ErrAbsent)
	mustPrimary(t, r.Set(), day(31))
}

// A reload that was overtaken by a newer one while the keeper worked must not
// put its older set in place.
func TestOvertakenReloadChangesNothing(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	publish(t, source)
	keeper := &slowKeeper{}
	keeper.meanwhile = func() {
		keeper.meanwhile = nil
		publish(t, source)
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
	}
	r.keeper = keeper
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if v := r.Set().Version(); v != 3 {
		t.Fatalf("the ring holds version %d: want 3", v)
	}
}

type slowKeeper struct {
	plainKeeper
	meanwhile func()
}

func (k *slowKeeper) Decrypt(ctx context.Context, b []byte) ([]byte, error) {
	if k.meanwhile != nil {
		k.meanwhile()
	}
	return k.plainKeeper.Decrypt(ctx, b)
}

func TestRingGoesOnAfterABadDocument(t *testing.T) {
	keeper := testKeeper(t)
	source := new(memorySource)
	r := must(Create(t.Context(), source, keeper, epoch, Schedule{}))(t)
	_, good := source.read()
	seal := func(text string) []byte { return must(keeper.Encrypt(t.Context(), []byte(text)))(t) }
	for name, document := range map[string][]byte{
		"empty":               {},
		"another version":     good,
		"junk":                []byte("junk"),
		"sealed junk":         seal("junk"),
		"sealed, no keys":     seal(`{"format":"wafer/1 keyring","id":"01000000000000000000000000000000","version":2,"seals_seconds":2592000,"life_seconds":2592000,"keys":null}`),
		"sealed, bare object": seal("{}"),
	} {
		source.put(2, document)
		if err := r.Reload(t.Context()); err == nil {
			t.Errorf("%s: no error", name)
		}
		mustPrimary(t, r.Set(), epoch)
		if r.Set().Version() != 1 {
			t.Fatalf("%s: version %d", name, r.Set().Version())
		}
	}
}

func TestDerivedSurvivesReloadAndRotation(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	type cache struct{ subkey []byte }
	builds := 0
	build := func(subkey []byte) (*cache, error) {
		builds++
		return &cache{subkey}, nil
	}
	k := mustPrimary(t, r.Set(), epoch)
	first := must(Derived(k, Cookie, build))(t)
	for i := range 5 {
		if i%2 == 0 {
			publish(t, source)
		} else {
			must(openRing(t, source).Rotate(t.Context(), day(31+40*float64(i)), 0))(t)
		}
		before := r.Set()
		if err := r.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if r.Set() == before {
			t.Fatal("nothing was reloaded")
		}
	}
	must(r.Rotate(t.Context(), day(400), 0))(t)
	must(r.Revoke(t.Context(), day(401), r.Set().Keys()[2].ID(), ""))(t)
	again := r.Set().find(k.ID())
	if again == k {
		t.Fatal("the key object is the same: the test shows nothing")
	}
	if got := must(Derived(again, Cookie, build))(t); got != first || builds != 1 {
		t.Fatalf("after the reloads Derived gives %p, after %d builds: want %p", got, builds, first)
	}
}

// An id whose secret changes loses its derived values.
func TestDerivedDoesNotFollowTheIDAlone(t *testing.T) {
	s := handMade(t, Schedule{}, keySpec{id: 1})
	source := new(memorySource)
	source.put(1, must(marshalSet(s))(t))
	r := openRing(t, source)
	build := func(subkey []byte) (string, error) { return string(subkey), nil }
	first := must(Derived(r.Set().keys[0], Cookie, build))(t)
	other := handMade(t, Schedule{}, keySpec{id: 1})
	other.version = 2
	other.keys[0].material().secret[0] ^= 1
	source.put(2, must(marshalSet(other))(t))
	if err := r.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := must(Derived(r.Set().keys[0], Cookie, build))(t); got == first {
		t.Fatal("a new secret under an old id kept the old subkey")
	}
}

func TestRingUnderConcurrency(t *testing.T) {
	t.Parallel()
	r, source := newMemoryRing(t, Schedule{})
	stop := make(chan struct{})
	var group sync.WaitGroup
	var reads atomic.Int64
	for range 4 {
		group.Go(func() {
			var version uint64
			for {
				select {
				case <-stop:
					return
				default:
				}
				s := r.Set()
				if s.Version() < version {
					t.Errorf("the snapshot went from version %d to %d", version, s.Version())
					return
				}
				version = s.Version()
				k, err := s.Primary(day(400))
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := Derived(k, Purpose(reads.Add(1)%int64(purposeCount)), func(b []byte) ([]byte, error) { return b, nil }); err != nil {
					t.Error(err)
					return
				}
				_ = fmt.Sprint(s, k)
				runtime.Gosched()
			}
		})
	}
	other := openRing(t, source)
	for i := range 60 {
		must(other.Revoke(t.Context(), day(31).Add(time.Duration(i)*time.Hour), mustPrimary(t, other.Set(), day(31).Add(time.Duration(i)*time.Hour)).ID(), ""))(t)
		if err := r.Reload(t.Context()); err != nil {
			t.Error(err)
		}
		// On one processor the readers need a turn between two changes.
		for before := reads.Load(); reads.Load() == before && !t.Failed(); {
			runtime.Gosched()
		}
	}
	close(stop)
	group.Wait()
}
