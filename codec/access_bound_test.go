package codec_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// Times are checked to the second. Leeway excuses a time in the future, but never
// an expiry.
func TestPromise2_AccessTokenTimes(t *testing.T) {
	w := newAccessWorld(t)
	issued := time.Unix(1_800_000_000, 0)
	ago := func(claim string) string {
		return w.ed.token(t, w.ed.header(), specPayload("iat", "1800000000", "exp", "1800000300", "auth_time", "1800000000", claim, map[string]string{"nbf": "1800000060", "x": "1"}[claim]))
	}
	token, delayed := ago("x"), ago("nbf")
	access := newAccessTokens(t, staticRing(t, secret(1)), realm)
	strict, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: access, Algorithms: bothAlgorithms, Issuer: accessIssuer, Audiences: []string{accessAudience}, Leeway: time.Nanosecond})
	fatal(t, err)
	wide, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: access, Algorithms: bothAlgorithms, Issuer: accessIssuer, Audiences: []string{accessAudience}, Leeway: 5 * time.Minute})
	fatal(t, err)
	for _, c := range []struct {
		what     string
		verifier *codec.AccessVerifier
		token    string
		after    time.Duration
		want     error
	}{
		{"issued now", w.verifier, token, 0, nil},
		{"the last nanosecond", w.verifier, token, 300*time.Second - 1, nil},
		{"at exp", w.verifier, token, 300 * time.Second, codec.ErrExpired},
		{"expired by a second", w.verifier, token, 301 * time.Second, codec.ErrExpired},
		{"expired by a second, a leeway of 5 minutes", wide, token, 301 * time.Second, codec.ErrExpired},
		{"issued 10 s ahead", w.verifier, token, -10 * time.Second, nil},
		{"issued more than 10 s ahead", w.verifier, token, -10*time.Second - 1, codec.ErrEarly},
		{"issued 5 min ahead", wide, token, -5 * time.Minute, nil},
		{"issued more than 5 min ahead", wide, token, -5*time.Minute - 1, codec.ErrEarly},
		{"issued a nanosecond ahead", strict, token, -1, nil},
		{"issued two nanoseconds ahead", strict, token, -2, codec.ErrEarly},
		{"issued a year ahead", w.verifier, token, -365 * 24 * time.Hour, codec.ErrEarly},
		{"nbf a second beyond the leeway", w.verifier, delayed, 49 * time.Second, codec.ErrEarly},
		{"nbf within the leeway", w.verifier, delayed, 50 * time.Second, nil},
		{"nbf, and expired", w.verifier, delayed, 300 * time.Second, codec.ErrExpired},
	} {
		if _, err := c.verifier.Verify(ctx, issued.Add(c.after), c.token); !errors.Is(err, c.want) {
			t.Errorf("%s: %v: want %v", c.what, err, c.want)
		}
	}
}

// Credentials of every other kind are not accepted as access tokens, and the
// reverse. TestFormatsAreApart does the same for plain tokens.
func TestPromise2_AccessTokenIsNoOtherCredential(t *testing.T) {
	ring := staticRing(t, secret(1))
	access := newAccessTokens(t, ring, realm, bothAlgorithms...)
	token, err := access.Mint(now, accessToken("anna"))
	fatal(t, err)
	cookies, refresh := newCookies(t, ring, realm, name), newRefreshTokens(t, ring, instance)
	cookie, err := cookies.Seal(now, session("anna"), nil)
	fatal(t, err)
	refreshToken, err := refresh.Mint(now, codec.RefreshToken{Family: idOf("f"), Generation: 1})
	fatal(t, err)
	parts := strings.Split(token, ".")
	verifier := newAccessVerifier(t, access)
	for what, text := range map[string]string{
		"a cookie": cookie, "a refresh token": refreshToken, "a refresh token without its prefix": strings.TrimPrefix(refreshToken, codec.RefreshPrefix),
		"a cookie as payload": parts[0] + "." + cookie + "." + parts[2], "a cookie as signature": parts[0] + "." + parts[1] + "." + cookie,
		"a refresh token as signature": parts[0] + "." + parts[1] + "." + refreshToken, "a cookie as header": cookie + "." + parts[1] + "." + parts[2],
	} {
		if _, err := verifier.Verify(ctx, now, text); err == nil {
			t.Errorf("%s is an access token", what)
		}
	}
	for _, text := range append(parts, token) {
		if _, _, err := cookies.Open(ctx, now, text); err == nil {
			t.Error("an access token is a cookie")
		}
		if _, err := refresh.Parse(ctx, now, text); err == nil {
			t.Error("an access token is a refresh token")
		}
		if _, err := refresh.Parse(ctx, now, codec.RefreshPrefix+text); err == nil {
			t.Error("an access token is a refresh token")
		}
	}
}

