package codec

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
)

var contentNow = time.UnixMilli(1_800_000_000_000)

func contentRing(t testing.TB) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Static(base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// header returns a valid header, for tests to corrupt.
func header(t testing.TB) []byte {
	t.Helper()
	s := Session{Subject: Hide("anna"), Position: 7, Generation: 3}
	for _, at := range []*time.Time{&s.Issued, &s.Access, &s.Idle, &s.Absolute, &s.Started, &s.Authenticated} {
		*at = contentNow
	}
	b, err := s.append(nil)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// An authentic cookie with a malformed header was sealed by another release. The
// error is ErrContent, and nothing of the cookie is returned.
func TestAuthenticCookieWithMalformedHeader(t *testing.T) {
	cookies, err := NewCookies(contentRing(t), "realm", "name")
	if err != nil {
		t.Fatal(err)
	}
	open := func(plaintext []byte) (Session, []byte, error) {
		sealed, err := cookies.sealer.seal(nil, contentNow, "name", plaintext)
		if err != nil {
			t.Fatal(err)
		}
		return cookies.Open(context.Background(), contentNow, base64.RawURLEncoding.EncodeToString(sealed))
	}
	put64 := func(v uint64) func([]byte) []byte {
		return func(b []byte) []byte { binary.BigEndian.PutUint64(b[17:], v); return b }
	}
	for what, spoil := range map[string]func(b []byte) []byte{
		"nothing at all":                     func([]byte) []byte { return nil },
		"the lowest flag that is unknown":    func(b []byte) []byte { b[0] = allFlags + 1; return b },
		"flags for what is not there":        func(b []byte) []byte { b[0] = allFlags; return b },
		"a proof without a binding":          func(b []byte) []byte { b[0] = flagProved; return append(b, 0, 0, 0, 0, 0, 0) },
		"an empty actor":                     func(b []byte) []byte { b[0] = flagActor; return append(b, 0) },
		"an actor longer than the rest":      func(b []byte) []byte { b[0] = flagActor; return append(b, 2, 'a') },
		"all flags":                          func(b []byte) []byte { b[0] = 0xff; return b },
		"the highest flag":                   func(b []byte) []byte { b[0] = 0x80; return b },
		"position 2^53":                      put64(1 << 53),
		"position 2^64-1":                    put64(1<<64 - 1),
		"generation 0":                       func(b []byte) []byte { clear(b[25:29]); return b },
		"an empty subject":                   func(b []byte) []byte { b[fixedSize-1] = 0; return b },
		"a subject longer than the rest":     func(b []byte) []byte { b[fixedSize-1]++; return b },
		"a subject of 255 that is not there": func(b []byte) []byte { b[fixedSize-1] = 255; return b },
		"the subject cut":                    func(b []byte) []byte { return b[:len(b)-1] },
		"the subject gone":                   func(b []byte) []byte { return b[:fixedSize] },
		"the subject's length gone":          func(b []byte) []byte { return b[:fixedSize-1] },
		"half of it":                         func(b []byte) []byte { return b[:30] },
	} {
		s, data, err := open(spoil(header(t)))
		if err != ErrContent || s.ID != (ID{}) || s.Subject.Text() != "" || data != nil {
			t.Errorf("%s: %+v, %q, %v: want nothing and ErrContent", what, s, data, err)
		}
	}
	for what, good := range map[string]func(b []byte) []byte{
		"unchanged":       func(b []byte) []byte { return b },
		"position 0":      put64(0),
		"position 2^53-1": put64(1<<53 - 1),
		"bound":           func(b []byte) []byte { b[0] = flagBound; return b },
		"with an actor":   func(b []byte) []byte { b[0] = flagActor; return append(b, 1, 'a') },
		"with data":       func(b []byte) []byte { return append(b, 0xff) },
	} {
		if _, _, err := open(good(header(t))); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestAuthenticValueWithoutItsTimes(t *testing.T) {
	values, err := NewValues(contentRing(t), ValuesConfig{Realm: "realm", Lifetime: time.Hour, Now: func() time.Time { return contentNow }})
	if err != nil {
		t.Fatal(err)
	}
	for n := range valueTimes {
		sealed, err := values.sealer.seal(nil, contentNow, "name", make([]byte, n))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := values.Open(context.Background(), "name", base64.RawURLEncoding.EncodeToString(sealed)); err != ErrContent {
			t.Errorf("%d bytes: %v: want ErrContent", n, err)
		}
	}
}

func TestAuthenticRefreshTokenOfGenerationZero(t *testing.T) {
	ring := contentRing(t)
	refresh, err := NewRefreshTokens(ring, Instance{"realm", "name"})
	if err != nil {
		t.Fatal(err)
	}
	key, err := ring.Primary(contentNow)
	if err != nil {
		t.Fatal(err)
	}
	id := key.ID()
	b := append(id[:], make([]byte, 20)...)
	if b, err = refresh.appendTag(b, key, b); err != nil {
		t.Fatal(err)
	}
	if _, err := refresh.Parse(context.Background(), contentNow, RefreshPrefix+base64.RawURLEncoding.EncodeToString(b)); err != ErrContent {
		t.Errorf("%v: want ErrContent", err)
	}
}

// Parsing any header that parses and writing it again is the identity: a header
// has one encoding.
func TestHeaderParseThenAppendIsIdentity(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	parsed := 0
	for range 20_000 {
		b := make([]byte, fixedSize+random.IntN(40))
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		b[0] = 0
		b[17], b[18] = 0, b[18]&0x3f // half of them are above 53 bits
		b[fixedSize-1] = byte(random.IntN(40))
		if identity(t, b) {
			parsed++
		}
	}
	if parsed < 2000 {
		t.Errorf("only %d of 20,000 random headers parse: the test has lost its subject", parsed)
	}
	for _, extreme := range []byte{0, 0xff} {
		b := bytes.Repeat([]byte{extreme}, fixedSize+255)
		b[0], b[17], b[18] = 0, 0, b[18]&0x1f
		b[28] |= 1 // generation
		b[fixedSize-1] |= 1
		if !identity(t, b) {
			t.Errorf("the header of bytes %#x does not parse", extreme)
		}
	}
}

func identity(t testing.TB, b []byte) bool {
	t.Helper()
	var s Session
	kept := bytes.Clone(b)
	rest, err := s.parse(b)
	if !bytes.Equal(b, kept) {
		t.Fatal("parse changed its input")
	}
	if err != nil {
		if err != ErrContent {
			t.Fatalf("parse: %v: want ErrContent", err)
		}
		return false
	}
	again, err := s.append(nil)
	if err != nil || !bytes.Equal(append(again, rest...), b) {
		t.Fatalf("%x parses to %+v, which appends as %x, %v", b, s, again, err)
	}
	if n := len(s.Subject.Text()); n == 0 || n > MaxSubject || s.Position > MaxPosition || s.Generation == 0 {
		t.Fatalf("%x parses to %+v, out of range", b, s)
	}
	return true
}

// FuzzSessionParse checks the rules of parse on any authentic plaintext.
func FuzzSessionParse(f *testing.F) {
	whole := header(f)
	for _, seed := range headerSeeds(whole) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, b []byte) { identity(t, b) })
}

func headerSeeds(whole []byte) [][]byte {
	long := bytes.Clone(whole[:fixedSize])
	long[fixedSize-1] = 255
	return [][]byte{nil, whole, append(bytes.Clone(whole), "data"...), whole[:fixedSize], append(long, strings.Repeat("s", 255)...), make([]byte, fixedSize)}
}

func TestFuzzSeedsOfTheHeader(t *testing.T) {
	parsed := 0
	for _, seed := range headerSeeds(header(t)) {
		if identity(t, seed) {
			parsed++
		}
	}
	if parsed < 3 {
		t.Errorf("%d seeds parse: want at least 3", parsed)
	}
}

// The spare capacity that Open leaves after a message is exactly what it needs,
// and nothing overwrites the plaintext.
func TestAdditionalDataFitsBehindTheMessage(t *testing.T) {
	s, err := newSealer(contentRing(t), keyring.Value, "realm")
	if err != nil {
		t.Fatal(err)
	}
	if got := len(s.additional(nil, keyring.ID{}, "name")); got != s.room("name") {
		t.Errorf("additional data of %d bytes, room for %d", got, s.room("name"))
	}
	if got, want := string(s.additional(nil, keyring.ID{1, 2, 3, 4}, "name")), "\x01\x01\x02\x03\x04realm\x00name"; got != want {
		t.Errorf("additional data %q: want %q", got, want)
	}
	for room := range s.room("name") + 8 {
		sealed, err := s.seal(nil, contentNow, "name", []byte("plaintext"))
		if err != nil {
			t.Fatal(err)
		}
		b := append(make([]byte, 0, len(sealed)+room), sealed...)
		if got, err := s.open(context.Background(), contentNow, "name", b); err != nil || string(got) != "plaintext" {
			t.Fatalf("with room for %d bytes: %q, %v", room, got, err)
		}
	}
}
