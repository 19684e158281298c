package keyring

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// secretsOf returns n static secrets; the first seals.
func secretsOf(n int) (secrets []string) {
	for i := range n {
		secrets = append(secrets, strings.Repeat(string("0123456789abcdef"[i]), 64))
	}
	return secrets
}

func TestImportKeepsIDsAndSecrets(t *testing.T) {
	for n := 1; n <= 4; n++ {
		static := must(Static(secretsOf(n)...))(t)
		source := new(memorySource)
		now := day(1).Add(300 * time.Microsecond)
		ring := must(Import(t.Context(), source, plainKeeper{}, now, Schedule{}, secretsOf(n)...))(t)
		// Nothing hurries the takeover: the deployment has schedule.Seals.
		if changed, err := ring.MaintainOnce(t.Context(), day(1.5), DefaultSeals); changed || err != nil {
			t.Errorf("%d secrets: maintained at once: %v, %v", n, changed, err)
		}
		for _, r := range []*Ring{ring, openRing(t, source)} {
			if keys := r.Set().Keys(); len(keys) != n+1 || r.Set().Version() != 1 {
				t.Fatalf("%d secrets became %v", n, r)
			}
			for _, k := range static.Set().Keys() {
				imported := r.Set().find(k.ID())
				if imported == nil || imported.material().secret != k.material().secret || !imported.Created().IsZero() {
					t.Errorf("%d secrets: %v became %v", n, k, imported)
				}
			}
			// The same key seals on both sides, even if clocks differ a little.
			for _, skew := range []time.Duration{0, 5 * time.Second, time.Hour, DefaultSeals - time.Minute - time.Second} {
				if a, b := mustPrimary(t, static.Set(), day(1)), mustPrimary(t, r.Set(), day(1).Add(skew)); a.ID() != b.ID() {
					t.Errorf("%d secrets: %v after the import %v seals, %v before", n, skew, b, a)
				}
			}
			if k := mustPrimary(t, r.Set(), day(1).Add(DefaultSeals)); static.Set().has(k.ID()) {
				t.Errorf("%d secrets: the next key does not take over: %v", n, k)
			}
			// A node whose clock is behind seals under a key that all accept.
			behind := 30 * time.Second
			if n > 1 {
				behind = time.Hour
			}
			if k := mustPrimary(t, r.Set(), day(1).Add(-behind)); !static.Set().has(k.ID()) {
				t.Errorf("%d secrets: a clock behind seals with %v", n, k)
			}
		}
	}
}

// Nothing that any static node sealed up to the takeover is refused within its
// life, whichever of the secrets sealed it, with maintenance from the import on.
func TestImportLogsNobodyOut(t *testing.T) {
	schedule := Schedule{Seals: 2 * oneDay, Life: 3 * oneDay}
	static := must(Static(secretsOf(3)...))(t)
	r := must(Import(t.Context(), new(memorySource), plainKeeper{}, day(1), schedule, secretsOf(3)...))(t)
	newest, takeover := mustPrimary(t, static.Set(), day(1)).ID(), day(3)
	for now := day(1); now.Before(day(10)); now = now.Add(20 * time.Minute) {
		must(r.MaintainOnce(t.Context(), now, schedule.Seals))(t)
		for _, k := range static.Set().Keys() {
			sealed := day(1).Add(-time.Second) // the last time an old secret could seal
			if k.ID() == newest {
				sealed = takeover
			}
			_, err := r.Set().Key(k.ID(), now)
			if lives := now.Before(sealed.Add(schedule.Life)); lives && err != nil {
				t.Fatalf("%v after the import, under %v: %v", now.Sub(day(1)), k, err)
			} else if !lives && now.After(sealed.Add(schedule.Life+time.Minute)) && err == nil {
				t.Fatalf("%v after the import %v still opens", now.Sub(day(1)), k)
			}
		}
	}
	if len(r.Set().Keys()) > 4 {
		t.Errorf("the secrets were not pruned: %v", r)
	}
}

