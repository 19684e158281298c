package codec_test

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// A store that changes one thing in a row makes another family of it, which has
// another seal.
func TestPromise2_AFamilyIsWhatWasSealed(t *testing.T) {
	seals := newFamilySeals(t, staticRing(t, secret(1)), instance)
	seal, err := seals.Seal(now, vectorIdentity())
	fatal(t, err)
	if len(seal) != codec.FamilySealSize || codec.FamilySealSize != 20 {
		t.Errorf("the seal has %d bytes: want 20", len(seal))
	}
	fatal(t, seals.Verify(ctx, now, seal, vectorIdentity()))
	seen := map[string]string{string(seal): "the original"}
	for what, change := range changedIdentities() {
		f := vectorIdentity()
		change(f)
		if err := seals.Verify(ctx, now, seal, f); err != codec.ErrForged {
			t.Errorf("%s: %v: want ErrForged", what, err)
		}
		other, err := seals.Seal(now, f)
		fatal(t, err)
		if same := seen[string(other)]; same != "" {
			t.Errorf("%s has the seal of %s", what, same)
		}
		seen[string(other)] = what
		fatal(t, seals.Verify(ctx, now, other, f))
	}
	for i := range 8 * len(seal) {
		changed := bytes.Clone(seal)
		changed[i/8] ^= 1 << (i % 8)
		want := codec.ErrForged
		if i < 32 {
			want = keyring.ErrUnknown
		}
		if err := seals.Verify(ctx, now, changed, vectorIdentity()); !errors.Is(err, want) {
			t.Errorf("bit %d of the seal changed: %v: want %v", i, err, want)
		}
	}
}

func TestPromise2_AFamilyBelongsToOneInstance(t *testing.T) {
	ring := staticRing(t, secret(1))
	seal, err := newFamilySeals(t, ring, instance).Seal(now, vectorIdentity())
	fatal(t, err)
	for _, other := range []codec.Instance{
		{Realm: realm, SessionCookie: "__Host-staff"}, {Realm: realm, SessionCookie: name + "n"}, {Realm: realm, SessionCookie: "__host-session"},
		{Realm: "shop.example/production", SessionCookie: name},
		{Realm: realm[:len(realm)-1], SessionCookie: realm[len(realm)-1:] + name}, {Realm: realm + name[:1], SessionCookie: name[1:]},
	} {
		if err := newFamilySeals(t, ring, other).Verify(ctx, now, seal, vectorIdentity()); err != codec.ErrForged {
			t.Errorf("%q: %v: want ErrForged", other, err)
		}
	}
}

// A seal is as good as its key. So revoking a key ends every family that was
// sealed under it.
func TestPromise2_FamiliesOfKeysThatTheRingRefuses(t *testing.T) {
	const day = 24 * time.Hour
	old := documentKey{id: "00000001", secret: 1, activates: now.Add(-100 * day)}
	revoked := old
	revoked.revoked = true
	successor := func(before time.Duration) documentKey {
		return documentKey{id: "00000002", secret: 2, activates: now.Add(-before)}
	}
	seal, err := newFamilySeals(t, documentRing(t, document(old)), instance).Seal(now, vectorIdentity())
	fatal(t, err)
	for _, c := range []struct {
		name string
		ring *keyring.Ring
		want error
	}{
		{"still accepted", documentRing(t, document(old, successor(30*day-time.Millisecond))), nil},
		{"expired", documentRing(t, document(old, successor(30*day))), keyring.ErrExpired},
		{"revoked", documentRing(t, document(revoked, successor(day))), keyring.ErrRevoked},
		{"dropped", staticRing(t, secret(1)), keyring.ErrUnknown},
		{"another secret of the same id", documentRing(t, document(documentKey{id: "00000001", secret: 3, activates: now.Add(-day)})), codec.ErrForged},
	} {
		if err := newFamilySeals(t, c.ring, instance).Verify(ctx, now, seal, vectorIdentity()); !errors.Is(err, c.want) {
			t.Errorf("%s: %v: want %v", c.name, err, c.want)
		}
	}
	none := documentRing(t, document(documentKey{id: "00000001", secret: 1, activates: now.Add(time.Hour)}))
	if _, err := newFamilySeals(t, none, instance).Seal(now, vectorIdentity()); !errors.Is(err, keyring.ErrNoPrimary) {
		t.Errorf("without a primary: %v: want ErrNoPrimary", err)
	}
}

