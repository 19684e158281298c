package codec_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

var bothAlgorithms = []codec.Algorithm{codec.EdDSA, codec.ES256}

// A minted token has the requested content, for a verifier and for any reader of
// JSON.
func TestAccessTokenRoundTrip(t *testing.T) {
	for _, algorithm := range bothAlgorithms {
		access := newAccessTokens(t, staticRing(t, secret(1)), realm, algorithm)
		for what, change := range map[string]func(t *codec.AccessToken){
			"plain":                 func(*codec.AccessToken) {},
			"scope":                 func(t *codec.AccessToken) { t.Scope = codec.Hide("orders.read orders:write") },
			"claims":                func(t *codec.AccessToken) { t.Claims = codec.Hide(`{"roles":["admin"],"":{"sub":"nested"}}`) },
			"spaced claims":         func(t *codec.AccessToken) { t.Claims = codec.Hide(" { \"a\" : 1.5e3 ,\n\"b\": null } ") },
			"quotes and controls":   func(t *codec.AccessToken) { t.Subject, t.ClientID = codec.Hide("\"\\\n\x01\x7f"), "<&>\u2028é" },
			"position 0":            func(t *codec.AccessToken) { t.Position = 0 },
			"the highest position":  func(t *codec.AccessToken) { t.Position = codec.MaxPosition },
			"a subject of 255":      func(t *codec.AccessToken) { t.Subject = codec.Hide(strings.Repeat("s", 255)) },
			"authenticated in 1970": func(t *codec.AccessToken) { t.Authenticated = time.Unix(0, 0) },
		} {
			t.Run(string(algorithm)+", "+what, func(t *testing.T) {
				want := accessToken("anna")
				change(&want)
				token, err := access.Mint(now, want)
				fatal(t, err)
				got, err := newAccessVerifier(t, access, algorithm).Verify(ctx, now, token)
				fatal(t, err)
				want.Issuer = accessIssuer
				sameAccessToken(t, &got, &want)

				var read struct {
					Issuer   string `json:"iss"`
					Subject  string `json:"sub"`
					Audience string `json:"aud"`
					Client   string `json:"client_id"`
					ID       string `json:"jti"`
					Session  string `json:"sid"`
					Issued   int64  `json:"iat"`
					Expires  int64  `json:"exp"`
					At       int64  `json:"auth_time"`
					Position uint64 `json:"pos"`
				}
				fatal(t, json.Unmarshal([]byte(segment(t, token, 1)), &read))
				if read.Issuer != accessIssuer || read.Subject != want.Subject.Text() || read.Audience != accessAudience || read.Client != want.ClientID || read.ID != want.ID ||
					read.Session != fmt.Sprintf("%x", want.Session[:]) || read.Issued != want.Issued.Unix() || read.Expires != want.Expires.Unix() ||
					read.At != want.Authenticated.Unix() || read.Position != want.Position {
					t.Errorf("encoding/json reads %+v of %s", read, segment(t, token, 1))
				}
				if algorithm == codec.EdDSA && !strings.Contains(what, "spaced") {
					if again, err := access.Mint(now, got); err != nil || again != token {
						t.Errorf("verified and minted again it is another token: %v", err)
					}
				}
			})
		}
	}
}

func sameAccessToken(t testing.TB, got, want *codec.AccessToken) {
	t.Helper()
	times := got.Issued.Equal(want.Issued) && got.Expires.Equal(want.Expires) && got.Authenticated.Equal(want.Authenticated)
	texts := got.Issuer == want.Issuer && got.Subject.Text() == want.Subject.Text() && got.ClientID == want.ClientID && got.ID == want.ID && got.Scope.Text() == want.Scope.Text()
	if !times || !texts || got.Session != want.Session || got.Position != want.Position || !reflect.DeepEqual(got.Audience, want.Audience) || !sameJSON(got.Claims.Text(), want.Claims.Text()) {
		t.Errorf("got %s of %v and %s: want %s and %s", got.Subject.Text(), got.Audience, got.Claims.Text(), want.Subject.Text(), want.Claims.Text())
	}
}