// A key of another purpose, realm, algorithm or secret signs nothing here.
func TestPromise2_AccessTokenKeysAreApart(t *testing.T) {
	w := newAccessWorld(t)
	raw := bytes.Repeat([]byte{1}, 32)
	var attacks []accessAttack
	add := func(name string, s specSigner, class error) {
		attacks = append(attacks, accessAttack{name, s.token(t, s.header(), specPayload()), class})
	}
	for _, purpose := range []string{"cookie", "value", "commit", "refresh", "gorilla", "token"} {
		for _, base := range []specSigner{w.ed, w.es} {
			s := base
			s.derived = specHKDF(raw, "wafer/1 "+purpose, 32)
			add(fmt.Sprintf("the subkey of %s for %s", purpose, s.algorithm), s, codec.ErrForged)
			s.derived = specExpand(s.derived, "wafer/1 token "+string(s.algorithm)+"\x00\x00"+realm, 32)
			if purpose != "token" {
				add(fmt.Sprintf("derived from %s for %s", purpose, s.algorithm), s, codec.ErrForged)
			}
		}
	}
	swapped := w.ed
	swapped.derived = w.es.derived
	add("the scalar of ES256 as a seed", swapped, codec.ErrForged)
	swapped = w.es
	swapped.derived = w.ed.derived
	add("the seed of EdDSA as a scalar", swapped, codec.ErrForged)
	for _, other := range []string{"shop.example/production", "shop.example/tes", "shop.example/test2", "Shop.example/test", "\x01" + realm, realm + " "} {
		for _, algorithm := range bothAlgorithms {
			add(fmt.Sprintf("realm %q, %s", other, algorithm), newSpecSigner(raw, nil, other, algorithm), codec.ErrForged)
		}
	}
	add("another ring", newSpecSigner(bytes.Repeat([]byte{2}, 32), nil, realm, codec.EdDSA), keyring.ErrUnknown)
	add("another ring's secret, this one's id", newSpecSigner(bytes.Repeat([]byte{2}, 32), specKeyID(raw), realm, codec.EdDSA), codec.ErrForged)
	w.refuses(t, attacks)
}

// An algorithm that the verifier or the issuer does not use is refused, though
// the ring could derive its key.
func TestPromise2_AccessTokenAlgorithmsAreListed(t *testing.T) {
	w := newAccessWorld(t)
	ring := staticRing(t, secret(1))
	for _, s := range []specSigner{w.ed, w.es} {
		token := s.token(t, s.header(), specPayload())
		for _, only := range bothAlgorithms {
			for what, v := range map[string]*codec.AccessVerifier{
				"the verifier": newAccessVerifier(t, newAccessTokens(t, ring, realm, bothAlgorithms...), only),
				"the issuer":   newAccessVerifier(t, newAccessTokens(t, ring, realm, only), bothAlgorithms...),
			} {
				_, err := v.Verify(ctx, now, token)
				if s.algorithm == only && err != nil || s.algorithm != only && !errors.Is(err, codec.ErrForged) {
					t.Errorf("%s has %s, the token %s: %v", what, only, s.algorithm, err)
				}
			}
		}
	}
}

// keysOf returns the same key for every id.
type keysOf struct{ key crypto.PublicKey }

func (k keysOf) AccessKey(context.Context, time.Time, string, codec.Algorithm) (crypto.PublicKey, error) {
	return k.key, nil
}

// A key of the wrong type from the source verifies nothing. If there are several
// keys, none is tried.
func TestPromise2_AccessKeysOfTheWrongKind(t *testing.T) {
	w := newAccessWorld(t)
	ed := ed25519.NewKeyFromSeed(w.ed.derived).Public().(ed25519.PublicKey)
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), w.es.derived)
	fatal(t, err)
	p384, err := ecdsa.ParseRawPrivateKey(elliptic.P384(), append([]byte{48: 0}, 1)[2:])
	fatal(t, err)
	var none *ecdsa.PublicKey
	for what, key := range map[string]crypto.PublicKey{
		"nil": nil, "a nil *ecdsa.PublicKey": none, "bytes": []byte(ed), "text": string(ed), "31 bytes": ed[:31], "33 bytes": append(bytes.Clone(ed), 0), "no bytes": ed25519.PublicKey{},
		"the private key": ed25519.NewKeyFromSeed(w.ed.derived), "the other private key": private, "a value": private.PublicKey, "another curve": &p384.PublicKey,
		"a set": jwt.VerificationKeySet{Keys: []jwt.VerificationKey{ed, &private.PublicKey}}, "a list": []crypto.PublicKey{ed},
	} {
		for _, s := range []specSigner{w.ed, w.es} {
			if _, err := newAccessVerifier(t, keysOf{key}).Verify(ctx, now, s.token(t, s.header(), specPayload())); !errors.Is(err, codec.ErrForged) {
				t.Errorf("%s for %s: %v: want ErrForged", what, s.algorithm, err)
			}
		}
	}
	// A signature on P-224 fits into one of ES256, and the JWT library accepts it.
	p224, err := ecdsa.ParseRawPrivateKey(elliptic.P224(), append(make([]byte, 27), 5))
	fatal(t, err)
	signed := specText([]byte(w.es.header())) + "." + specText([]byte(specPayload()))
	digest := sha256.Sum256([]byte(signed))
	r, s, err := ecdsa.Sign(rand.Reader, p224, digest[:])
	fatal(t, err)
	signature := append(r.FillBytes(make([]byte, 32)), s.FillBytes(make([]byte, 32))...)
	fatal(t, jwt.SigningMethodES256.Verify(signed, signature, &p224.PublicKey))
	if _, err := newAccessVerifier(t, keysOf{&p224.PublicKey}).Verify(ctx, now, signed+"."+specText(signature)); !errors.Is(err, codec.ErrForged) {
		t.Errorf("a signature on P-224: %v: want ErrForged", err)
	}
	for _, c := range []struct {
		key  crypto.PublicKey
		sign specSigner
		want error
	}{{ed, w.ed, nil}, {&private.PublicKey, w.es, nil}, {ed, w.es, codec.ErrForged}, {&private.PublicKey, w.ed, codec.ErrForged}} {
		if _, err := newAccessVerifier(t, keysOf{c.key}).Verify(ctx, now, c.sign.token(t, c.sign.header(), specPayload())); !errors.Is(err, c.want) {
			t.Errorf("a %T for %s: %v: want %v", c.key, c.sign.algorithm, err, c.want)
		}
	}
}
