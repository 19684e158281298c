package codec_test

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

func jwksOf(t testing.TB, access issuing, at time.Time) string {
	t.Helper()
	set, err := access.JWKS(at)
	fatal(t, err)
	b, err := json.Marshal(set)
	fatal(t, err)
	return string(b)
}

// Another service verifies tokens with the published keys alone.
func TestJWKSVerifiesElsewhere(t *testing.T) {
	for _, algorithms := range [][]codec.Algorithm{{codec.EdDSA}, {codec.ES256}, {codec.EdDSA, codec.ES256}, {codec.ES256, codec.EdDSA}} {
		access := newAccessTokens(t, staticRing(t, secret(1), secret(2)), realm, algorithms...)
		text := jwksOf(t, access, now)
		set, err := codec.ParseJWKS([]byte(text))
		fatal(t, err)
		if got := set.KeyIDs(); len(got) != 2*len(algorithms) || !slices.IsSorted(got) {
			t.Errorf("%v: published %q", algorithms, got)
		}
		if again, err := json.Marshal(set); err != nil || string(again) != text {
			t.Errorf("parsed and written again:\n%s\nwant\n%s", again, text)
		}
		token, err := access.Mint(now, accessToken("anna"))
		fatal(t, err)
		if got, err := newAccessVerifier(t, set).Verify(ctx, now, token); err != nil || got.Subject.Text() != "anna" {
			t.Errorf("%v: %q, %v", algorithms, got.Subject.Text(), err)
		}
		other, err := newAccessTokens(t, staticRing(t, secret(1)), "another realm", algorithms...).Mint(now, accessToken("anna"))
		fatal(t, err)
		if _, err := newAccessVerifier(t, set).Verify(ctx, now, other); !errors.Is(err, codec.ErrForged) {
			t.Errorf("another realm: %v: want ErrForged", err)
		}
		other, err = newAccessTokens(t, staticRing(t, secret(3)), realm, algorithms...).Mint(now, accessToken("anna"))
		fatal(t, err)
		if _, err := newAccessVerifier(t, set).Verify(ctx, now, other); !errors.Is(err, keyring.ErrUnknown) {
			t.Errorf("another ring: %v: want ErrUnknown", err)
		}
	}
}

// A key of a set verifies only its own algorithm, even if another source uses one
// id for two algorithms.
func TestJWKSKeysAreForOneAlgorithm(t *testing.T) {
	w := newAccessWorld(t)
	ed := strings.Replace(w.ed.jwk(t), w.ed.kid, "one", 1)
	set, err := codec.ParseJWKS([]byte(specJWKS(ed)))
	fatal(t, err)
	verifier := newAccessVerifier(t, set)
	for algorithm, want := range map[string]error{"EdDSA": nil, "ES256": codec.ErrForged, "HS256": codec.ErrForged, "none": codec.ErrForged} {
		token := w.ed.token(t, fmt.Sprintf(`{"alg":%q,"kid":"one","typ":"at+jwt"}`, algorithm), specPayload())
		if _, err := verifier.Verify(ctx, now, token); !errors.Is(err, want) {
			t.Errorf("%s: %v: want %v", algorithm, err, want)
		}
	}
}

