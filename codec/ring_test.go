package codec_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

const (
	realm = "shop.example/test"
	name  = "__Host-session"
)

var instance = codec.Instance{Realm: realm, SessionCookie: name}

var (
	ctx = context.Background()
	now = time.Now().Truncate(time.Millisecond)
)

// secret returns the text of a secret for tests: one byte, 32 times.
func secret(b byte) string {
	return base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{b}, keyring.SecretSize))
}

func staticRing(t testing.TB, secrets ...string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Static(secrets...)
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

// documentKey is a key of a document as in docs/formats.md.
type documentKey struct {
	id        string
	secret    byte
	activates time.Time
	revoked   bool
}

// document writes a key set of the default schedule.
func document(keys ...documentKey) string {
	var list []string
	for _, k := range keys {
		revoked := ""
		if k.revoked {
			revoked = fmt.Sprintf(`,"revoked":{"at_ms":%d,"reason":"a test"}`, k.activates.UnixMilli())
		}
		list = append(list, fmt.Sprintf(`{"id":%q,"secret":%q,"created_ms":%d,"activates_ms":%d%s}`,
			k.id, secret(k.secret), k.activates.UnixMilli(), k.activates.UnixMilli(), revoked))
	}
	return fmt.Sprintf(`{"format":"wafer/1 keyring","id":"00112233445566778899aabbccddeeff","version":1,"seals_seconds":2592000,"life_seconds":2592000,"keys":[%s]}`, strings.Join(list, ","))
}

// documentRing opens a ring on a key set in clear text.
func documentRing(t testing.TB, document string) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Open(ctx, clearSource(document), clearKeeper{})
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

type clearSource string

func (s clearSource) LoadKeys(context.Context) (uint64, []byte, error) { return 1, []byte(s), nil }

func (s clearSource) SwapKeys(context.Context, uint64, []byte) (bool, error) { return false, nil }

type clearKeeper struct{}

func (clearKeeper) Encrypt(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil }
func (clearKeeper) Decrypt(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil }

// session returns a header that Cookies can seal.
func session(subject string) *codec.Session {
	return &codec.Session{
		ID:            codec.ID{1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16},
		Subject:       codec.Hide(subject),
		Position:      uint64(now.UnixMicro()),
		Generation:    3,
		Issued:        now,
		Access:        now.Add(5 * time.Minute),
		Idle:          now.Add(30 * time.Minute),
		Absolute:      now.Add(12 * time.Hour),
		Started:       now.Add(-time.Hour),
		Authenticated: now.Add(-time.Minute),
	}
}

func newCookies(t testing.TB, ring *keyring.Ring, realm, name string) *codec.Cookies {
	t.Helper()
	c, err := codec.NewCookies(ring, realm, name)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newValues(t testing.TB, ring *keyring.Ring, c codec.ValuesConfig) *codec.Values {
	t.Helper()
	v, err := codec.NewValues(ring, c)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func newCommits(t testing.TB, ring *keyring.Ring, instance codec.Instance) *codec.Commits {
	t.Helper()
	c, err := codec.NewCommits(ring, instance)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func newRefreshTokens(t testing.TB, ring *keyring.Ring, instance codec.Instance) *codec.RefreshTokens {
	t.Helper()
	r, err := codec.NewRefreshTokens(ring, instance)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newFamilySeals(t testing.TB, ring *keyring.Ring, instance codec.Instance) *codec.FamilySeals {
	t.Helper()
	s, err := codec.NewFamilySeals(ring, instance)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func newGorilla(t testing.TB, ring *keyring.Ring, realm string) *codec.Gorilla {
	t.Helper()
	g, err := codec.NewGorilla(ring, codec.GorillaConfig{Realm: realm, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return g
}