func sameJSON(a, b string) bool {
	var va, vb any
	if a == "" || b == "" {
		return a == b
	}
	return json.Unmarshal([]byte(a), &va) == nil && json.Unmarshal([]byte(b), &vb) == nil && reflect.DeepEqual(va, vb)
}

func TestAccessTokenSeveralAudiences(t *testing.T) {
	access := newAccessTokens(t, staticRing(t, secret(1)), realm)
	both := accessToken("anna")
	both.Audience = []string{accessAudience, "https://other.example"}
	token, err := access.Mint(now, both)
	fatal(t, err)
	if _, err := newAccessVerifier(t, access).Verify(ctx, now, token); !errors.Is(err, codec.ErrForged) {
		t.Errorf("an audience beside ours: %v: want ErrForged", err)
	}
	v, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: access, Algorithms: bothAlgorithms, Issuer: accessIssuer, Audiences: []string{"https://other.example", "x", accessAudience}})
	fatal(t, err)
	if got, err := v.Verify(ctx, now, token); err != nil || !reflect.DeepEqual(got.Audience, both.Audience) {
		t.Errorf("for a service of both names: %v, %v", got.Audience, err)
	}
}

// Fractions of a second are truncated, so a token never lives longer than
// requested.
func TestAccessTokenTimesAreWholeSeconds(t *testing.T) {
	access := newAccessTokens(t, staticRing(t, secret(1)), realm)
	want := accessToken("anna")
	at := want.Issued.Add(999 * time.Millisecond)
	want.Issued, want.Expires, want.Authenticated = at, at.Add(5*time.Minute), at
	token, err := access.Mint(at, want)
	fatal(t, err)
	got, err := newAccessVerifier(t, access).Verify(ctx, at, token)
	fatal(t, err)
	whole := at.Truncate(time.Second)
	if !got.Issued.Equal(whole) || !got.Expires.Equal(whole.Add(5*time.Minute)) || !got.Authenticated.Equal(whole) {
		t.Errorf("iat %v, exp %v, auth_time %v: want them cut to %v", got.Issued, got.Expires, got.Authenticated, whole)
	}
}

func TestAccessTokenDrawsItsID(t *testing.T) {
	access := newAccessTokens(t, staticRing(t, secret(1)), realm)
	seen := map[string]bool{}
	for range 100 {
		want := accessToken("anna")
		want.ID = ""
		token, err := access.Mint(now, want)
		fatal(t, err)
		got, err := newAccessVerifier(t, access).Verify(ctx, now, token)
		if err != nil || len(got.ID) < 22 || seen[got.ID] {
			t.Fatalf("jti %q, %v: want a new one of 128 bits", got.ID, err)
		}
		seen[got.ID] = true
	}
}

