package keyring

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Regression tests for faults found by attacking the package, each with the rule
// that the fault broke.

// A key that was revoked in the very millisecond in which another took over
// must not count as the other's successor, whichever id sorts first. It would
// make the primary expire a life from now: sessions would end early, and
// sealing would stop if Life is shorter than Seals.
func TestFound_RevokedInTheMillisecondOfTheTakeover(t *testing.T) {
	t.Run("create and revoke", func(t *testing.T) {
		for range 16 { // the order of the ids is random
			r, _ := newMemoryRing(t, Schedule{Seals: 30 * oneDay, Life: oneDay})
			must(r.Revoke(t.Context(), epoch, r.Set().Keys()[0].ID(), ""))(t)
			wantWholeLife(t, r.Set(), epoch)
		}
	})
	t.Run("two revocations with one time, as a command line makes them", func(t *testing.T) {
		for range 16 {
			r, _ := newMemoryRing(t, Schedule{})
			now := day(10)
			for _, k := range r.Set().Keys() {
				must(r.Revoke(t.Context(), now, k.ID(), ""))(t)
			}
			wantWholeLife(t, r.Set(), now)
		}
	})
}

// wantWholeLife fails unless everything sealed from now until the next
// takeover opens for its whole life.
func wantWholeLife(t *testing.T, s *Set, now time.Time) {
	t.Helper()
	primary := mustPrimary(t, s, now)
	next := s.next(now)
	if want := next.activates.Add(s.schedule.Life); !primary.expires.Equal(want) {
		t.Fatalf("the primary expires %v after now: want %v, a life after its successor takes over", primary.expires.Sub(now), want.Sub(now))
	}
	if k := mustPrimary(t, s, next.activates.Add(-time.Millisecond)); k != primary {
		t.Fatalf("%v seals before the takeover: want %v", k, primary)
	}
}

// A reason that is not UTF-8 must not make a document that nobody can read: JSON
// writes an invalid byte and the character that replaces it differently.
func TestFound_ReasonThatIsNotUTF8(t *testing.T) {
	for _, reason := range []string{"\xff", "caf\xe9", "\xed\xa0\x80", "\ufffd", "\x00\x7f\u2028\U0010ffff"} {
		r, source := newMemoryRing(t, Schedule{})
		if _, err := r.Revoke(t.Context(), day(1), r.Set().Keys()[0].ID(), reason); err != nil {
			t.Fatalf("a revocation must not fail for its reason %q: %v", reason, err)
		}
		if _, err := Open(t.Context(), source, plainKeeper{}); err != nil {
			t.Errorf("reason %q: the document is lost: %v", reason, err)
		}
	}
}

// A reason that is too long must not make a file that nobody can read.
func TestFound_ReasonThatIsTooLong(t *testing.T) {
	path := newRingFile(t)
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	if _, err := r.Revoke(t.Context(), day(1), r.Set().Keys()[0].ID(), strings.Repeat("é", maxFile/2)); err != nil {
		t.Errorf("a revocation must not fail for its reason: %v", err)
	}
	if _, err := Open(t.Context(), File(path), testKeeper(t)); err != nil {
		t.Errorf("the file is lost: %v", err)
	}
}

// File must not store anything that it would then refuse to load.
func TestFound_FileStoresOnlyWhatItLoads(t *testing.T) {
	path := newRingFile(t)
	swapped, err := File(path).SwapKeys(t.Context(), 1, make([]byte, maxFile))
	if swapped || err == nil {
		t.Errorf("stored a document of %d bytes: %v", maxFile, err)
	}
	if _, _, err := File(path).LoadKeys(t.Context()); err != nil {
		t.Errorf("the file is lost: %v", err)
	}
}

// A slow read during which the ring itself moved on is not a rollback.
func TestFound_SlowReadIsNotWentBack(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	source.afterLoad = func() { // between the read and its use
		source.afterLoad = nil
		if _, err := r.Rotate(t.Context(), day(31), DefaultSeals); err != nil {
			t.Error(err)
		}
	}
	if err := r.Reload(t.Context()); err != nil {
		t.Fatalf("a reload beside a rotation: %v", err)
	}
	if r.Set().Version() != 2 {
		t.Fatalf("version %d", r.Set().Version())
	}
}

