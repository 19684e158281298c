package codec_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// An input that was sealed for one name, realm and ring does not open for another.
func TestPromise2_BoundToNameRealmAndRing(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, k := range kinds() {
		t.Run(k.format, func(t *testing.T) {
			sealed := k.bind(t, ring, realm, name).seal("text")
			refused := func(what string, ring *keyring.Ring, realm, name string, want error) {
				t.Helper()
				if _, err := k.bind(t, ring, realm, name).open(sealed); !errors.Is(err, want) {
					t.Errorf("%s: %v: want %v", what, err, want)
				}
			}
			refused("another name", ring, realm, "__Host-sessio", codec.ErrForged)
			refused("a longer name", ring, realm, name+"n", codec.ErrForged)
			refused("another case", ring, realm, "__host-session", codec.ErrForged)
			refused("another realm", ring, "shop.example/production", name, codec.ErrForged)
			refused("a shorter realm", ring, realm[:len(realm)-1], name, codec.ErrForged)
			refused("the realm's end moved into the name", ring, realm[:len(realm)-1], realm[len(realm)-1:]+name, codec.ErrForged)
			refused("the name's start moved into the realm", ring, realm+name[:1], name[1:], codec.ErrForged)
			refused("another ring", staticRing(t, secret(2)), realm, name, keyring.ErrUnknown)
		})
	}
}

// Two rings share a key if both id and secret are the same. The same id alone is
// not enough.
func TestPromise2_KeyIdsAreNoSecrets(t *testing.T) {
	mine := documentRing(t, document(documentKey{id: "00000001", secret: 1, activates: now.Add(-time.Hour)}))
	theirs := documentRing(t, document(documentKey{id: "00000001", secret: 2, activates: now.Add(-time.Hour)}))
	for _, k := range kinds() {
		if _, err := k.bind(t, theirs, realm, name).open(k.bind(t, mine, realm, name).seal("text")); !errors.Is(err, codec.ErrForged) {
			t.Errorf("%s: %v: want ErrForged", k.format, err)
		}
	}
}

// Each of the three sealed formats refuses the others' bytes, although realm and
// name are the same. A cookie and a value then differ only in their subkey.
func TestPromise2_PurposesAreApart(t *testing.T) {
	ring := staticRing(t, secret(1))
	plain := strings.Repeat("\x00", 200)
	raw := base64.RawURLEncoding
	sealed := map[string][]byte{}
	bounds := map[string]bound{}
	for _, k := range kinds() {
		if k.format == "refresh" || k.format == "gorilla" || k.format == "access" {
			continue
		}
		b := k.bind(t, ring, realm, name)
		text := b.seal(plain)
		if k.format == "commit" {
			sealed[k.format], bounds[k.format] = []byte(text), b
			continue
		}
		sealed[k.format], _ = raw.DecodeString(text)
		bounds[k.format] = bound{open: func(s string) (string, error) { return b.open(raw.EncodeToString([]byte(s))) }}
	}
	for from, bytes := range sealed {
		for to, b := range bounds {
			_, err := b.open(string(bytes))
			if from == to && err != nil {
				t.Errorf("%s: %v", from, err)
			}
			if from != to && !errors.Is(err, codec.ErrForged) {
				t.Errorf("a %s as a %s: %v: want ErrForged", from, to, err)
			}
		}
	}
}

// Every format refuses every other format's text.
func TestFormatsAreApart(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, from := range kinds() {
		sealed := from.bind(t, ring, realm, name).seal("text")
		for _, to := range kinds() {
			if from.format == to.format {
				continue
			}
			if got, err := to.bind(t, ring, realm, name).open(sealed); err == nil {
				t.Errorf("a %s opens as a %s: %q", from.format, to.format, got)
			}
		}
	}
}

// The state of a key is checked before the bytes of the input.
func TestPromise2_OnlyKeysThatTheRingAccepts(t *testing.T) {
	const day = 24 * time.Hour
	old := documentKey{id: "00000001", secret: 1, activates: now.Add(-100 * day)}
	successor := documentKey{id: "00000002", secret: 2, activates: now.Add(-30 * day)}
	revoked := old
	revoked.revoked = true
	sealing := documentRing(t, document(old))
	for _, c := range []struct {
		name string
		ring *keyring.Ring
		want error
	}{
		{"its life after the successor is over", documentRing(t, document(old, successor)), keyring.ErrExpired},
		{"revoked", documentRing(t, document(revoked, successor)), keyring.ErrRevoked},
		{"dropped", staticRing(t, secret(2)), keyring.ErrUnknown},
		{"still accepted", documentRing(t, document(old, documentKey{id: "00000002", secret: 2, activates: now.Add(-29 * day)})), nil},
	} {
		for _, k := range kinds() {
			sealed := k.bind(t, sealing, realm, name).seal("text")
			if _, err := k.bind(t, c.ring, realm, name).open(sealed); !errors.Is(err, c.want) {
				t.Errorf("%s, its key %s: %v: want %v", k.format, c.name, err, c.want)
			}
		}
	}
}