// Mint refuses invalid content, and its errors do not quote it.
func TestAccessTokenMintRefuses(t *testing.T) {
	access := newAccessTokens(t, staticRing(t, secret(1)), realm)
	long := strings.Repeat(loggedData, 20)
	claims := func(text string) func(*codec.AccessToken) {
		return func(t *codec.AccessToken) { t.Claims = codec.Hide(text) }
	}
	cases := map[string]func(t *codec.AccessToken){
		"another issuer":            func(t *codec.AccessToken) { t.Issuer = loggedData },
		"no subject":                func(t *codec.AccessToken) { t.Subject = codec.Hide("") },
		"a subject of 256":          func(t *codec.AccessToken) { t.Subject = codec.Hide(strings.Repeat("s", 256)) },
		"a subject with NUL":        func(t *codec.AccessToken) { t.Subject = codec.Hide(loggedData + "\x00") },
		"a subject that is no text": func(t *codec.AccessToken) { t.Subject = codec.Hide(loggedData + "\xff") },
		"no audience":               func(t *codec.AccessToken) { t.Audience = nil },
		"an empty audience":         func(t *codec.AccessToken) { t.Audience = []string{accessAudience, ""} },
		"a long audience":           func(t *codec.AccessToken) { t.Audience = []string{long} },
		"17 audiences":              func(t *codec.AccessToken) { t.Audience = strings.Split(strings.Repeat("a,", 16)+"a", ",") },
		"no client":                 func(t *codec.AccessToken) { t.ClientID = "" },
		"a long client":             func(t *codec.AccessToken) { t.ClientID = long },
		"a long id":                 func(t *codec.AccessToken) { t.ID = long },
		"no session":                func(t *codec.AccessToken) { t.Session = codec.ID{} },
		"a position of 54 bits":     func(t *codec.AccessToken) { t.Position = codec.MaxPosition + 1 },
		"no iat":                    func(t *codec.AccessToken) { t.Issued = time.Time{} },
		"no exp":                    func(t *codec.AccessToken) { t.Expires = time.Time{} },
		"no auth_time":              func(t *codec.AccessToken) { t.Authenticated = time.Time{} },
		"exp at iat":                func(t *codec.AccessToken) { t.Expires = t.Issued.Add(900 * time.Millisecond) },
		"exp before now":            func(t *codec.AccessToken) { t.Issued, t.Expires = now.Add(-time.Hour), now.Add(-time.Minute) },
		"longer than the ring's":    func(t *codec.AccessToken) { t.Expires = now.Add(keyring.DefaultLife + time.Second) },
		"a long scope":              func(t *codec.AccessToken) { t.Scope = codec.Hide(strings.Repeat("s", 1025)) },
		"a scope of two spaces":     func(t *codec.AccessToken) { t.Scope = codec.Hide("a  b") },
		"a scope with a quote":      func(t *codec.AccessToken) { t.Scope = codec.Hide(`a"b`) },
		"a scope with a space":      func(t *codec.AccessToken) { t.Scope = codec.Hide("a ") },
		"an actor of 256":           func(t *codec.AccessToken) { t.Actor = codec.Hide(strings.Repeat("s", 256)) },
		"an actor with NUL":         func(t *codec.AccessToken) { t.Actor = codec.Hide(loggedData + "\x00") },
		"a level of 256":            func(t *codec.AccessToken) { t.Level = codec.Hide(strings.Repeat("s", 256)) },
		"a level that is no text":   func(t *codec.AccessToken) { t.Level = codec.Hide(loggedData + "\xff") },
		"methods of 256":            func(t *codec.AccessToken) { t.Methods = codec.Hide(strings.Repeat("s", 256)) },
		"methods, two spaces":       func(t *codec.AccessToken) { t.Methods = codec.Hide("pwd  otp") },
		"methods, a space last":     func(t *codec.AccessToken) { t.Methods = codec.Hide("pwd ") },
		"methods, a letter":         func(t *codec.AccessToken) { t.Methods = codec.Hide(loggedData + "ä") },
		"claims: no object":         claims(`["` + loggedData + `"]`),
		"claims: null":              claims("null"),
		"claims: two objects":       claims(`{}{}`),
		"claims: cut":               claims(`{"a":1`),
		"claims: a member twice":    claims(`{"a":1,"b":2,"a":3}`),
		"claims: twice, escaped":    claims(`{"a":1,"\u0061":3}`),
		"claims: twice inside":      claims(`{"a":[{"b":1,"b":2}]}`),
		"claims: half a surrogate":  claims(`{"a":"\ud800"}`),
		"claims: no UTF-8":          claims("{\"a\":\"\xff\"}"),
		"claims: 33 levels":         claims(`{"a":` + strings.Repeat("[", 32) + strings.Repeat("]", 32) + `}`),
		"claims: 242 members":       claims(manyMembers(242)),
		"claims: 9 kB":              claims(`{"a":"` + strings.Repeat("x", 9000) + `"}`),
	}
	for _, name := range []string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "sid", "auth_time", "pos", "scope", "act", "amr", "acr"} {
		cases["claims: "+name] = claims(`{"a":1,"` + name + `":"` + loggedData + `"}`)
		cases["claims: "+name+", escaped"] = claims(fmt.Sprintf(`{"\u%04x%s":1}`, name[0], name[1:]))
		cases["claims: "+name+" in capitals"] = claims(`{"` + strings.ToUpper(name) + `":1}`)
	}
	cases["claims: a long s for an s"] = claims(`{"ſub":1}`) // encoding/json treats it as one
	for what, change := range cases {
		refused := accessToken("anna")
		change(&refused)
		token, err := access.Mint(now, refused)
		if err == nil || token != "" {
			t.Errorf("%s: minted, %v", what, err)
			continue
		}
		silent(t, what, printedText(err), loggedData)
	}
	for what, change := range map[string]func(t *codec.AccessToken){
		"32 levels":            claims(`{"a":` + strings.Repeat("[", 31) + strings.Repeat("]", 31) + `}`),
		"241 members":          claims(manyMembers(241)),
		"a registered name in": claims(`{"a":{"sub":1,"exp":2},"issuer":3}`),
		"no members":           claims(` { } `),
		"16 audiences":         func(t *codec.AccessToken) { t.Audience = strings.Split(strings.Repeat("a,", 15)+accessAudience, ",") },
	} {
		good := accessToken("anna")
		change(&good)
		token, err := access.Mint(now, good)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		v, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: access, Algorithms: bothAlgorithms, Issuer: accessIssuer, Audiences: []string{accessAudience, "a"}})
		fatal(t, err)
		if _, err := v.Verify(ctx, now, token); err != nil {
			t.Errorf("%s: minted, and refused with %v", what, err)
		}
	}
}

