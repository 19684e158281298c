package keyring

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"strings"
	"testing"
	"time"
)

// staticSecrets are 32 bytes each; the first holds what differs between the
// forms of base64: + and / and padding.
var staticSecrets = []string{
	base64.StdEncoding.EncodeToString([]byte("\xfb\xff\xfe\x00" + strings.Repeat("\xfb\xf0", 14))),
	base64.StdEncoding.EncodeToString([]byte("the second of the static secrets")),
	base64.StdEncoding.EncodeToString([]byte("the third one of static secrets!")),
}

// independentHKDF is HKDF-SHA256 (RFC 5869) without salt, for one block, from
// HMAC alone.
func independentHKDF(secret []byte, info string, n int) []byte {
	extract := hmac.New(sha256.New, make([]byte, sha256.Size))
	extract.Write(secret)
	expand := hmac.New(sha256.New, extract.Sum(nil))
	expand.Write([]byte(info))
	expand.Write([]byte{1})
	return expand.Sum(nil)[:n]
}

func TestStaticFirstSealsAllOpen(t *testing.T) {
	r := must(Static(staticSecrets...))(t)
	for _, now := range []time.Time{time.Unix(1000, 0), epoch, day(100000)} {
		k := mustPrimary(t, r.Set(), now)
		if want := staticID(t, staticSecrets[0]); k.ID() != want {
			t.Fatalf("%v seals at %v: want %v, the first", k, now, want)
		}
		for _, text := range staticSecrets {
			must(r.Key(t.Context(), staticID(t, text), now))(t)
		}
	}
	for _, k := range r.Set().Keys() {
		if !k.Expires().IsZero() || !k.Created().IsZero() {
			t.Errorf("static key %v was made %v and expires %v", k, k.Created(), k.Expires())
		}
	}
	if r.Life() != DefaultLife || r.Set().Version() != 0 {
		t.Errorf("life %v, version %d", r.Life(), r.Set().Version())
	}
}

func staticID(t testing.TB, text string) ID {
	t.Helper()
	return ID(independentHKDF(must(base64.StdEncoding.DecodeString(text))(t), "wafer/1 key id", 4))
}

// The id and the subkeys are part of the format: other values would log every
// browser out.
func TestStaticDerivationIsPinned(t *testing.T) {
	const secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // 00 01 02 … 1f
	k := must(Static(secret))(t).Set().Keys()[0]
	if got, want := k.ID().String(), pinnedID; got != want {
		t.Errorf("id %s: want %s", got, want)
	}
	if k.ID() != staticID(t, secret) {
		t.Errorf("id %v: an independent HKDF gives %v", k, staticID(t, secret))
	}
	raw := must(base64.StdEncoding.DecodeString(secret))(t)
	seen := make(map[string]Purpose)
	for p, info := range []string{"wafer/1 cookie", "wafer/1 value", "wafer/1 commit", "wafer/1 refresh", "wafer/1 token", "wafer/1 gorilla", "wafer/1 family"} {
		p := Purpose(p)
		if p.String() != info {
			t.Errorf("purpose %d is %q: want %q", p, p, info)
		}
		got := must(Derived(k, p, func(b []byte) ([]byte, error) { return bytes.Clone(b), nil }))(t)
		if !bytes.Equal(got, independentHKDF(raw, info, 32)) {
			t.Errorf("the subkey for %q is %x", p, got)
		}
		if other, ok := seen[string(got)]; ok {
			t.Errorf("%v and %v share a subkey", other, p)
		}
		seen[string(got)] = p
	}
	if purposeCount != 7 || len(seen) != 7 {
		t.Errorf("%d purposes, %d subkeys: a new one needs its line above", purposeCount, len(seen))
	}
	cookie := must(Derived(k, Cookie, func([]byte) ([]byte, error) { panic("built twice") }))(t)
	if got := hex.EncodeToString(cookie); got != pinnedCookieSubkey {
		t.Errorf("the cookie subkey is %s", got)
	}
	if s := Purpose(99).String(); s != "keyring.Purpose(99)" {
		t.Errorf("an unknown purpose prints %q", s)
	}
}

const (
	pinnedID           = "a00807b0"
	pinnedCookieSubkey = "552b3a1344f659cdc4c181a53d6e2a792860dfeaa88871c860edb6f9d23714bc"
)