// The published keys are those that verify: also before their activation, until
// they expire, and not if they were revoked.
func TestPromise2_JWKSFollowsTheRing(t *testing.T) {
	const day = 24 * time.Hour
	keys := []documentKey{
		{id: "00000001", secret: 1, activates: now.Add(-100 * day)},
		{id: "00000002", secret: 2, activates: now.Add(-20 * day)},
		{id: "00000003", secret: 3, activates: now.Add(-10 * day), revoked: true},
		{id: "00000004", secret: 4, activates: now.Add(day)},
	}
	access := newAccessTokens(t, documentRing(t, document(keys...)), realm)
	for _, c := range []struct {
		at   time.Time
		want string
	}{
		{now, "00000001-EdDSA 00000002-EdDSA 00000004-EdDSA"},
		{now.Add(10*day - time.Millisecond), "00000001-EdDSA 00000002-EdDSA 00000004-EdDSA"},
		{now.Add(10 * day), "00000002-EdDSA 00000004-EdDSA"},
		{now.Add(20*day - time.Millisecond), "00000002-EdDSA 00000004-EdDSA"},
		{now.Add(20 * day), "00000004-EdDSA"},
		{now.Add(900 * day), "00000004-EdDSA"},
	} {
		set, err := access.JWKS(c.at)
		fatal(t, err)
		if got := strings.Join(set.KeyIDs(), " "); got != c.want {
			t.Errorf("%v later: %s: want %s", c.at.Sub(now), got, c.want)
		}
	}
	// The published keys and those that verify are the same, key by key.
	for i, k := range keys {
		s := newSpecSigner(bytes.Repeat([]byte{k.secret}, 32), []byte{0, 0, 0, byte(i + 1)}, realm, codec.EdDSA)
		token := s.token(t, s.header(), specPayload())
		_, err := newAccessVerifier(t, access).Verify(ctx, now, token)
		set, err2 := access.JWKS(now)
		fatal(t, err2)
		_, published := newAccessVerifier(t, set).Verify(ctx, now, token)
		if (err == nil) != (published == nil) || (err == nil) != !k.revoked {
			t.Errorf("key %s: the ring says %v, its set %v", k.id, err, published)
		}
	}
}

// A reader accepts the set of a ring with MaxKeys keys.
func TestJWKSOfTheFullestRing(t *testing.T) {
	var secrets []string
	for i := range keyring.MaxKeys {
		secrets = append(secrets, hex.EncodeToString(bytes.Repeat([]byte{byte(i), 7}, 16)))
	}
	access := newAccessTokens(t, staticRing(t, secrets...), realm, bothAlgorithms...)
	text := jwksOf(t, access, now)
	set, err := codec.ParseJWKS([]byte(text))
	if err != nil || len(set.KeyIDs()) != codec.MaxJWKSKeys {
		t.Fatalf("%d bytes: %v", len(text), err)
	}
}