// Mint writes what the vectors read: who acts, the methods and the level.
func TestAccessTokenMintsWhoActs(t *testing.T) {
	for _, name := range []string{"access-ok-acted", "access-ok-act", "access-ok-acted-longest"} {
		v := vectors(t)[name]
		access := newVectorAccess(t, v.ring(t), v["realm"], v["algorithms"])
		says, err := vectorVerifier(t, access, v["algorithms"], v["audience"]).Verify(ctx, v.now(t), v.quoted(t, "input"))
		fatal(t, err)
		if token, err := access.Mint(v.now(t), says); err != nil || token != v.quoted(t, "input") {
			t.Errorf("%s: Mint = %s, %v", name, token, err)
		}
	}
}

func manyMembers(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `,"%d":1`, i)
	}
	return "{" + b.String()[1:] + "}"
}

// The longest token is minted and verified; one byte more is neither.
func TestAccessTokenLongest(t *testing.T) {
	access := newAccessTokens(t, staticRing(t, secret(1)), realm)
	longest, refused := 0, 0
	for n := 5000; n < 6500 && refused < 3; n++ {
		token := accessToken("anna")
		token.Claims = codec.Hide(`{"a":"` + strings.Repeat("x", n) + `"}`)
		text, err := access.Mint(now, token)
		if errors.Is(err, codec.ErrLength) {
			refused++
			continue
		}
		fatal(t, err)
		if refused > 0 {
			t.Fatalf("%d bytes of claims are minted, and fewer are not", n)
		}
		if longest = len(text); n%100 == 0 || longest > codec.MaxAccessToken-3 {
			if _, err := newAccessVerifier(t, access).Verify(ctx, now, text); err != nil {
				t.Fatalf("a token of %d bytes: %v", len(text), err)
			}
		}
	}
	if longest > codec.MaxAccessToken || longest < codec.MaxAccessToken-1 || refused != 3 {
		t.Errorf("the longest token has %d bytes: want %d, or one less for base64", longest, codec.MaxAccessToken)
	}
}