func TestImportAndMoveAreExclusive(t *testing.T) {
	taken := new(memorySource)
	must(Create(t.Context(), taken, plainKeeper{}, epoch, Schedule{}))(t)
	before := bytes.Clone(taken.document)
	ring, from := newMemoryRing(t, Schedule{})
	asked := &countingKeeper{Keeper: plainKeeper{}}
	_, err := Import(t.Context(), taken, asked, epoch, Schedule{}, secretsOf(1)...)
	wantError(t, err, ErrExists)
	_, err = Move(t.Context(), ring, taken, asked, epoch)
	wantError(t, err, ErrExists)
	if !bytes.Equal(taken.document, before) || asked.encrypts.Load() != 0 || from.version != 1 {
		t.Error("something was written, or sealed, in spite of the document there")
	}

	// Another writer comes between the check and the swap.
	for name, try := range map[string]func(Source) error{
		"Import": func(s Source) error {
			_, err := Import(t.Context(), s, plainKeeper{}, epoch, Schedule{}, secretsOf(1)...)
			return err
		},
		"Move": func(s Source) error {
			_, err := Move(t.Context(), ring, s, plainKeeper{}, epoch)
			return err
		},
	} {
		source := new(memorySource)
		source.beforeSwap = func() error {
			source.put(1, []byte("theirs"))
			return nil
		}
		if err := try(source); err != ErrExists || string(source.document) != "theirs" {
			t.Errorf("%s: %v, and the document is %.20q", name, err, source.document)
		}
		away := errors.New("away")
		if err := try(&memorySource{beforeLoad: func(context.Context) error { return away }}); !errors.Is(err, away) {
			t.Errorf("%s from a source that is away: %v", name, err)
		}
	}
}