// The same without a test double: many goroutines change one ring.
func TestFound_ManyChangeOneRing(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	var group sync.WaitGroup
	for i := range 10 {
		group.Go(func() {
			for j := range 20 {
				if _, err := r.Rotate(t.Context(), day(31+float64(31*(10*j+i))), 0); err != nil {
					t.Errorf("Rotate: %v", err)
					return
				}
			}
		})
		group.Go(func() {
			for range 200 {
				if err := r.Reload(t.Context()); err != nil {
					t.Errorf("Reload: %v", err)
					return
				}
			}
		})
	}
	group.Wait()
}

// One reload runs at a time, even if a read takes longer than the interval or
// never ends: junk must not pile up goroutines on a source that hangs.
func TestFound_OneReloadAtATimeFromASlowSource(t *testing.T) {
	for _, slow := range []time.Duration{600 * time.Millisecond, 20 * time.Second} {
		t.Run(slow.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r, source := newMemoryRing(t, Schedule{})
				source.beforeLoad = func(context.Context) error {
					time.Sleep(slow) // deaf to its context, as a file system that hangs
					return nil
				}
				ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
				defer cancel()
				wait := flood(t, ctx, r)
				<-ctx.Done()
				wait()
				time.Sleep(time.Minute)
				if worst := source.worst.Load(); worst != 1 {
					t.Errorf("%d reloads at once", worst)
				}
			})
		})
	}
}

// A schedule that no document can hold is refused by Create, before keys are
// made under it.
func TestFound_ScheduleThatCannotBeKept(t *testing.T) {
	for what, schedule := range map[string]Schedule{
		"a life that parseSet refuses":      {Life: math.MaxInt64},
		"seals that parseSet refuses":       {Seals: math.MaxInt64},
		"seals of two hundred years":        {Seals: 200 * 365 * oneDay},
		"a life of two hundred years":       {Seals: 50 * 365 * oneDay, Life: 200 * 365 * oneDay},
		"more keys at once than MaxKeys":    {Seals: 2 * Lead, Life: 30 * oneDay},
		"a life of no whole seconds":        {Life: oneDay + time.Second/2},
		"a seals period of no whole second": {Seals: oneDay + time.Second/2},
	} {
		source := new(memorySource)
		r, err := Create(t.Context(), source, plainKeeper{}, epoch, schedule)
		if err != nil {
			continue
		}
		again, err := Open(t.Context(), source, plainKeeper{})
		if err != nil {
			t.Errorf("%s: Create made a document that does not open: %v", what, err)
			continue
		}
		if again.Set().Schedule() != r.Set().Schedule() {
			t.Errorf("%s: %v where it was made, %v where it was read", what, r.Set().Schedule(), again.Set().Schedule())
		}
		if want := r.Set().Schedule(); want.Life/want.Seals+2 > MaxKeys {
			t.Errorf("%s: accepted", what)
		}
	}
}

// A full set must not prevent a revocation, and removing a key to make room must
// not let it come back.
func TestFound_RevokeInAFullSet(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{Life: 5 * oneDay})
	dead := make(map[ID]bool)
	now := day(31)
	for i := range MaxKeys + 20 {
		now = day(31).Add(time.Duration(i) * time.Hour)
		primary := mustPrimary(t, r.Set(), now)
		if _, err := r.Revoke(t.Context(), now, primary.ID(), ""); err != nil {
			t.Fatalf("revocation %d, of the primary, within %v: %v", i+1, now.Sub(day(31)), err)
		}
		if k := mustPrimary(t, r.Set(), now); dead[k.ID()] || k.ID() == primary.ID() {
			t.Fatalf("%v seals again after revocation %d", k, i+1)
		}
		for _, k := range r.Set().keys {
			if err := k.accepts(now); err != nil {
				dead[k.id] = true
			} else if dead[k.id] {
				t.Fatalf("%v opens again after revocation %d", k, i+1)
			}
		}
	}
	if err := r.RevokeAll(t.Context(), now.Add(time.Minute), ""); err != nil {
		t.Fatalf("RevokeAll: %v", err)
	}
	mustPrimary(t, r.Set(), now.Add(time.Minute))
}

