package codec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// The fuzz tests start from the vectors of their format. They check that every
// accepted input is, byte for byte, one that was sealed: a vector of the format
// that opens under the fuzzing ring.
type fuzzSeeds struct {
	all    []string
	sealed map[string]bool
}

var (
	fuzzNow  = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	fuzzRing = func(t testing.TB) *keyring.Ring {
		return staticRing(t, base64.StdEncoding.EncodeToString(vectorSecret))
	}
)

func seedsOf(t testing.TB, format string) fuzzSeeds {
	t.Helper()
	s := fuzzSeeds{sealed: map[string]bool{}}
	all := vectors(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		v := all[name]
		if v["format"] != format {
			continue
		}
		var input string
		if format == "commit" || format == "family" {
			input = string(v.hex(t, "input"))
		} else {
			input = v.quoted(t, "input")
		}
		s.all = append(s.all, input)
		if _, _, err := fuzzOpen(t, format)(input); err == nil {
			s.sealed[input] = true
		}
	}
	if len(s.all) < 10 || len(s.sealed) == 0 {
		t.Fatalf("%d seeds for %s, %d of them open: the seed corpus is gone", len(s.all), format, len(s.sealed))
	}
	return s
}

// fuzzOpen opens inputs of a format as its vectors do, and returns the result.
func fuzzOpen(t testing.TB, format string) func(input string) (codec.Session, string, error) {
	t.Helper()
	ring := fuzzRing(t)
	switch format {
	case "cookie":
		cookies := newCookies(t, ring, vectorRealm, vectorName)
		return func(input string) (codec.Session, string, error) {
			s, data, err := cookies.Open(ctx, fuzzNow, input)
			return s, string(data), err
		}
	case "value":
		values := newValues(t, ring, codec.ValuesConfig{Realm: vectorRealm, Lifetime: 10 * time.Minute, Now: func() time.Time { return fuzzNow }})
		return func(input string) (s codec.Session, text string, err error) {
			b, err := values.Open(ctx, vectorValue, input)
			return s, string(b), err
		}
	case "commit":
		commits := newCommits(t, ring, vectorInstance)
		return func(input string) (s codec.Session, text string, err error) {
			b, err := commits.Open(ctx, fuzzNow, vectorFamily, []byte(input))
			return s, string(b), err
		}
	case "refresh":
		refresh := newRefreshTokens(t, ring, vectorInstance)
		return func(input string) (s codec.Session, text string, err error) {
			token, err := refresh.Parse(ctx, fuzzNow, input)
			if names := refresh.Names(input, token.Family); err == nil && !names {
				t.Errorf("an authentic token of family %x does not name it", token.Family)
			}
			if err == nil {
				text = hex.EncodeToString(token.Family[:])
			}
			return s, text, err
		}
	case "family":
		seals := newFamilySeals(t, ring, vectorInstance)
		return func(input string) (s codec.Session, text string, err error) {
			return s, "", seals.Verify(ctx, fuzzNow, []byte(input), vectorIdentity())
		}
	case "gorilla":
		g := newGorilla(t, ring, vectorRealm)
		return func(input string) (s codec.Session, text string, err error) {
			err = g.Decode(vectorName, input, &text)
			return s, text, err
		}
	}
	if format == "access" {
		verifier := vectorVerifier(t, newVectorAccess(t, ring, vectorRealm, "EdDSA ES256"), "EdDSA ES256", vectorAudience)
		return func(input string) (s codec.Session, text string, err error) {
			got, err := verifier.Verify(ctx, fuzzNow, input)
			return s, got.ID + got.Subject.Text(), err
		}
	}
	t.Fatalf("unknown format %q", format)
	return nil
}

// fuzz runs one format.
func fuzz(f *testing.F, format string) {
	seeds := seedsOf(f, format)
	for _, seed := range seeds.all {
		f.Add(seed)
	}
	open := fuzzOpen(f, format)
	f.Fuzz(func(t *testing.T, input string) {
		s, text, err := open(input)
		if err != nil && (text != "" || s.ID != (codec.ID{}) || s.Subject.Text() != "") {
			t.Errorf("%q is refused with %v, but returns %+v and %q", input, err, s, text)
		}
		if err == nil && !seeds.sealed[input] {
			t.Errorf("%q was never sealed, and is accepted", input)
		}
	})
}

func FuzzCookieOpen(f *testing.F)    { fuzz(f, "cookie") }
func FuzzValueOpen(f *testing.F)     { fuzz(f, "value") }
func FuzzCommitOpen(f *testing.F)    { fuzz(f, "commit") }
func FuzzRefreshParse(f *testing.F)  { fuzz(f, "refresh") }
func FuzzFamilyVerify(f *testing.F)  { fuzz(f, "family") }
func FuzzGorillaDecode(f *testing.F) { fuzz(f, "gorilla") }
func FuzzAccessVerify(f *testing.F)  { fuzz(f, "access") }

// FuzzUnmarshalData checks that data that decodes can be encoded again, and that
// further rounds yield the same bytes.
func FuzzUnmarshalData(f *testing.F) {
	for _, seed := range dataSeeds(f) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var typed account
		if err := codec.UnmarshalData(b, &typed); err == nil {
			stable(t, typed, new(account))
		}
		var untyped any
		if err := codec.UnmarshalData(b, &untyped); err == nil {
			stable(t, untyped, new(any))
		}
	})
}

func stable[T any](t *testing.T, v T, again *T) {
	t.Helper()
	once, err := codec.MarshalData(v)
	if err != nil {
		return // such as a time that the encoding has no text for
	}
	if err := codec.UnmarshalData(once, again); err != nil {
		t.Fatalf("%x encodes from a decoded value and does not decode: %v", once, err)
	}
	if twice, err := codec.MarshalData(*again); err != nil || !bytes.Equal(once, twice) {
		t.Fatalf("%x decodes and encodes as %x, %v", once, twice, err)
	}
}

func dataSeeds(t testing.TB) (seeds [][]byte) {
	t.Helper()
	for _, v := range []any{
		nil, 1, -1, uint64(1<<64 - 1), 1.5, "text", []byte{1}, true, fuzzNow, []any{1, "a", nil},
		map[string]any{"name": "anna", "quota": map[string]int{"a": 1}, "extra": []any{1.0}, "seen": fuzzNow},
		account{Name: "anna", Roles: []string{"a"}, Seen: fuzzNow, Extra: map[string]any{"a": 1}, Balance: -1, Rate: 0.1},
	} {
		b, err := codec.MarshalData(v)
		fatal(t, err)
		seeds = append(seeds, b)
	}
	return append(seeds, []byte{0xbf, 0xff}, []byte{0xa2, 0x61, 'A', 1, 0x61, 'A', 2}, bytes.Repeat([]byte{0x81}, 100))
}

func TestFuzzSeedsAreThere(t *testing.T) {
	for _, k := range kinds() {
		seedsOf(t, k.format)
	}
	seedsOf(t, "family")
	decoded := 0
	for _, seed := range dataSeeds(t) {
		var v any
		if codec.UnmarshalData(seed, &v) == nil {
			decoded++
		}
	}
	if decoded < 10 {
		t.Errorf("%d data seeds decode: want 10", decoded)
	}
}
