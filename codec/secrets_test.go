package codec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/printed"
	"github.com/waferkit/wafer/keyring"
)

const (
	loggedSecret  = "\x93\x1c\xb7\x02\xe5\x66\xf8\x4d\x93\x1c\xb7\x02\xe5\x66\xf8\x4d\x93\x1c\xb7\x02\xe5\x66\xf8\x4d\x93\x1c\xb7\x02\xe5\x66\xf8\x4d"
	loggedSubject = "subject-of-anna-liffey"
	loggedData    = "data-that-nobody-may-log"
)

// spellings returns the forms in which bytes could be printed.
func spellings(text string) []string {
	b := []byte(text)
	return []string{
		text, hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)),
		base64.StdEncoding.EncodeToString(b)[:len(b)/3*4], base64.RawURLEncoding.EncodeToString(b)[:len(b)/3*4],
		strings.Trim(fmt.Sprint(b), "[]"), strings.Trim(fmt.Sprintf("%#v", b), "[]byte{}"), fmt.Sprintf("% x", b),
	}
}

// silent fails if a text contains any 8 consecutive bytes of a secret, in any
// form.
func silent(t *testing.T, what, text string, secrets ...string) {
	t.Helper()
	for _, secret := range secrets {
		for at := 0; at+8 <= len(secret); at++ {
			for _, spelling := range spellings(secret[at : at+8]) {
				if strings.Contains(text, spelling) {
					t.Fatalf("%s shows %q: %s", what, spelling, text)
				}
			}
		}
	}
}

// all ways in which a value can be logged.
func printedText(v any) string {
	var b bytes.Buffer
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		fmt.Fprintf(&b, verb+"\n", v)
	}
	slog.New(slog.NewTextHandler(&b, nil)).Info("x", "v", v)
	slog.New(slog.NewJSONHandler(&b, nil)).Info("x", "v", v)
	j, err := json.Marshal(v)
	fmt.Fprintf(&b, "%s %v\n", j, err)
	return b.String()
}

func TestPromise7_CodecsPrintNoSecret(t *testing.T) {
	ring := staticRing(t, hex.EncodeToString([]byte(loggedSecret)))
	cookies := newCookies(t, ring, realm, name)
	values := newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour})
	commits := newCommits(t, ring, instance)
	refresh := newRefreshTokens(t, ring, instance)
	g := newGorilla(t, ring, realm)

	// Use them first: the values that they derive and cache must not leak either.
	access := newAccessTokens(t, ring, realm, bothAlgorithms...)
	verifier := newAccessVerifier(t, access)
	said := accessToken(loggedSubject)
	said.Claims = codec.Hide(`{"data":"` + loggedData + `"}`)
	accessText, err7 := access.Mint(now, said)
	verified, err8 := verifier.Verify(ctx, now, accessText)
	set, err9 := access.JWKS(now)
	cookie, err := cookies.Seal(now, session(loggedSubject), []byte(loggedData))
	content, err2 := cookies.OpenContent(ctx, now, cookie, new(codec.Session))
	value, err3 := values.Encode(name, loggedData)
	_, err4 := commits.Seal(now, codec.ID{}, []byte(loggedData))
	token, err5 := refresh.Mint(now, codec.RefreshToken{Family: idOf("f"), Generation: 1})
	encoded, err6 := g.Encode(name, loggedData)
	fatal(t, errors.Join(err, err2, err3, err4, err5, err6, err7, err8, err9))

	secrets := []string{loggedSecret, loggedSubject, loggedData, cookie, value, token, encoded, accessText}
	for _, info := range []string{"wafer/1 cookie", "wafer/1 value", "wafer/1 commit", "wafer/1 refresh", "wafer/1 gorilla", "wafer/1 token", "wafer/1 family"} {
		secrets = append(secrets, string(specHKDF([]byte(loggedSecret), info, 32)))
	}
	for _, algorithm := range bothAlgorithms {
		secrets = append(secrets, string(newSpecSigner([]byte(loggedSecret), nil, realm, algorithm).derived))
	}
	for what, text := range map[string]string{
		"an access token": printed.Everywhere(verified), "one to mint": printed.Everywhere(said), "a content": printed.Everywhere(content),
		"a session": printed.Everywhere(content.Session()), "a hidden text": printed.Everywhere(codec.Hide(loggedData)),
	} {
		silent(t, "printing "+what, text, loggedSubject, loggedData)
	}
	for _, v := range []any{access.AccessTokens, *access.AccessTokens, verifier, *verifier} {
		silent(t, fmt.Sprintf("printing a %T", v), printedText(v), secrets...)
	}
	// A set prints key ids, and a gorilla cookie begins with one.
	others := slices.DeleteFunc(slices.Clone(secrets), func(s string) bool { return s == encoded })
	for _, v := range []any{set, *set} {
		silent(t, fmt.Sprintf("printing a %T", v), printedText(v), others...)
	}
	for _, v := range []any{cookies, *cookies, values, *values, commits, *commits, refresh, *refresh, g, *g} {
		silent(t, fmt.Sprintf("printing a %T", v), printedText(v), secrets...)
	}
}

