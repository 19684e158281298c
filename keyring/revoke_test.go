package keyring

import (
	"testing"
	"time"
)

func TestRevokePrimaryHandsOverAtOnce(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	first, next := r.Set().Keys()[0], r.Set().Keys()[1]
	now := day(10)
	changed, err := r.Revoke(t.Context(), now, first.ID(), "lost laptop")
	if err != nil || !changed {
		t.Fatal(changed, err)
	}
	if k := mustPrimary(t, r.Set(), now); k.ID() != next.ID() {
		t.Fatalf("primary after the revocation is %v: want the published next, %v", k, next)
	}
	_, err = r.Key(t.Context(), first.ID(), now)
	wantError(t, err, ErrRevoked)
	_, err = r.Key(t.Context(), first.ID(), day(-10)) // a clock has no part in it
	wantError(t, err, ErrRevoked)
	why, ok := r.Set().find(first.ID()).Revocation()
	if !ok || why.Reason != "lost laptop" || !why.At.Equal(now) {
		t.Fatalf("the revocation on record is %v, %v", why, ok)
	}
	keys := r.Set().Keys()
	// The takeover may be dated back a little, for clocks that are behind.
	if due := keys[len(keys)-1].Activates(); len(keys) != 3 || due.After(now.Add(DefaultSeals)) || due.Before(now.Add(DefaultSeals-Lead)) {
		t.Fatalf("the next of the next is due %v: %v", due, r)
	}
	if k := mustPrimary(t, r.Set(), now.Add(DefaultSeals)); k.ID() != keys[2].ID() {
		t.Fatalf("the next of the next does not take over: %v", k)
	}
	if _, revoked := first.Revocation(); revoked {
		t.Fatal("the snapshot from before was changed")
	}
}

func TestRevokePrimaryWithoutANextMakesOne(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	now := day(100) // the second key seals, no rotation came
	second := mustPrimary(t, r.Set(), now)
	must(r.Revoke(t.Context(), now, second.ID(), ""))(t)
	k := mustPrimary(t, r.Set(), now)
	if k.ID() == second.ID() || k.ID() == r.Set().Keys()[0].ID() || r.Set().next(now) == nil {
		t.Fatalf("%v seals, of %v", k, r)
	}
}

func TestRevokeOldKeyChangesNothingElse(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	now := day(31)
	must(r.Rotate(t.Context(), now, DefaultSeals))(t)
	before := r.Set()
	must(r.Revoke(t.Context(), now, before.Keys()[0].ID(), ""))(t)
	after := r.Set()
	if len(after.Keys()) != 3 {
		t.Fatalf("%v became %v", before, after)
	}
	for i, k := range before.Keys() {
		a := after.Keys()[i]
		if a.ID() != k.ID() || !a.Activates().Equal(k.Activates()) || !a.Expires().Equal(k.Expires()) {
			t.Errorf("%v: from %v until %v became from %v until %v", k, k.Activates(), k.Expires(), a.Activates(), a.Expires())
		}
		if _, err := after.Key(k.ID(), now); (err == nil) != (i != 0) {
			t.Errorf("%v opens: %v", k, err)
		}
	}
}

func TestRevokePendingKeyPublishesAnother(t *testing.T) {
	for _, c := range []struct {
		name     string
		at       float64
		takeover time.Time
	}{
		{"early: the schedule stands", 10, day(30)},
		{"late: a lead ahead", 29.99, day(29.99).Add(Lead)},
	} {
		t.Run(c.name, func(t *testing.T) {
			r, _ := newMemoryRing(t, Schedule{})
			first, pending := r.Set().Keys()[0], r.Set().Keys()[1]
			now := day(c.at)
			must(r.Revoke(t.Context(), now, pending.ID(), ""))(t)
			if k := mustPrimary(t, r.Set(), now); k.ID() != first.ID() {
				t.Fatalf("primary is %v: want still %v", k, first)
			}
			next := r.Set().next(now)
			if next == nil || next.ID() == pending.ID() || !next.Activates().Equal(c.takeover) {
				t.Fatalf("the next key is %v: want a fresh one from %v", next, c.takeover)
			}
			if want := c.takeover.Add(DefaultLife); !r.Set().find(first.ID()).Expires().Equal(want) {
				t.Fatalf("the primary expires %v: want %v, by the key that does take over", r.Set().find(first.ID()).Expires(), want)
			}
			if k := mustPrimary(t, r.Set(), c.takeover.Add(-time.Millisecond)); k.ID() != first.ID() {
				t.Fatalf("%v seals before the takeover", k)
			}
		})
	}
}