func TestImportRefusesAndQuotesNothing(t *testing.T) {
	secret := strings.Repeat("7", 63) // one digit short
	for name, try := range map[string]func() error{
		"no secret": func() error {
			_, err := Import(t.Context(), new(memorySource), plainKeeper{}, epoch, Schedule{})
			return err
		},
		"a short one": func() error {
			_, err := Import(t.Context(), new(memorySource), plainKeeper{}, epoch, Schedule{}, secret)
			return err
		},
		"one twice": func() error {
			_, err := Import(t.Context(), new(memorySource), plainKeeper{}, epoch, Schedule{}, secret+"7", secret+"7")
			return err
		},
		"a bad schedule": func() error {
			_, err := Import(t.Context(), new(memorySource), plainKeeper{}, epoch, Schedule{Seals: time.Minute}, secret+"7")
			return err
		},
	} {
		if err := try(); err == nil || strings.Contains(err.Error(), "777") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// between lists the moves that operators make.
func between(t *testing.T) map[string][2]Source {
	dir := t.TempDir()
	return map[string][2]Source{
		"file to store": {File(filepath.Join(dir, "a")), new(memorySource)},
		"store to file": {new(memorySource), File(filepath.Join(dir, "b"))},
		"file to file":  {File(filepath.Join(dir, "c")), File(filepath.Join(dir, "d"))},
	}
}

func TestMoveKeepsEverything(t *testing.T) {
	for name, sources := range between(t) {
		t.Run(name, func(t *testing.T) {
			oldKeeper, newKeeper := testKeeper(t), must(NewKeeper(strings.Repeat("cd", 32)))(t)
			old := must(Create(t.Context(), sources[0], oldKeeper, epoch, Schedule{Seals: 20 * oneDay, Life: 40 * oneDay}))(t)
			must(old.Rotate(t.Context(), day(20), 0))(t)
			must(old.Revoke(t.Context(), day(21), old.Set().Keys()[0].ID(), "a laptop was lost"))(t)
			stale := must(Open(t.Context(), sources[0], oldKeeper))(t)
			must(old.Rotate(t.Context(), day(25), 20*oneDay))(t)
			must(Move(t.Context(), stale, sources[1], newKeeper, day(25)))(t)

			moved := must(Open(t.Context(), sources[1], newKeeper))(t)
			if moved.Set().Version() != old.Set().Version() || moved.Set().ID() != old.Set().ID() || moved.Set().Schedule() != old.Set().Schedule() {
				t.Fatalf("moved: %v, schedule %v", moved, moved.Set().Schedule())
			}
			same := func(a, b *Key) bool {
				ra, _ := a.Revocation()
				rb, _ := b.Revocation()
				return a.ID() == b.ID() && a.material().secret == b.material().secret && a.Created().Equal(b.Created()) &&
					a.Activates().Equal(b.Activates()) && a.Expires().Equal(b.Expires()) && ra.At.Equal(rb.At) && ra.Reason == rb.Reason
			}
			if !slices.EqualFunc(old.Set().Keys(), moved.Set().Keys(), same) {
				t.Fatalf("%v became %v", old, moved)
			}
			// The old document stands, and opens; the new one changes by itself.
			must(Open(t.Context(), sources[0], oldKeeper))(t)
			must(moved.Rotate(t.Context(), day(60), 0))(t)
			_, err := Open(t.Context(), sources[1], oldKeeper)
			if err == nil {
				t.Error("the new document opens with the old keeper")
			}
		})
	}
}

// Old and new nodes, each maintained over its own document, open what the other
// sealed until the takeover that Move leaves time for.
func TestMoveLetsBothKindsServe(t *testing.T) {
	for _, at := range []float64{0, 5, 29.9, 30, 31, 45, 200} { // days after Create; old keys as nobody maintained them
		old, _ := newMemoryRing(t, Schedule{})
		moved, err := Move(t.Context(), old, new(memorySource), plainKeeper{}, day(at))
		if err != nil {
			t.Fatalf("on day %v: %v", at, err)
		}
		next := old.Set().next(day(at))
		if next == nil || next.Activates().Sub(day(at)) < Lead {
			t.Fatalf("on day %v: the next key is %v", at, next)
		}
		for now := day(at); now.Before(next.Activates()); now = now.Add(10 * time.Minute) {
			for _, r := range []*Ring{old, moved} {
				must(r.MaintainOnce(t.Context(), now, DefaultSeals))(t)
			}
			a, b := mustPrimary(t, old.Set(), now), mustPrimary(t, moved.Set(), now)
			if a.ID() != b.ID() {
				t.Fatalf("on day %v: %v seals over the old document, %v over the new one", at, a, b)
			}
		}
		for _, r := range []*Ring{old, moved} {
			if k := mustPrimary(t, r.Set(), next.Activates()); k.ID() != next.ID() {
				t.Errorf("on day %v: %v takes over: want %v", at, k, next)
			}
		}
	}
}

func TestMoveRefusesShortlyBeforeATakeover(t *testing.T) {
	for at, ok := range map[time.Duration]bool{Lead: true, Lead - time.Second: false, time.Minute: false, 0: true} {
		r, from := newMemoryRing(t, Schedule{})
		to := new(memorySource)
		_, err := Move(t.Context(), r, to, plainKeeper{}, day(30).Add(-at))
		if (err == nil) != ok || (to.version != 0) != ok {
			t.Errorf("%v before the takeover: %v, version %d", at, err, to.version)
		}
		if !ok && from.version != 1 {
			t.Errorf("%v before the takeover: the old document was changed", at)
		}
	}
}

func TestMoveOfWhatCannotBeMoved(t *testing.T) {
	static := must(Static(keeperText))(t)
	_, err := Move(t.Context(), static, new(memorySource), plainKeeper{}, epoch)
	wantError(t, err, ErrStatic)
	r, from := newMemoryRing(t, Schedule{})
	away := errors.New("away")
	from.beforeLoad = func(context.Context) error { return away }
	to := new(memorySource)
	_, err = Move(t.Context(), r, to, plainKeeper{}, epoch)
	if wantError(t, err, away); to.version != 0 {
		t.Error("keys that may be old were moved")
	}
}