// Every kind of refusal, with every error that it wraps.
func TestPromise7_ErrorsQuoteNothing(t *testing.T) {
	ring := staticRing(t, hex.EncodeToString([]byte(loggedSecret)))
	for _, k := range kinds() {
		b := k.bind(t, ring, realm, name)
		sealed := b.seal(loggedData)
		inputs := map[string]string{"another realm": k.bind(t, ring, "other", name).seal(loggedData), "another ring": k.bind(t, staticRing(t, secret(1)), realm, name).seal(loggedData)}
		if k.format != "commit" { // it has no text
			for what, text := range respellings(sealed) {
				if !strings.HasPrefix(what, "line break") {
					inputs[what] = text
				}
			}
		}
		for at := 0; at < len(sealed); at += 5 {
			inputs[fmt.Sprint("cut at ", at)] = sealed[:at]
			changed := []byte(sealed)
			changed[at] ^= 0x20
			inputs[fmt.Sprint("changed at ", at)] = string(changed)
		}
		for what, input := range inputs {
			got, err := b.open(input)
			if err == nil || strings.Trim(got, "0") != "" {
				t.Fatalf("%s, %s: %q, %v: want an error alone", k.format, what, got, err)
			}
			silent(t, k.format+" refused, "+what, printedText(err), loggedSecret, loggedData, sealed, input)
		}
	}
}

func TestPromise7_SealingErrorsQuoteNothing(t *testing.T) {
	ring := staticRing(t, hex.EncodeToString([]byte(loggedSecret)))
	long := strings.Repeat(loggedData, 500)
	s := session(strings.Repeat(loggedSubject, 20))
	_, err := newCookies(t, ring, realm, name).Seal(now, s, []byte(long))
	_, err2 := newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour}).Seal(name, []byte(long))
	_, err3 := newCommits(t, ring, instance).Seal(now, codec.ID{}, []byte(long))
	_, err4 := newGorilla(t, ring, realm).Encode(name, long)
	_, err5 := codec.MarshalData(struct {
		A string
		B any
	}{loggedData, make(chan string)})
	data, err6 := codec.MarshalData(map[string]any{"name": loggedData, loggedSubject: 1})
	fatal(t, err6)
	err7 := codec.UnmarshalData(data, &struct {
		Name int `json:"name"`
	}{})
	err8 := codec.UnmarshalData(append(data, data...), new(any))
	for i, err := range []error{err, err2, err3, err4, err5, err7, err8} {
		if err == nil {
			t.Fatalf("%d: no error", i)
		}
		silent(t, "a refusal to seal", printedText(err), loggedSecret, loggedSubject, loggedData)
	}
}

// A value of another type than the one that was sealed: gob's error names
// types, not data.
func TestPromise7_GobErrorsQuoteNoData(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, c := range []securecookie.Codec{newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour}), newGorilla(t, ring, realm)} {
		sealed, err := c.Encode(name, map[string]string{loggedSubject: loggedData})
		fatal(t, err)
		err = c.Decode(name, sealed, new(int))
		if err == nil {
			t.Fatal("no error")
		}
		silent(t, fmt.Sprintf("%T", c), printedText(err), loggedSubject, loggedData, sealed)
	}
}

// errors.Is alone distinguishes the classes, and no class matches another.
func TestErrorClassesAreDistinct(t *testing.T) {
	all := []error{codec.ErrLength, codec.ErrEncoding, codec.ErrVersion, codec.ErrForged, codec.ErrContent, codec.ErrExpired, codec.ErrEarly, keyring.ErrUnknown, keyring.ErrExpired, keyring.ErrRevoked}
	for i, a := range all {
		for j, b := range all {
			if (i == j) != errors.Is(a, b) {
				t.Errorf("errors.Is(%v, %v) = %t", a, b, errors.Is(a, b))
			}
		}
	}
}
