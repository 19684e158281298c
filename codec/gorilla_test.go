package codec_test

import (
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/gob"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// gorillaKeys derives the keys from the secret as in docs/formats.md.
func gorillaKeys(t testing.TB, b byte) (mac, encryption []byte) {
	t.Helper()
	subkey, err := hkdf.Key(sha256.New, []byte(strings.Repeat(string([]byte{b}), 32)), nil, "wafer/1 gorilla", 32)
	fatal(t, err)
	keys, err := hkdf.Expand(sha256.New, subkey, "wafer/1 gorilla keys", 64)
	fatal(t, err)
	return keys[:32], keys[32:]
}

// The text after the key id is securecookie's own format, in both directions.
func TestGorillaIsSecurecookiesFormat(t *testing.T) {
	ring := staticRing(t, secret(1))
	id := ring.Set().Keys()[0].ID().String()
	g := newGorilla(t, ring, realm)
	theirs := securecookie.New(gorillaKeys(t, 1))

	sealed, err := g.Encode(name, "ours")
	fatal(t, err)
	text, found := strings.CutPrefix(sealed, id+".")
	var got string
	if err := theirs.Decode(realm+"\x00"+name, text, &got); !found || err != nil || got != "ours" {
		t.Errorf("securecookie decodes %q, %v", got, err)
	}
	text, err = theirs.Encode(realm+"\x00"+name, "theirs")
	fatal(t, err)
	if err := g.Decode(name, id+"."+text, &got); err != nil || got != "theirs" {
		t.Errorf("Gorilla decodes %q, %v", got, err)
	}
}

// Cookies under the application's own securecookie keys are not accepted, whatever
// precedes them.
func TestGorillaReadsOnlyWhatItWrote(t *testing.T) {
	ring := staticRing(t, secret(1))
	foreign, err := securecookie.New([]byte(strings.Repeat("h", 32)), []byte(strings.Repeat("b", 32))).Encode(name, "old")
	fatal(t, err)
	g := newGorilla(t, ring, realm)
	if err := g.Decode(name, foreign, new(string)); err == nil {
		t.Error("a cookie of other keys decodes")
	}
	if err := g.Decode(name, ring.Set().Keys()[0].ID().String()+"."+foreign, new(string)); !errors.Is(err, codec.ErrForged) {
		t.Errorf("with a key id in front: %v: want ErrForged", err)
	}
}

func TestGorillaKeyId(t *testing.T) {
	ring := documentRing(t, document(documentKey{id: "abcdef01", secret: 1, activates: now.Add(-time.Hour)}))
	g := newGorilla(t, ring, realm)
	sealed, err := g.Encode(name, "x")
	fatal(t, err)
	for what, text := range map[string]string{
		"upper case":         strings.ToUpper(sealed[:8]) + sealed[8:],
		"not hexadecimal":    "abcdefgh" + sealed[8:],
		"no separator":       sealed[:8] + "A" + sealed[9:],
		"another separator":  sealed[:8] + "-" + sealed[9:],
		"separator too soon": sealed[:7] + "." + sealed[8:],
	} {
		if err := g.Decode(name, text, new(string)); !errors.Is(err, codec.ErrEncoding) {
			t.Errorf("%s: %v: want ErrEncoding", what, err)
		}
	}
	for n := range 10 {
		if err := g.Decode(name, sealed[:n], new(string)); !errors.Is(err, codec.ErrLength) && !errors.Is(err, codec.ErrEncoding) && n < 10 && !errors.Is(err, codec.ErrForged) {
			t.Errorf("the first %d bytes: %v", n, err)
		}
	}
}

func TestGorillaCookieEndsWithItsLifetime(t *testing.T) {
	ring := staticRing(t, secret(1))
	id := ring.Set().Keys()[0].ID().String()
	for _, c := range []struct {
		what     string
		age      time.Duration
		lifetime time.Duration
		accepted bool
	}{
		{"young", time.Minute, time.Hour, true},
		{"old", 2 * time.Hour, time.Hour, false},
		{"young, configured lifetime shortened", time.Minute, 30 * time.Second, false},
	} {
		g, err := codec.NewGorilla(ring, codec.GorillaConfig{Realm: realm, Lifetime: c.lifetime})
		fatal(t, err)
		mac, encryption := gorillaKeys(t, 1)
		text := specGorilla(t, mac, encryption, realm+"\x00"+name, time.Now().Add(-c.age).Unix(), make([]byte, 16), gobOf(t, "x"))
		var got string
		if err := g.Decode(name, id+"."+text, &got); (err == nil) != c.accepted {
			t.Errorf("%s: %v: want accepted: %t", c.what, err, c.accepted)
		}
	}
}

func TestGorillaRefusesWhatNoCookieHolds(t *testing.T) {
	g := newGorilla(t, staticRing(t, secret(1)), realm)
	longest := 0
	for n := 1500; ; n++ {
		sealed, err := g.Encode(name, strings.Repeat("x", n))
		if err != nil {
			if len(sealed) > 0 {
				t.Error("text beside an error")
			}
			break
		}
		if longest = len(sealed); longest > codec.MaxSealed {
			t.Fatalf("Encode made %d bytes", longest)
		}
		var got string
		if err := g.Decode(name, sealed, &got); err != nil || len(got) != n {
			t.Fatalf("%d bytes encode but do not decode: %v", n, err)
		}
	}
	if longest < codec.MaxSealed-16 {
		t.Errorf("the longest is %d bytes: want close to %d", longest, codec.MaxSealed)
	}
}

// Values and Gorilla carry any Go value that gob does.
func TestBothSecurecookieCodecsCarryGoValues(t *testing.T) {
	type account struct {
		Name  string
		Roles []string
		Seen  time.Time
		Quota map[string]int
	}
	gob.Register(account{})
	want := map[any]any{"account": account{"anna", []string{"a", "b"}, now.UTC(), map[string]int{"x": 1}}, 7: 1.5}
	ring := staticRing(t, secret(1))
	for _, c := range []securecookie.Codec{
		newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour}),
		newGorilla(t, ring, realm),
	} {
		sealed, err := c.Encode(name, want)
		fatal(t, err)
		got := map[any]any{}
		fatal(t, c.Decode(name, sealed, &got))
		a := got["account"].(account)
		if a.Name != "anna" || len(a.Roles) != 2 || !a.Seen.Equal(now) || a.Quota["x"] != 1 || got[7] != 1.5 {
			t.Errorf("%T: got %+v", c, got)
		}
		if c.Decode(name, sealed, new(int)) == nil {
			t.Errorf("%T decodes a map into an int", c)
		}
		if _, err := c.Encode(name, make(chan int)); err == nil {
			t.Errorf("%T encodes a channel", c)
		}
		for _, junk := range []string{"", "junk", sealed[1:], sealed + "A"} {
			if err := c.Decode(name, junk, &got); err == nil {
				t.Errorf("%T decodes junk of %d bytes", c, len(junk))
			}
		}
	}
}

func TestGorillaKeyStates(t *testing.T) {
	g := newGorilla(t, staticRing(t, secret(2)), realm)
	sealed, err := newGorilla(t, staticRing(t, secret(1)), realm).Encode(name, "x")
	fatal(t, err)
	if err := g.Decode(name, sealed, new(string)); !errors.Is(err, keyring.ErrUnknown) {
		t.Errorf("%v: want ErrUnknown", err)
	}
}