func TestAccessConstructorsRefuseWhatIsUnsafe(t *testing.T) {
	ring := staticRing(t, secret(1))
	for what, c := range map[string]codec.AccessTokensConfig{
		"no realm":            {Issuer: accessIssuer},
		"NUL in the realm":    {Issuer: accessIssuer, Realm: "a\x00"},
		"no issuer":           {Realm: realm},
		"a long issuer":       {Realm: realm, Issuer: strings.Repeat("i", 256)},
		"an issuer not UTF-8": {Realm: realm, Issuer: "\xff"},
		"no algorithm":        {Realm: realm, Issuer: accessIssuer, Algorithms: []codec.Algorithm{}},
		"none":                {Realm: realm, Issuer: accessIssuer, Algorithms: []codec.Algorithm{"none"}},
		"HS256":               {Realm: realm, Issuer: accessIssuer, Algorithms: []codec.Algorithm{codec.EdDSA, "HS256"}},
		"EdDSA twice":         {Realm: realm, Issuer: accessIssuer, Algorithms: []codec.Algorithm{codec.EdDSA, codec.EdDSA}},
	} {
		if _, err := codec.NewAccessTokens(ring, c); err == nil {
			t.Errorf("NewAccessTokens accepts %s", what)
		}
	}
	if _, err := codec.NewAccessTokens(nil, codec.AccessTokensConfig{Realm: realm, Issuer: accessIssuer}); err == nil {
		t.Error("NewAccessTokens accepts no ring")
	}
	good := func() codec.AccessVerifierConfig {
		return codec.AccessVerifierConfig{Keys: newAccessTokens(t, ring, realm), Algorithms: bothAlgorithms, Issuer: accessIssuer, Audiences: []string{accessAudience}}
	}
	for what, change := range map[string]func(c *codec.AccessVerifierConfig){
		"no keys":                   func(c *codec.AccessVerifierConfig) { c.Keys = nil },
		"nil algorithms":            func(c *codec.AccessVerifierConfig) { c.Algorithms = nil },
		"an empty list":             func(c *codec.AccessVerifierConfig) { c.Algorithms = []codec.Algorithm{} },
		"none":                      func(c *codec.AccessVerifierConfig) { c.Algorithms = []codec.Algorithm{"none"} },
		"an empty algorithm":        func(c *codec.AccessVerifierConfig) { c.Algorithms = []codec.Algorithm{""} },
		"HS256 beside EdDSA":        func(c *codec.AccessVerifierConfig) { c.Algorithms = []codec.Algorithm{codec.EdDSA, "HS256"} },
		"no issuer":                 func(c *codec.AccessVerifierConfig) { c.Issuer = "" },
		"no audience":               func(c *codec.AccessVerifierConfig) { c.Audiences = nil },
		"an empty audience":         func(c *codec.AccessVerifierConfig) { c.Audiences = []string{""} },
		"one empty audience of two": func(c *codec.AccessVerifierConfig) { c.Audiences = []string{accessAudience, ""} },
		"a negative leeway":         func(c *codec.AccessVerifierConfig) { c.Leeway = -1 },
		"a leeway of an hour":       func(c *codec.AccessVerifierConfig) { c.Leeway = time.Hour },
	} {
		c := good()
		change(&c)
		if _, err := codec.NewAccessVerifier(c); err == nil {
			t.Errorf("NewAccessVerifier accepts %s", what)
		}
	}
	if _, err := codec.NewAccessVerifier(good()); err != nil {
		t.Error(err)
	}
}

// Mint and Verify neither retain nor change the caller's slices.
func TestAccessConfigsAreCopied(t *testing.T) {
	algorithms, audiences := []codec.Algorithm{codec.EdDSA}, []string{accessAudience}
	access := newAccessTokens(t, staticRing(t, secret(1)), realm, algorithms...)
	v, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: access, Algorithms: algorithms, Issuer: accessIssuer, Audiences: audiences})
	fatal(t, err)
	token, err := access.Mint(now, accessToken("anna"))
	fatal(t, err)
	algorithms[0], audiences[0] = codec.ES256, "other"
	if _, err := v.Verify(ctx, now, token); err != nil {
		t.Error(err)
	}
}