// A row that is out of range was never sealed, whatever its seal.
func TestFamilySealRefusesWhatIsOutOfRange(t *testing.T) {
	seals := newFamilySeals(t, staticRing(t, secret(1)), instance)
	seal, err := seals.Seal(now, vectorIdentity())
	fatal(t, err)
	long := strings.Repeat("l", 256)
	for what, change := range map[string]func(f *codec.FamilyIdentity){
		"no subject":                     func(f *codec.FamilyIdentity) { f.Subject = "" },
		"a long subject":                 func(f *codec.FamilyIdentity) { f.Subject = long },
		"a short key":                    func(f *codec.FamilyIdentity) { f.Key = f.Key[:31] },
		"a long key":                     func(f *codec.FamilyIdentity) { f.Key = append(f.Key, 1) },
		"five names":                     func(f *codec.FamilyIdentity) { f.Names = [][32]byte{{1}, {2}, {3}, {4}, {5}} },
		"a name twice":                   func(f *codec.FamilyIdentity) { f.Names = [][32]byte{{1}, {2}, {1}} },
		"a long actor":                   func(f *codec.FamilyIdentity) { f.Actor = long },
		"256 methods":                    func(f *codec.FamilyIdentity) { f.Methods = slices.Repeat([]string{"m"}, 256) },
		"an empty method":                func(f *codec.FamilyIdentity) { f.Methods = []string{"pwd", ""} },
		"a long method":                  func(f *codec.FamilyIdentity) { f.Methods = []string{long} },
		"a long level":                   func(f *codec.FamilyIdentity) { f.Level = long },
		"started before 1970":            func(f *codec.FamilyIdentity) { f.Started = time.UnixMilli(-1) },
		"authenticated after the format": func(f *codec.FamilyIdentity) { f.Authenticated = time.UnixMilli(1 << 48) },
		"a negative idle limit":          func(f *codec.FamilyIdentity) { f.Idle = -1 },
		"a negative absolute limit":      func(f *codec.FamilyIdentity) { f.Absolute = -time.Second },
	} {
		f := vectorIdentity()
		change(f)
		if got, err := seals.Seal(now, f); err == nil || got != nil {
			t.Errorf("%s: Seal = %x, %v: want an error", what, got, err)
		} else {
			silent(t, what, printedText(err), f.Subject+"!", long, "anna", "support:carol")
		}
		if err := seals.Verify(ctx, now, seal, f); err != codec.ErrForged {
			t.Errorf("%s: Verify: %v: want ErrForged", what, err)
		}
	}
}

// Sealing reads the identity and changes nothing in it.
func TestFamilySealLeavesItsInput(t *testing.T) {
	seals := newFamilySeals(t, staticRing(t, secret(1)), instance)
	f := vectorIdentity()
	slices.Reverse(f.Names)
	before := slices.Clone(f.Names)
	seal, err := seals.Seal(now, f)
	fatal(t, err)
	kept := bytes.Clone(seal)
	fatal(t, seals.Verify(ctx, now, seal, f))
	if !slices.Equal(f.Names, before) || !bytes.Equal(seal, kept) {
		t.Error("the names were sorted in place, or the seal was changed")
	}
}

func TestPromise7_FamiliesPrintNoSecret(t *testing.T) {
	seals := newFamilySeals(t, staticRing(t, secret(1)), instance)
	f := vectorIdentity()
	seal, err := seals.Seal(now, f)
	fatal(t, err)
	secrets := []string{secret(1), f.Subject, f.Actor, f.Level, "otp", string(seal), fmt.Sprintf("%x", seal)}
	silent(t, "printing an identity", fmt.Sprintf("%v %+v %#v %s %x %v", f, *f, f, f, *f, f.LogValue()), secrets...)
	for _, v := range []any{seals, *seals} {
		silent(t, fmt.Sprintf("printing a %T", v), printedText(v), secrets...)
	}
}

// identityFrom makes an identity of what a fuzzer varies. Texts are split into
// lists at NULs.
func identityFrom(subject, actor, level, methods string, key, names []byte, flags byte, times int64) *codec.FamilyIdentity {
	f := &codec.FamilyIdentity{
		ID: idOf("f"), Subject: subject, Actor: actor, Level: level, Native: flags&1 != 0, Key: key,
		Started: time.UnixMilli(times & (1<<40 - 1)), Authenticated: time.UnixMilli(times >> 24 & (1<<40 - 1)),
		Idle: time.Duration(times & (1<<62 - 1)), Absolute: time.Duration(times >> 8 & (1<<62 - 1)),
	}
	if methods != "" {
		f.Methods = strings.Split(methods, "\x00")
	}
	for chunk := range slices.Chunk(names, 32) {
		var name [32]byte
		copy(name[:], chunk)
		f.Names = append(f.Names, name)
	}
	return f
}

// FuzzFamilyIdentity changes an identity and checks that its seal is good for
// the other exactly if both are the same.
func FuzzFamilyIdentity(f *testing.F) {
	key, names := bytes.Repeat([]byte{1}, 32), bytes.Repeat([]byte{2, 3}, 32)
	f.Add("anna", "", "", "", []byte(nil), []byte(nil), byte(0), int64(1_772_366_400_000), "anna", byte(0))
	f.Add("anna", "support:carol", "silver", "pwd\x00otp", key, names, byte(1), int64(1<<62-1), "silver", byte(1))
	f.Add("a", "b", "c", "d", key, names[:32], byte(0), int64(0), "", byte(4))
	seals := newFamilySeals(f, fuzzRing(f), vectorInstance)
	f.Fuzz(func(t *testing.T, subject, actor, level, methods string, key, names []byte, flags byte, times int64, other string, which byte) {
		a := identityFrom(subject, actor, level, methods, key, names, flags, times)
		seal, err := seals.Seal(fuzzNow, a)
		if err != nil {
			return
		}
		if err := seals.Verify(ctx, fuzzNow, seal, a); err != nil {
			t.Fatalf("an identity refuses its own seal: %v", err)
		}
		texts := []*string{&subject, &actor, &level, &methods}
		was := *texts[which%4]
		*texts[which%4] = other
		b := identityFrom(subject, actor, level, methods, key, names, flags, times)
		if err := seals.Verify(ctx, fuzzNow, seal, b); (err == nil) != (was == other) {
			t.Errorf("%q in place of %q in text %d: %v", other, was, which%4, err)
		}
		if content := specFamily(vectorSecret, nil, vectorInstanceText, a); !bytes.Equal(content, seal) {
			t.Errorf("the seal is %x: by docs/formats.md %x", seal, content)
		}
	})
}