// The opener's cache must not outlive the ring's verdict on the key.
func TestPromise2_WarmCachesDoNotKeepAKeyAlive(t *testing.T) {
	const day = 24 * time.Hour
	ring := documentRing(t, document(
		documentKey{id: "00000001", secret: 1, activates: now.Add(-day)},
		documentKey{id: "00000002", secret: 2, activates: now.Add(day)}))
	cookies := newCookies(t, ring, realm, name)
	sealed, err := cookies.Seal(now, session("anna"), nil)
	fatal(t, err)
	for range 3 {
		_, _, err = cookies.Open(ctx, now, sealed)
		fatal(t, err)
	}
	end := now.Add(day + keyring.DefaultLife)
	if _, _, err = cookies.Open(ctx, end.Add(-time.Millisecond), sealed); err != nil {
		t.Errorf("a millisecond before its key expires: %v", err)
	}
	if _, _, err = cookies.Open(ctx, end, sealed); !errors.Is(err, keyring.ErrExpired) {
		t.Errorf("when its key expires: %v", err)
	}
}

// After a rotation, inputs that the old key sealed still open.
func TestRotationKeepsWhatIsSealed(t *testing.T) {
	before, after := staticRing(t, secret(1)), staticRing(t, secret(2), secret(1))
	for _, k := range kinds() {
		sealed := k.bind(t, before, realm, name).seal("text")
		b := k.bind(t, after, realm, name)
		if got, err := b.open(sealed); err != nil || got != k.found("text") {
			t.Errorf("%s: %q, %v", k.format, got, err)
		}
		if _, err := k.bind(t, before, realm, name).open(b.seal("text")); !errors.Is(err, keyring.ErrUnknown) {
			t.Errorf("%s: the new primary does not seal: %v", k.format, err)
		}
	}
}

func TestConstructorsRefuseWhatIsUnsafe(t *testing.T) {
	ring := staticRing(t, secret(1))
	try := map[string]func(ring *keyring.Ring, realm string) error{
		"NewCookies": func(r *keyring.Ring, realm string) error { _, err := codec.NewCookies(r, realm, name); return err },
		"NewCommits": func(r *keyring.Ring, realm string) error {
			_, err := codec.NewCommits(r, codec.Instance{Realm: realm, SessionCookie: name})
			return err
		},
		"NewRefreshTokens": func(r *keyring.Ring, realm string) error {
			_, err := codec.NewRefreshTokens(r, codec.Instance{Realm: realm, SessionCookie: name})
			return err
		},
		"NewFamilySeals": func(r *keyring.Ring, realm string) error {
			_, err := codec.NewFamilySeals(r, codec.Instance{Realm: realm, SessionCookie: name})
			return err
		},
		"NewValues": func(r *keyring.Ring, realm string) error {
			_, err := codec.NewValues(r, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour})
			return err
		},
		"NewGorilla": func(r *keyring.Ring, realm string) error {
			_, err := codec.NewGorilla(r, codec.GorillaConfig{Realm: realm, Lifetime: time.Hour})
			return err
		},
	}
	for what, f := range try {
		if f(nil, realm) == nil {
			t.Errorf("%s accepts no ring", what)
		}
		for _, bad := range []string{"", "a\x00b", "\x00", strings.Repeat("r", 256)} {
			if f(ring, bad) == nil {
				t.Errorf("%s accepts a realm of %d bytes", what, len(bad))
			}
		}
		for _, good := range []string{"r", strings.Repeat("r", 255), "Straße/prod"} {
			if err := f(ring, good); err != nil {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
	for _, bad := range []string{"", "a\x00b"} {
		if _, err := codec.NewCookies(ring, realm, bad); err == nil {
			t.Errorf("NewCookies accepts the name %q", bad)
		}
		if _, err := codec.NewCommits(ring, codec.Instance{Realm: realm, SessionCookie: bad}); err == nil {
			t.Errorf("NewCommits accepts the name %q", bad)
		}
		if _, err := codec.NewFamilySeals(ring, codec.Instance{Realm: realm, SessionCookie: bad}); err == nil {
			t.Errorf("NewFamilySeals accepts the name %q", bad)
		}
		if _, err := codec.NewRefreshTokens(ring, codec.Instance{Realm: realm, SessionCookie: bad}); err == nil {
			t.Errorf("NewRefreshTokens accepts the name %q", bad)
		}
	}
	for _, bad := range []time.Duration{0, -1, keyring.DefaultLife + 1} {
		if _, err := codec.NewValues(ring, codec.ValuesConfig{Realm: realm, Lifetime: bad}); err == nil {
			t.Errorf("NewValues accepts the lifetime %v", bad)
		}
		if _, err := codec.NewGorilla(ring, codec.GorillaConfig{Realm: realm, Lifetime: bad}); err == nil {
			t.Errorf("NewGorilla accepts the lifetime %v", bad)
		}
	}
	if _, err := codec.NewGorilla(ring, codec.GorillaConfig{Realm: realm, Lifetime: time.Second - 1}); err == nil {
		t.Error("NewGorilla accepts less than a second, which is no limit to securecookie")
	}
}

func TestSealWithoutAPrimary(t *testing.T) {
	ring := documentRing(t, document(documentKey{id: "00000001", secret: 1, activates: now.Add(time.Hour)}))
	_, err := newCookies(t, ring, realm, name).Seal(now, session("anna"), nil)
	_, err2 := newCommits(t, ring, instance).Seal(now, codec.ID{}, nil)
	_, err3 := newRefreshTokens(t, ring, instance).Mint(now, codec.RefreshToken{Generation: 1})
	_, err4 := newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour}).Seal("n", nil)
	_, err5 := newGorilla(t, ring, realm).Encode("n", "x")
	for i, err := range []error{err, err2, err3, err4, err5} {
		if !errors.Is(err, keyring.ErrNoPrimary) {
			t.Errorf("%d: %v: want ErrNoPrimary", i, err)
		}
	}
}
