package codec_test

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// kind is one format behind one pair of functions, so that rules for all formats
// are tested on all of them.
type kind struct {
	format string
	text   bool // the sealed part is strict base64url
	bind   func(t testing.TB, ring *keyring.Ring, realm, name string) bound
}

// bound is a kind under one ring, realm and name. The name of a commit and of a
// refresh token is that of its instance's session cookie. seal seals a text, and open
// returns it. A refresh token has no room for a text, which selects its family
// instead.
type bound struct {
	seal func(text string) string
	open func(input string) (string, error)
}

func kinds() []kind {
	return []kind{
		{"cookie", true, bindCookie},
		{"value", true, bindValue},
		{"commit", false, bindCommit},
		{"refresh", true, bindRefresh},
		{"gorilla", false, bindGorilla},
		{"access", false, bindAccess},
	}
}

// idOf returns an id for a text: its bytes if there are 16, and else a hash.
func idOf(text string) codec.ID {
	if len(text) == 16 {
		return codec.ID([]byte(text))
	}
	sum := sha256.Sum256([]byte(text))
	return codec.ID(sum[:16])
}

func bindCookie(t testing.TB, ring *keyring.Ring, realm, name string) bound {
	c := newCookies(t, ring, realm, name)
	return bound{
		func(text string) string {
			sealed, err := c.Seal(now, session("a subject"), []byte(text))
			fatal(t, err)
			return sealed
		},
		func(input string) (string, error) {
			_, data, err := c.Open(ctx, now, input)
			return string(data), err
		},
	}
}

func bindValue(t testing.TB, ring *keyring.Ring, realm, name string) bound {
	v := newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour, Now: func() time.Time { return now }})
	return bound{
		func(text string) string {
			sealed, err := v.Seal(name, []byte(text))
			fatal(t, err)
			return sealed
		},
		func(input string) (string, error) {
			b, err := v.Open(ctx, name, input)
			return string(b), err
		},
	}
}

func bindCommit(t testing.TB, ring *keyring.Ring, realm, name string) bound {
	c := newCommits(t, ring, codec.Instance{Realm: realm, SessionCookie: name})
	return bound{
		func(text string) string {
			sealed, err := c.Seal(now, idOf("f"), []byte(text))
			fatal(t, err)
			return string(sealed)
		},
		func(input string) (string, error) {
			b, err := c.Open(ctx, now, idOf("f"), []byte(input))
			return string(b), err
		},
	}
}

func bindRefresh(t testing.TB, ring *keyring.Ring, realm, name string) bound {
	r := newRefreshTokens(t, ring, codec.Instance{Realm: realm, SessionCookie: name})
	return bound{
		func(text string) string {
			family := idOf(text)
			token, err := r.Mint(now, codec.RefreshToken{
				Family: family, Generation: 1 + binary.BigEndian.Uint32(family[:])%codec.MaxGeneration,
				Copy: binary.BigEndian.Uint16(family[4:]) % (codec.MaxCopy + 1),
			})
			fatal(t, err)
			return token
		},
		func(input string) (string, error) {
			token, err := r.Parse(ctx, now, input)
			return hex.EncodeToString(token.Family[:]), err
		},
	}
}

func bindGorilla(t testing.TB, ring *keyring.Ring, realm, name string) bound {
	g := newGorilla(t, ring, realm)
	return bound{
		func(text string) string {
			sealed, err := g.Encode(name, text)
			fatal(t, err)
			return sealed
		},
		func(input string) (string, error) {
			var text string
			err := g.Decode(name, input, &text)
			return text, err
		},
	}
}

// bindAccess seals the text as a claim of the application. The name is the
// audience.
func bindAccess(t testing.TB, ring *keyring.Ring, realm, name string) bound {
	access := newAccessTokens(t, ring, realm)
	verifier, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: access, Algorithms: bothAlgorithms, Issuer: accessIssuer, Audiences: []string{name}})
	fatal(t, err)
	return bound{
		func(text string) string {
			what := accessToken("a subject")
			what.ID, what.Audience, what.Claims = "", []string{name}, codec.Hide(`{"text":"`+hex.EncodeToString([]byte(text))+`"}`)
			token, err := access.Mint(now, what)
			fatal(t, err)
			return token
		},
		func(input string) (string, error) {
			got, err := verifier.Verify(ctx, now, input)
			if err != nil {
				return got.Subject.Text() + got.Claims.Text(), err
			}
			var claims struct{ Text string }
			fatal(t, json.Unmarshal([]byte(got.Claims.Text()), &claims))
			text, err := hex.DecodeString(claims.Text)
			return string(text), err
		},
	}
}

// found is the result of open for a text that seal sealed.
func (k kind) found(text string) string {
	if k.format == "refresh" {
		id := idOf(text)
		return hex.EncodeToString(id[:])
	}
	return text
}

func fatal(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryKindRoundTrips(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, k := range kinds() {
		t.Run(k.format, func(t *testing.T) {
			b := k.bind(t, ring, realm, name)
			for _, text := range []string{"", "a", "ab", "abc", "sixteen bytes ..", "a longer text \x00 with bytes \xff of all sorts"} {
				sealed := b.seal(text)
				for range 2 {
					if got, err := b.open(sealed); err != nil || got != k.found(text) {
						t.Fatalf("%q: open = %q, %v", text, got, err)
					}
				}
				if k.format != "refresh" && b.seal(text) == sealed {
					t.Error("sealing twice gives the same bytes")
				}
			}
		})
	}
}