func TestRevokeUnknownIsAnErrorAndTwiceIsNot(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	_, err := r.Revoke(t.Context(), day(1), ID{1, 2, 3, 4}, "")
	wantError(t, err, ErrUnknown)
	if source.version != 1 {
		t.Fatalf("version %d after an error", source.version)
	}
	id := r.Set().Keys()[0].ID()
	must(r.Revoke(t.Context(), day(1), id, "first"))(t)
	changed, err := r.Revoke(t.Context(), day(2), id, "second")
	if err != nil || changed || source.version != 2 {
		t.Fatalf("twice: changed %v, %v, version %d", changed, err, source.version)
	}
	if why, _ := r.Set().find(id).Revocation(); why.Reason != "first" || !why.At.Equal(day(1)) {
		t.Fatalf("the second revocation replaced the first: %v", why)
	}
}

// Revoke finds a key that another node made meanwhile, because it reads the
// newest set.
func TestRevokeSeesTheNewestSet(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	other := openRing(t, source)
	must(other.Rotate(t.Context(), day(31), DefaultSeals))(t)
	fresh := other.Set().Keys()[2].ID()
	must(r.Revoke(t.Context(), day(31), fresh, ""))(t)
	if source.version != 3 || len(r.Set().Keys()) != 4 {
		t.Fatalf("version %d with %v", source.version, r)
	}
}

func TestRevokeAll(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	now := day(31)
	must(r.Rotate(t.Context(), now, DefaultSeals))(t)
	old := r.Set().Keys()
	must(r.Revoke(t.Context(), now, old[0].ID(), "lost before"))(t)
	if err := r.RevokeAll(t.Context(), now.Add(time.Hour), "the document leaked"); err != nil {
		t.Fatal(err)
	}
	for _, k := range old {
		_, err := r.Key(t.Context(), k.ID(), now)
		wantError(t, err, ErrRevoked)
		want := Revocation{now.Add(time.Hour), "the document leaked"}
		if k == old[0] {
			want = Revocation{now, "lost before"}
		}
		if why, _ := r.Set().find(k.ID()).Revocation(); why.Reason != want.Reason || !why.At.Equal(want.At) {
			t.Fatalf("%v was revoked %v for %q: want %v", k, why.At, why.Reason, want)
		}
	}
	keys := r.Set().Keys()
	if len(keys) != len(old)+2 {
		t.Fatalf("%v: want two fresh keys", r)
	}
	primary := mustPrimary(t, r.Set(), now.Add(time.Hour))
	next := r.Set().next(now.Add(time.Hour))
	for _, k := range old {
		if primary.ID() == k.ID() || next == nil || next.ID() == k.ID() {
			t.Fatalf("%v seals and %v is next, of the old keys", primary, next)
		}
		if k.material().secret == primary.material().secret || k.material().secret == next.material().secret {
			t.Fatal("a fresh key has an old secret")
		}
	}
}

// Revoking one key after the other, oldest first, is the same as all at once:
// it never stops sealing.
func TestRevokeOneByOneNeverStopsSealing(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	for i := range 40 {
		now := day(31).Add(time.Duration(i) * time.Minute)
		for _, k := range r.Set().Keys() {
			if _, revoked := k.Revocation(); !revoked {
				must(r.Revoke(t.Context(), now, k.ID(), ""))(t)
				break
			}
		}
		mustPrimary(t, r.Set(), now)
		if r.Set().next(now) == nil {
			t.Fatalf("no next key after revocation %d", i+1)
		}
	}
}