// A set that nobody prunes must not stop a rotation.
func TestFound_RotateInASetThatNobodyPrunes(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{Seals: oneDay, Life: oneDay})
	for d := 1; d < MaxKeys+20; d++ {
		if _, err := r.Rotate(t.Context(), day(float64(d)), oneDay); err != nil {
			t.Fatalf("day %d: %v", d, err)
		}
	}
}

// Clocks differ by seconds. A revocation by a node whose clock is ahead takes
// the primary from all, so the next key must seal on all.
func TestFound_RevocationByAClockThatIsAhead(t *testing.T) {
	const skew = 5 * time.Second
	r, source := newMemoryRing(t, Schedule{})
	slow := openRing(t, source)
	now := day(10)
	must(r.Revoke(t.Context(), now.Add(skew), r.Set().Keys()[0].ID(), ""))(t)
	if err := slow.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	a, err := slow.Primary(now)
	if err != nil {
		t.Fatalf("a node whose clock is %v behind cannot seal: %v", skew, err)
	}
	if b := mustPrimary(t, r.Set(), now.Add(skew)); a.ID() != b.ID() {
		t.Fatalf("%v seals on one node, %v on the other", a, b)
	}
}

// After a restored backup that others went on from, the same version number
// names another set. A ring that holds the first must notice before it writes
// over the second: with it would go the others' keys and revocations.
func TestFound_AnotherSetUnderTheSameVersion(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	_, backup := source.read()
	must(r.Rotate(t.Context(), day(31), DefaultSeals))(t) // version 2
	source.put(1, backup)
	other := openRing(t, source)
	second := other.Set().Keys()[1].ID()
	must(other.Revoke(t.Context(), day(32), second, "leaked"))(t) // version 2 again
	if _, err := r.Rotate(t.Context(), day(33), 0); err == nil {
		if _, err := openRing(t, source).Set().Key(second, day(33)); err == nil {
			t.Fatal("the others' revocation was written over")
		}
	} else if !errors.Is(err, ErrRollback) {
		t.Fatal(err)
	}
}

// A key file that cannot be read is not empty, and bytes after the key are not
// overlooked.
func TestFound_KeeperFileIsReadWholeOrNotAtAll(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "keeper")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeeper(dir); err == nil || strings.Contains(err.Error(), "openssl") {
		t.Errorf("a directory: %v", err)
	}
	long := filepath.Join(t.TempDir(), "keeper")
	writeFile(t, long, []byte(keeperText+strings.Repeat("\n", 100)+"a second line"))
	if _, err := OpenKeeper(long); err == nil {
		t.Error("accepted a key with something after it")
	}
}

// Package fmt follows a pointer that does not suit the verb, so a secret that a
// Formatter hides must not be one pointer away if fmt cannot call the Formatter.
func TestFound_VerbsThatFollowAPointer(t *testing.T) {
	s := handMade(t, Schedule{}, keySpec{id: 0x5a}) // the secret is 90 90 90 …
	hidden := struct{ k Key }{*s.keys[0]}
	for _, format := range []string{"%s", "%q", "%t"} {
		for what, v := range map[string]any{"a Key": *s.keys[0], "a struct that holds a Key": hidden} {
			if text := fmt.Sprintf(format, v); strings.Contains(text, "90 90 90 90") {
				t.Errorf("%s of %s shows its secret: %.120s…", format, what, text)
			}
		}
	}
	secret := must(decodeSecret(keeperText))(t)
	key := independentHKDF(secret, "wafer/1 keeper", 32)
	for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
		word := fmt.Sprint(order.Uint32(key))
		for _, format := range []string{"%s", "%q", "%t"} {
			if text := fmt.Sprintf(format, testKeeper(t)); strings.Contains(text, word) {
				t.Errorf("%s of a keeper shows its AES key: %.120s…", format, text)
			}
		}
	}
}

// A key that may not open is not handed out beside the error.
func TestFound_SetKeyHandsOutNoRefusedKey(t *testing.T) {
	s := handMade(t, Schedule{}, keySpec{id: 1, revoked: 1}, keySpec{id: 2, activates: 1})
	if k, err := s.Key(idOf(1), day(2)); k != nil || err != ErrRevoked {
		t.Errorf("a revoked key: %v, %v", k, err)
	}
}