func TestJWKSRefuses(t *testing.T) {
	w := newAccessWorld(t)
	ed, es := w.ed.jwk(t), w.es.jwk(t)
	if _, err := codec.ParseJWKS([]byte(specJWKS(ed, es))); err != nil {
		t.Fatal(err)
	}
	member := func(key, more string) string { return key[:len(key)-1] + "," + more + "}" }
	with := func(key, name, value string) string {
		var members map[string]any
		fatal(t, json.Unmarshal([]byte(key), &members))
		members[name] = value
		b, err := json.Marshal(members)
		fatal(t, err)
		return string(b)
	}
	point := func(encoded string) string {
		b, err := hex.DecodeString(encoded)
		fatal(t, err)
		return specText(b)
	}
	x := func(key string) []byte {
		var members struct{ X string }
		fatal(t, json.Unmarshal([]byte(key), &members))
		b, err := specDecode(members.X)
		fatal(t, err)
		return b
	}
	cases := map[string]string{
		"null": `null`, "an array": `[]`, "text": `"keys"`, "half": `{"keys":[`, "no keys": `{}`, "keys in capitals": `{"KEYS":[]}`, "keys are an object": `{"keys":{}}`, "keys are null": `{"keys":null}`,
		"keys twice": `{"keys":[],"keys":[]}`, "two sets": `{"keys":[]}{"keys":[]}`, "a comma": specJWKS(ed, ""), "a key that is null": specJWKS(ed, "null"), "a key that is text": specJWKS(`"` + w.ed.kid + `"`),
		"a member twice": specJWKS(member(ed, `"kid":"other"`)), "an unknown member twice": specJWKS(member(ed, `"a":1,"a":2`)), "a member twice in an unknown key": specJWKS(`{"kty":"RSA","kty":"RSA"}`), "a byte order mark": "\ufeff" + specJWKS(ed),
		"33 levels": specJWKS(member(ed, `"a":`+strings.Repeat("[", 30)+strings.Repeat("]", 30))), "60000 levels": strings.Repeat("[", 60000), "not UTF-8": specJWKS(member(ed, "\"a\":\"\xff\"")),
		"one id twice": specJWKS(ed, strings.Replace(es, w.es.kid, w.ed.kid, 1)), "one key twice": specJWKS(ed, ed), "one id twice, one of them unknown": specJWKS(ed, fmt.Sprintf(`{"kty":"RSA","kid":%q,"n":"AQAB","e":"AQAB"}`, w.ed.kid)),
		"kid is a number": specJWKS(member(`{"kty":"OKP"}`, `"kid":1`)), "x is a number": specJWKS(strings.Replace(ed, `"x":"`, `"y":"","x":1,"z":"`, 1)), "alg is null": specJWKS(strings.Replace(ed, `"EdDSA"`, `null`, 1)),
		"no x": specJWKS(strings.Replace(ed, `"x"`, `"X"`, 1)), "no y": specJWKS(strings.Replace(es, `"y"`, `"Y"`, 1)),
		"x of 31 bytes": specJWKS(with(ed, "x", specText(x(ed)[:31]))), "x of 33 bytes": specJWKS(with(ed, "x", specText(append(x(ed), 0)))), "x padded": specJWKS(with(ed, "x", specText(x(ed))+"=")), "x in the standard alphabet": specJWKS(with(ed, "x", "+/+/"+specText(x(ed))[4:])),
		"x with a line break": specJWKS(strings.Replace(ed, `"x":"`, `"x":"\n`, 1)), "x with trailing bits": specJWKS(with(ed, "x", specText(make([]byte, 32))[:42]+"B")), "y of 31 bytes": specJWKS(with(es, "y", specText(make([]byte, 31)))), "x of P-256 with a zero in front": specJWKS(with(es, "x", specText(append([]byte{0}, x(es)...)))),
		"P-256: a point off the curve": specJWKS(with(es, "y", specText(x(es)))), "P-256: (0, 0)": specJWKS(with(with(es, "x", specText(make([]byte, 32))), "y", specText(make([]byte, 32)))), "P-256: x above the prime": specJWKS(with(es, "x", specText(bytes.Repeat([]byte{0xff}, 32)))),
		"Ed25519: a point off the curve":  specJWKS(with(ed, "x", point("0200000000000000000000000000000000000000000000000000000000000000"))),
		"Ed25519: y above the prime":      specJWKS(with(ed, "x", point("f0ffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))),
		"Ed25519: all ones":               specJWKS(with(ed, "x", specText(bytes.Repeat([]byte{0xff}, 32)))),
		"Ed25519: (0, 1), order 1":        specJWKS(with(ed, "x", point("0100000000000000000000000000000000000000000000000000000000000000"))),
		"Ed25519: (0, -1), order 2":       specJWKS(with(ed, "x", point("ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f"))),
		"Ed25519: order 4":                specJWKS(with(ed, "x", specText(make([]byte, 32)))),
		"Ed25519: order 4, negative":      specJWKS(with(ed, "x", point("0000000000000000000000000000000000000000000000000000000000000080"))),
		"Ed25519: order 8":                specJWKS(with(ed, "x", point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05"))),
		"Ed25519: order 8, negative":      specJWKS(with(ed, "x", point("26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85"))),
		"Ed25519: order 8, the other":     specJWKS(with(ed, "x", point("c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a"))),
		"Ed25519: order 1, the zero's -0": specJWKS(with(ed, "x", point("0100000000000000000000000000000000000000000000000000000000000080"))),
	}
	for _, private := range []string{"d", "k", "p", "q", "dp", "dq", "qi", "oth"} {
		cases["private: "+private] = specJWKS(member(ed, `"`+private+`":"AAAA"`))
		cases["private: "+private+" of an unknown key"] = specJWKS(ed, `{"kty":"RSA","`+private+`":"AAAA"}`)
		cases["private: "+private+" is null"] = specJWKS(es, `{"kty":"oct","`+private+`":null}`)
	}
	for what, text := range cases {
		set, err := codec.ParseJWKS([]byte(text))
		if set != nil || !errors.Is(err, codec.ErrEncoding) {
			t.Errorf("%s: %v, %v: want ErrEncoding", what, set, err)
		}
	}
	// The bytes of both coordinates, split at another place.
	y := func() []byte {
		_, after, _ := strings.Cut(es, `"y":"`)
		b, err := specDecode(strings.TrimSuffix(after, `"}`))
		fatal(t, err)
		return b
	}()
	if set, err := codec.ParseJWKS([]byte(specJWKS(with(with(es, "x", specText(append(x(es), y[0]))), "y", specText(y[1:]))))); set != nil || !errors.Is(err, codec.ErrEncoding) {
		t.Errorf("P-256: 33 and 31 bytes: %v, %v: want ErrEncoding", set, err)
	}
	long := specJWKS(member(ed, `"a":"`+strings.Repeat("x", codec.MaxJWKS)+`"`))
	over := len(long) - codec.MaxJWKS
	fits := strings.Replace(long, strings.Repeat("x", over), "", 1)
	if _, err := codec.ParseJWKS([]byte(fits)); err != nil || len(fits) != codec.MaxJWKS {
		t.Errorf("%d bytes: %v", len(fits), err)
	}
	for what, text := range map[string]string{"nothing": "", "a byte too long": fits + " ", "1 MB": strings.Repeat("[", 1<<20), "513 keys": specJWKS(strings.Split(strings.Repeat("{};", 512)+"{}", ";")...)} {
		if _, err := codec.ParseJWKS([]byte(text)); err != codec.ErrLength {
			t.Errorf("%s: %v: want ErrLength", what, err)
		}
	}
	if _, err := codec.ParseJWKS([]byte(specJWKS(strings.Split(strings.Repeat("{};", 511)+"{}", ";")...))); err != nil {
		t.Errorf("512 keys: %v", err)
	}
}

// RFC 7517, section 5: keys that a reader does not understand are skipped.
func TestJWKSPassesOverWhatItDoesNotKnow(t *testing.T) {
	w := newAccessWorld(t)
	ed := w.ed.jwk(t)
	change := func(old, new string) string {
		changed := strings.Replace(strings.Replace(ed, old, new, 1), w.ed.kid, "other", 1)
		if changed == ed {
			t.Fatalf("nothing to change in %s", old)
		}
		return changed
	}
	for what, key := range map[string]string{
		"nothing": `{}`, "RSA": `{"kty":"RSA","alg":"RS256","kid":"other","use":"sig","n":"AQAB","e":"AQAB"}`, "P-384": `{"kty":"EC","crv":"P-384","alg":"ES384","kid":"other","use":"sig","x":"AA","y":"AA"}`, "P-384 for ES256": `{"kty":"EC","crv":"P-384","alg":"ES256","kid":"other","x":"AA","y":"AA"}`,
		"X25519": `{"kty":"OKP","crv":"X25519","alg":"EdDSA","kid":"other","x":"AA"}`, "an unknown type": `{"kty":"AKP","alg":"ML-DSA-44","kid":"other","pub":"AA"}`, "oct without its key": `{"kty":"oct","alg":"HS256","kid":"other"}`,
		"for encryption": change(`"sig"`, `"enc"`), "of no use": change(`"sig"`, `""`), "of another algorithm": change(`"EdDSA"`, `"ES256"`), "of none": change(`"alg":"EdDSA",`, ``), "without an id": change(fmt.Sprintf(`"kid":%q,`, w.ed.kid), ``),
		"with an empty id": change(w.ed.kid, ""), "with a long id": change(w.ed.kid, strings.Repeat("k", 65)), "with key_ops": change(`"use"`, `"key_ops":["verify"],"use"`), "of another case": change(`"kty"`, `"KTY"`), "EdDSA of the type EC": change(`"OKP"`, `"EC"`),
	} {
		set, err := codec.ParseJWKS([]byte(`{"a":[{}],"keys":[` + key + "," + ed + `, ` + key[:len(key)-1] + `}]}`))
		if strings.Contains(key, `"kid":"other"`) {
			if !errors.Is(err, codec.ErrEncoding) {
				t.Errorf("%s, twice: %v: want ErrEncoding", what, err)
			}
			set, err = codec.ParseJWKS([]byte(specJWKS(key, ed)))
		}
		if what == "with an empty id" || what == "with a long id" {
			set, err = codec.ParseJWKS([]byte(specJWKS(key, ed)))
		}
		if err != nil || !slices.Equal(set.KeyIDs(), []string{w.ed.kid}) {
			t.Errorf("%s: %v, %v: want the other key alone", what, set, err)
			continue
		}
		if _, err := newAccessVerifier(t, set).Verify(ctx, now, w.ed.token(t, w.ed.header(), specPayload())); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, key := range map[string]string{"no use": strings.Replace(ed, `"use":"sig",`, "", 1), "more members": ed[:len(ed)-1] + `,"x5c":["AAAA"],"ext":true}`, "escapes": strings.Replace(ed, `"kid"`, `"\u006bid"`, 1)} {
		if set, err := codec.ParseJWKS([]byte(specJWKS(key))); err != nil || len(set.KeyIDs()) != 1 {
			t.Errorf("%s: %v, %v", what, set, err)
		}
	}
	if set, err := codec.ParseJWKS([]byte(`{"keys":[]}`)); err != nil || len(set.KeyIDs()) != 0 {
		t.Errorf("an empty set: %v, %v", set, err)
	} else if _, err := newAccessVerifier(t, set).Verify(ctx, now, w.ed.token(t, w.ed.header(), specPayload())); !errors.Is(err, keyring.ErrUnknown) {
		t.Errorf("an empty set: %v: want ErrUnknown", err)
	}
}

// RFC 8037, appendix A.2 and A.4: the published key verifies the published
// signature, and the private key is not accepted in a set.
func TestJWKSOfRFC8037(t *testing.T) {
	const (
		key    = `{"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		secret = `{"kty":"OKP","crv":"Ed25519","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`
		signed = "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc"
		text   = "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg"
	)
	set, err := codec.ParseJWKS([]byte(specJWKS(key[:len(key)-1] + `,"kid":"rfc8037","alg":"EdDSA"}`)))
	fatal(t, err)
	public, err := set.AccessKey(ctx, now, "rfc8037", codec.EdDSA)
	fatal(t, err)
	signature, err := specDecode(text)
	fatal(t, err)
	fatal(t, jwt.SigningMethodEdDSA.Verify(signed, signature, public))
	if hex.EncodeToString(public.(ed25519.PublicKey)) != "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a" {
		t.Errorf("the key reads as %x", public)
	}
	if _, err := codec.ParseJWKS([]byte(specJWKS(secret))); !errors.Is(err, codec.ErrEncoding) {
		t.Errorf("with its private half: %v: want ErrEncoding", err)
	}
}

// RFC 7515, appendix A.3: the same for ES256.
func TestJWKSOfRFC7515(t *testing.T) {
	const (
		key    = `{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}`
		signed = "eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ"
		text   = "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q"
	)
	set, err := codec.ParseJWKS([]byte(specJWKS(key[:len(key)-1] + `,"kid":"rfc7515","alg":"ES256"}`)))
	fatal(t, err)
	public, err := set.AccessKey(ctx, now, "rfc7515", codec.ES256)
	fatal(t, err)
	signature, err := specDecode(text)
	fatal(t, err)
	fatal(t, jwt.SigningMethodES256.Verify(signed, signature, public))
	b, err := json.Marshal(set)
	fatal(t, err)
	for _, coordinate := range []string{"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU", "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"} {
		if !strings.Contains(string(b), coordinate) {
			t.Errorf("written as %s", b)
		}
	}
}