func TestStaticReadsEveryFormOfASecret(t *testing.T) {
	raw := must(base64.StdEncoding.DecodeString(staticSecrets[0]))(t)
	want := staticID(t, staticSecrets[0])
	for name, text := range map[string]string{
		"base64":                 base64.StdEncoding.EncodeToString(raw),
		"base64 unpadded":        base64.RawStdEncoding.EncodeToString(raw),
		"base64url":              base64.URLEncoding.EncodeToString(raw),
		"base64url unpadded":     base64.RawURLEncoding.EncodeToString(raw),
		"hexadecimal":            hex.EncodeToString(raw),
		"upper-case hexadecimal": strings.ToUpper(hex.EncodeToString(raw)),
		"a newline at the end":   base64.StdEncoding.EncodeToString(raw) + "\n",
		"spaces about it":        "  " + hex.EncodeToString(raw) + "\r\n",
	} {
		r, err := Static(text)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if id := r.Set().Keys()[0].ID(); id != want {
			t.Errorf("%s: id %v: want %v", name, id, want)
		}
	}
}

// badSecrets are refused; what each holds of a secret must not be in the error.
var badSecrets = map[string]string{
	"empty":                       "",
	"blank":                       " \n",
	"31 bytes":                    base64.StdEncoding.EncodeToString([]byte("a secret that is one byte short")),
	"33 bytes":                    base64.StdEncoding.EncodeToString([]byte("a secret that is one byte longer!")),
	"16 bytes of hexadecimal":     "00112233445566778899aabbccddeeff",
	"a passphrase":                "correct horse battery staple",
	"a passphrase of 64 letters":  "correct horse battery staple correct horse battery staple correc",
	"hexadecimal with a letter g": strings.Repeat("0123456789abcdeg", 4),
	"trailing bits":               "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=",
	"a letter too few":            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh",
	"padding in the middle":       "AAECAwQFBgcICQoLDA0O=DxAREhMUFRYXGBkaGxwdHh8=",
	"not ASCII":                   strings.Repeat("ß", 22),
	"two secrets in one":          staticSecrets[0] + "," + staticSecrets[1],
}

func TestStaticErrorsTellWhatToDoAndQuoteNothing(t *testing.T) {
	check := func(name string, err error, secrets ...string) {
		t.Helper()
		if err == nil {
			t.Errorf("%s: accepted", name)
			return
		}
		if !strings.Contains(err.Error(), "openssl rand -base64 32") {
			t.Errorf("%s: the error does not tell what to do: %v", name, err)
		}
		for _, secret := range secrets {
			for i := 0; i+6 <= len(secret); i++ {
				if run := secret[i : i+6]; strings.TrimSpace(run) != "" && strings.Contains(err.Error(), run) {
					t.Errorf("%s: the error quotes %q: %v", name, run, err)
				}
			}
		}
	}
	_, err := Static()
	check("none", err)
	for name, text := range badSecrets {
		_, err := Static(text)
		check(name, err, text)
		_, err = Static(staticSecrets[0], text)
		check(name+", second", err, text, staticSecrets[0])
		if err != nil && !strings.Contains(err.Error(), "secret 2 of 2") {
			t.Errorf("%s: the error does not say which: %v", name, err)
		}
		_, err = NewKeeper(text)
		check(name+", keeper", err, text)
	}
}

func TestStaticRefusesASecretGivenTwice(t *testing.T) {
	raw := must(base64.StdEncoding.DecodeString(staticSecrets[1]))(t)
	for _, again := range []string{staticSecrets[1], hex.EncodeToString(raw), base64.RawURLEncoding.EncodeToString(raw)} {
		_, err := Static(staticSecrets[1], staticSecrets[0], again)
		if err == nil || !strings.Contains(err.Error(), "twice") {
			t.Errorf("a secret given twice: %v", err)
		}
	}
}

func TestStaticCannotBeChanged(t *testing.T) {
	r := must(Static(staticSecrets...))(t)
	before := r.Set()
	ctx := context.Background()
	id := before.Keys()[0].ID()
	_, rotate := r.Rotate(ctx, epoch, 0)
	_, revoke := r.Revoke(ctx, epoch, id, "")
	_, prune := r.Prune(ctx, epoch)
	for name, err := range map[string]error{"Rotate": rotate, "Revoke": revoke, "RevokeAll": r.RevokeAll(ctx, epoch, ""), "Prune": prune} {
		if !errors.Is(err, ErrStatic) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := r.Reload(ctx); err != nil || r.Set() != before {
		t.Errorf("Reload of static secrets: %v", err)
	}
}

func TestDerivedKeepsItsError(t *testing.T) {
	k := must(Static(staticSecrets[0]))(t).Set().Keys()[0]
	failed := errors.New("no such cipher")
	builds := 0
	for range 2 {
		v, err := Derived(k, Token, func([]byte) (*int, error) {
			builds++
			return new(int), failed
		})
		if v != nil || err != failed {
			t.Fatalf("a failed build gives %v, %v", v, err)
		}
	}
	if builds != 1 {
		t.Fatalf("%d builds", builds)
	}
}
