package codec_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/asn1"
	"encoding/binary"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// accessWorld is a service under attack: it accepts both algorithms under one
// static secret. The test's own signers hold the true keys, so that an attack
// is refused for what it is and not for its signature.
type accessWorld struct {
	verifier *codec.AccessVerifier
	ed, es   specSigner
}

func newAccessWorld(t testing.TB) accessWorld {
	t.Helper()
	raw := bytes.Repeat([]byte{1}, 32)
	access := newAccessTokens(t, staticRing(t, secret(1)), realm, bothAlgorithms...)
	return accessWorld{newAccessVerifier(t, access), newSpecSigner(raw, nil, realm, codec.EdDSA), newSpecSigner(raw, nil, realm, codec.ES256)}
}

// specPayload is a good payload with some members replaced: pairs of a name and
// a value in JSON; an empty value leaves the member out.
func specPayload(changes ...string) string {
	at := now.Unix()
	members := [][2]string{
		{"iss", quote(accessIssuer)}, {"sub", `"anna"`}, {"aud", quote(accessAudience)}, {"client_id", `"shop-app"`}, {"jti", `"token-1"`},
		{"sid", `"00112233445566778899aabbccddeeff"`}, {"iat", fmt.Sprint(at)}, {"exp", fmt.Sprint(at + 300)}, {"auth_time", fmt.Sprint(at - 600)}, {"pos", "1772366400000000"},
	}
	for i := 0; i < len(changes); i += 2 {
		at := slices.IndexFunc(members, func(m [2]string) bool { return m[0] == changes[i] })
		if at < 0 {
			members = append(members, [2]string{changes[i], changes[i+1]})
		} else {
			members[at][1] = changes[i+1]
		}
	}
	var b strings.Builder
	for _, m := range members {
		if m[1] != "" {
			fmt.Fprintf(&b, ",%q:%s", m[0], m[1])
		}
	}
	return "{" + b.String()[1:] + "}"
}

type accessAttack struct {
	name, token string
	class       error
}

func (w accessWorld) refuses(t *testing.T, attacks []accessAttack) {
	t.Helper()
	for what, token := range map[string]string{"EdDSA": w.ed.token(t, w.ed.header(), specPayload()), "ES256": w.es.token(t, w.es.header(), specPayload())} {
		if _, err := w.verifier.Verify(ctx, now, token); err != nil {
			t.Fatalf("the %s token that the attacks start from: %v", what, err)
		}
	}
	for _, a := range attacks {
		t.Run(a.name, func(t *testing.T) {
			got, err := w.verifier.Verify(ctx, now, a.token)
			if !errors.Is(err, a.class) {
				t.Errorf("%v: want %v", err, a.class)
			}
			if got.Subject != "" || got.Claims != nil || got.Session != (codec.ID{}) {
				t.Errorf("a refusal returns %q, %s", got.Subject, got.Claims)
			}
			if err != nil && len(a.token) < 1000 { // more takes too long
				silent(t, a.name, printed(err), a.token)
			}
		})
	}
}

// Each attack of RFC 8725, sections 2.1 to 2.9, and each practice of sections
// 3.1 to 3.12, by its number.
func TestPromise2_RFC8725(t *testing.T) {
	w := newAccessWorld(t)
	var attacks []accessAttack
	add := func(name, token string, class error) {
		attacks = append(attacks, accessAttack{name, token, class})
	}
	payload := specPayload()
	good := w.ed.token(t, w.ed.header(), payload)
	header := func(s specSigner, alg string, more string) string {
		return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"%s}`, alg, s.kid, more)
	}
	public := ed25519.NewKeyFromSeed(w.ed.derived).Public().(ed25519.PublicKey)

	// 2.1 Weak Signatures and Insufficient Signature Validation
	for _, none := range []string{"none", "None", "NONE", "nOnE", "none ", "\x00none", ""} {
		head := specText([]byte(header(w.ed, none, ""))) + "." + specText([]byte(payload)) + "."
		class := codec.ErrForged
		if none == "" || none == "\x00none" {
			class = codec.ErrEncoding
		}
		add(fmt.Sprintf("2.1 alg %q, no signature", none), head, class)
		add(fmt.Sprintf("2.1 alg %q, the old signature", none), head+strings.Split(good, ".")[2], class)
	}
	add("2.1 alg none without kid", specText([]byte(`{"alg":"none","typ":"at+jwt"}`))+"."+specText([]byte(payload))+".", codec.ErrEncoding)
	add("2.1 EdDSA with no signature", strings.Join(strings.Split(good, ".")[:2], ".")+".", codec.ErrForged)
	pkix, err := x509.MarshalPKIXPublicKey(public)
	fatal(t, err)
	for what, key := range map[string][]byte{
		"bytes": public, "PKIX": pkix, "PEM": pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: pkix}), "base64": []byte(specText(public)), "JWK": []byte(w.ed.jwk(t)), "zeros (the same as nothing)": make([]byte, 32),
	} {
		signed := specText([]byte(header(w.ed, "HS256", ""))) + "." + specText([]byte(payload))
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(signed))
		add("2.1 HS256 under the public key's "+what, signed+"."+specText(mac.Sum(nil)), codec.ErrForged)
	}
	add("2.1 payload replaced", withPayload(good, specPayload("sub", `"mallory"`)), codec.ErrForged)
	add("2.1 header replaced", withHeader(good, `{"kid":"`+w.ed.kid+`","alg":"EdDSA","typ":"at+jwt"}`), codec.ErrForged)

	// 2.2 Weak Symmetric Keys: there are none; no HMAC is accepted at all.
	for _, alg := range []string{"HS256", "HS384", "HS512"} {
		add("2.2 "+alg, w.ed.token(t, header(w.ed, alg, ""), payload), codec.ErrForged)
	}

	// 2.3 Incorrect Composition of Encryption and Signature, 2.4 Plaintext
	// Leakage through Analysis of Ciphertext Length
	add("2.3 a JWE of five segments", "eyJhbGciOiJkaXIifQ..AAAA.AAAA.AAAA", codec.ErrEncoding)
	add("2.3 a nested token (cty)", w.ed.token(t, header(w.ed, "EdDSA", `,"cty":"JWT"`), quote(good)), codec.ErrEncoding)
	add("2.3 a nested token as payload", w.ed.token(t, w.ed.header(), quote(good)), codec.ErrContent)
	add("2.4 zip", w.ed.token(t, header(w.ed, "EdDSA", `,"zip":"DEF"`), payload), codec.ErrEncoding)
	add("2.4 enc", w.ed.token(t, header(w.ed, "EdDSA", `,"enc":"A256GCM"`), payload), codec.ErrEncoding)

	// 2.5 Insecure Use of Elliptic Curve Encryption: see TestJWKSRefuses for
	// points off the curve. Of signatures:
	half := strings.LastIndex(w.es.token(t, w.es.header(), payload), ".") + 1
	esGood := w.es.token(t, w.es.header(), payload)
	r, s := decodeSignature(t, esGood[half:])
	order := elliptic.P256().Params().N
	with := func(r, s *big.Int) string {
		b := make([]byte, 64)
		r.FillBytes(b[:32])
		s.FillBytes(b[32:])
		return esGood[:half] + specText(b)
	}
	zero, one := new(big.Int), big.NewInt(1)
	add("2.5 ES256 with r = 0 and s = 0", with(zero, zero), codec.ErrForged)
	add("2.5 ES256 with r = 0", with(zero, s), codec.ErrForged)
	add("2.5 ES256 with s = 0", with(r, zero), codec.ErrForged)
	add("2.5 ES256 with r = the order, s = 0", with(order, zero), codec.ErrForged)
	add("2.5 ES256 with r and s = the order", with(order, order), codec.ErrForged)
	add("2.5 ES256 with r = 1, s = 1", with(one, one), codec.ErrForged)
	add("2.5 ES256 in its second form (order - s)", with(r, new(big.Int).Sub(order, s)), codec.ErrForged)
	der, err := asn1.Marshal(struct{ R, S *big.Int }{r, s})
	fatal(t, err)
	add("2.5 ES256 in DER", esGood[:half]+specText(der), codec.ErrForged)
	add("2.5 ES256 with s in front", with(s, r), codec.ErrForged)
	raw, err := specDecode(good[strings.LastIndex(good, ".")+1:])
	fatal(t, err)
	add("2.5 Ed25519 with s + the order", good[:strings.LastIndex(good, ".")+1]+specText(addOrder(raw)), codec.ErrForged)

	// 2.6 Multiplicity of JSON Encodings, 3.7 Use UTF-8
	for name, b := range map[string][]byte{"UTF-16BE": utf16Of(payload, binary.BigEndian), "UTF-16LE": utf16Of(payload, binary.LittleEndian)} {
		add("2.6 payload in "+name, w.ed.token(t, w.ed.header(), string(b)), codec.ErrEncoding)
	}
	add("2.6 header in UTF-16", w.ed.token(t, string(utf16Of(w.ed.header(), binary.LittleEndian)), payload), codec.ErrEncoding)
	add("2.6 a byte order mark", w.ed.token(t, w.ed.header(), "\ufeff"+payload), codec.ErrEncoding)
	add("3.7 a subject that is not UTF-8", w.ed.token(t, w.ed.header(), specPayload("sub", "\"a\xff\"")), codec.ErrContent)
	add("3.7 half a surrogate pair", w.ed.token(t, w.ed.header(), specPayload("sub", `"\udc00"`)), codec.ErrContent)

	// 2.7 Substitution Attacks, 3.8 Validate Issuer and Subject, 3.9 Use and
	// Validate Audience
	claims := func(changes ...string) string { return w.ed.token(t, w.ed.header(), specPayload(changes...)) }
	for _, iss := range []string{"https://evil.example", accessIssuer + "/", strings.ToUpper(accessIssuer), accessIssuer + " ", "shop.example"} {
		add("3.8 iss "+iss, claims("iss", quote(iss)), codec.ErrForged)
	}
	add("3.8 no iss", claims("iss", ""), codec.ErrContent)
	add("3.8 an array of issuers", claims("iss", "["+quote(accessIssuer)+"]"), codec.ErrContent)
	add("3.8 no sub", claims("sub", ""), codec.ErrContent)
	add("3.8 an empty sub", claims("sub", `""`), codec.ErrContent)
	add("2.7 aud of another service", claims("aud", `"https://other.example"`), codec.ErrForged)
	add("2.7 another audience beside ours", claims("aud", `[`+quote(accessAudience)+`,"https://other.example"]`), codec.ErrForged)
	add("2.7 ours beside another audience", claims("aud", `["https://other.example",`+quote(accessAudience)+`]`), codec.ErrForged)
	add("2.7 several audiences, none ours", claims("aud", `["a","b"]`), codec.ErrForged)
	add("3.9 no aud", claims("aud", ""), codec.ErrContent)
	add("3.9 no audience in aud", claims("aud", `[]`), codec.ErrContent)
	add("3.9 an empty aud", claims("aud", `""`), codec.ErrContent)
	add("3.9 an empty audience beside ours", claims("aud", `[`+quote(accessAudience)+`,""]`), codec.ErrContent)
	add("3.9 a prefix of ours", claims("aud", quote(accessAudience[:10])), codec.ErrForged)
	add("3.9 ours as a prefix", claims("aud", quote(accessAudience+".evil.example")), codec.ErrForged)

	// 2.8 Cross-JWT Confusion, 3.11 Use Explicit Typing, 3.12 Use Mutually
	// Exclusive Validation Rules
	for _, typ := range []string{"JWT", "jwt", "", "secevent+jwt", "logout+jwt", "dpop+jwt", "at+jwt ", "at", "application/jwt", "text/at+jwt", "application/application/at+jwt", "application/at+jwt; x"} {
		add(fmt.Sprintf("2.8 typ %q", typ), w.ed.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":%q}`, w.ed.kid, typ), payload), codec.ErrEncoding)
	}
	add("3.11 no typ", w.ed.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":%q}`, w.ed.kid), payload), codec.ErrEncoding)
	add("3.11 typ is no string", w.ed.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":["at+jwt"]}`, w.ed.kid), payload), codec.ErrEncoding)
	for _, name := range []string{"client_id", "jti", "sid", "iat", "exp", "auth_time", "pos"} {
		add("3.12 no "+name+", as in an ID token", claims(name, ""), codec.ErrContent)
	}

	// 2.9 Indirect Attacks on the Server, 3.10 Do Not Trust Received Claims
	mine := newSpecSigner(bytes.Repeat([]byte{66}, 32), nil, realm, codec.EdDSA)
	for _, more := range []string{
		`"jwk":` + mine.jwk(t), `"jku":"https://evil.example/jwks"`, `"x5u":"https://evil.example/x5u"`, `"x5c":["AAAA"]`, `"x5t":"AAAA"`, `"x5t#S256":"AAAA"`,
	} {
		add("3.10 "+more[:6], mine.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"at+jwt",%s}`, w.ed.kid, more), payload), codec.ErrEncoding)
		add("3.10 "+more[:6]+", truly signed", w.ed.token(t, header(w.ed, "EdDSA", ","+more), payload), codec.ErrEncoding)
	}
	for _, kid := range []string{
		"../../../dev/null", "' OR 1=1 --", "0", "EdDSA", "-EdDSA", "00000000", "00000000-EdDSA", strings.ToUpper(w.ed.kid[:8]) + "-EdDSA", w.ed.kid + " ", w.ed.kid + "-EdDSA",
		strings.Replace(w.ed.kid, "-", "_", 1), w.ed.kid[:8] + "-none", w.ed.kid[:8] + "-eddsa", "zzzzzzzz-EdDSA", strings.Repeat("0", 64),
	} {
		add("2.9 kid "+kid, w.ed.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"at+jwt"}`, kid), payload), keyring.ErrUnknown)
	}
	add("2.9 kid of 65 bytes", w.ed.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":%q,"typ":"at+jwt"}`, strings.Repeat("0", 65)), payload), codec.ErrEncoding)
	add("2.9 no kid", w.ed.token(t, `{"alg":"EdDSA","typ":"at+jwt"}`, payload), codec.ErrEncoding)
	add("2.9 an empty kid", w.ed.token(t, `{"alg":"EdDSA","kid":"","typ":"at+jwt"}`, payload), codec.ErrEncoding)
	add("2.9 kid is a number", w.ed.token(t, `{"alg":"EdDSA","kid":1,"typ":"at+jwt"}`, payload), codec.ErrEncoding)
	add("2.9 kid is an array", w.ed.token(t, fmt.Sprintf(`{"alg":"EdDSA","kid":[%q],"typ":"at+jwt"}`, w.ed.kid), payload), codec.ErrEncoding)

	// 3.1 Perform Algorithm Verification, 3.2 Use Appropriate Algorithms
	add("3.1 EdDSA under the ES256 kid", w.ed.token(t, header(w.es, "EdDSA", ""), payload), codec.ErrForged)
	add("3.1 ES256 under the EdDSA kid", w.es.token(t, header(w.ed, "ES256", ""), payload), codec.ErrForged)
	add("3.1 an EdDSA signature, said to be ES256", w.ed.token(t, w.es.header(), payload), codec.ErrForged)
	add("3.1 an ES256 signature, said to be EdDSA", w.es.token(t, w.ed.header(), payload), codec.ErrForged)
	for _, alg := range []string{"RS256", "PS256", "ES384", "ES512", "ES256K", "Ed25519", "EDDSA", "eddsa", "es256", "Ed448"} {
		add("3.2 alg "+alg, w.ed.token(t, header(w.ed, alg, ""), payload), codec.ErrForged)
	}
	for _, alg := range []string{`null`, `1`, `["EdDSA"]`, `{}`} {
		add("3.1 alg is "+alg, w.ed.token(t, fmt.Sprintf(`{"alg":%s,"kid":%q,"typ":"at+jwt"}`, alg, w.ed.kid), payload), codec.ErrEncoding)
	}
	add("3.1 no alg", w.ed.token(t, fmt.Sprintf(`{"kid":%q,"typ":"at+jwt"}`, w.ed.kid), payload), codec.ErrEncoding)
	add("3.1 alg in capitals, too", w.ed.token(t, header(w.ed, "EdDSA", `,"ALG":"none"`), payload), codec.ErrEncoding)

	// 3.3 Validate All Cryptographic Operations, 3.4 Validate Cryptographic
	// Inputs: critical extensions are operations that we do not know.
	for _, crit := range []string{`"crit":["b64"],"b64":false`, `"b64":false`, `"b64":true`, `"crit":["exp"],"exp":1`, `"crit":[]`, `"crit":["alg"]`, `"crit":["b64"],"crit":[]`, `"crit":null`, `"Crit":["b64"]`} {
		add("3.3 "+crit, w.ed.token(t, header(w.ed, "EdDSA", ","+crit), payload), codec.ErrEncoding)
	}
	for n := range len(raw) {
		add(fmt.Sprintf("3.4 signature cut to %d bytes", n), good[:strings.LastIndex(good, ".")+1]+specText(raw[:n]), codec.ErrForged)
	}
	add("3.4 a byte behind the signature", good[:strings.LastIndex(good, ".")+1]+specText(append(bytes.Clone(raw), 0)), codec.ErrForged)

	// 3.5 Ensure Cryptographic Keys Have Sufficient Entropy: keys that the
	// attacker can know.
	for what, id := range map[string][]byte{"a secret of zeros": make([]byte, 32), "a secret of the key's id": bytes.Repeat(specKeyID(bytes.Repeat([]byte{1}, 32)), 8)} {
		known := newSpecSigner(id, specKeyID(bytes.Repeat([]byte{1}, 32)), realm, codec.EdDSA)
		add("3.5 "+what, known.token(t, known.header(), payload), codec.ErrForged)
	}
	// 3.6 Avoid Compression of Encryption Inputs: see 2.4.

	w.refuses(t, attacks)
}

func decodeSignature(t testing.TB, text string) (r, s *big.Int) {
	t.Helper()
	b, err := specDecode(text)
	fatal(t, err)
	return new(big.Int).SetBytes(b[:32]), new(big.Int).SetBytes(b[32:])
}

// addOrder makes the second form of an Ed25519 signature: s + L.
func addOrder(signature []byte) []byte {
	order, _ := new(big.Int).SetString("7237005577332262213973186563042994240857116359379907606001950938285454250989", 10)
	b := bytes.Clone(signature)
	slices.Reverse(b[32:])
	s := new(big.Int).SetBytes(b[32:])
	s.Add(s, order).FillBytes(b[32:])
	slices.Reverse(b[32:])
	return b
}

func utf16Of(text string, order binary.AppendByteOrder) (b []byte) {
	for _, unit := range utf16.Encode([]rune(text)) {
		b = order.AppendUint16(b, unit)
	}
	return b
}

// Shapes of text and JSON that a lenient reader takes for something.
func TestAccessTokenShapes(t *testing.T) {
	w := newAccessWorld(t)
	var attacks []accessAttack
	add := func(name, token string, class error) {
		attacks = append(attacks, accessAttack{name, token, class})
	}
	good := w.ed.token(t, w.ed.header(), specPayload())
	parts := strings.Split(good, ".")
	payload := func(name, text string, class error) {
		add(name, w.ed.token(t, w.ed.header(), text), class)
	}
	claim := func(class error, changes ...string) {
		payload(changes[0]+" "+changes[1][:min(len(changes[1]), 40)], specPayload(changes...), class)
	}
	add("empty", "", codec.ErrLength)
	add("8193 bytes", good+strings.Repeat("A", codec.MaxAccessToken+1-len(good)), codec.ErrLength)
	add("a long application claim", w.ed.token(t, w.ed.header(), specPayload("a", quote(strings.Repeat("x", 8000)))), codec.ErrLength)
	add("1 MB", strings.Repeat("A", 1<<20), codec.ErrLength)
	add("1 MB of dots", strings.Repeat(".", 1<<20), codec.ErrLength)
	add("8 kB of dots", strings.Repeat(".", 8000), codec.ErrEncoding)
	add("one segment", parts[0], codec.ErrEncoding)
	add("two segments", parts[0]+"."+parts[1], codec.ErrEncoding)
	add("four segments", good+".", codec.ErrEncoding)
	add("trailing data", good+".AAAA", codec.ErrEncoding)
	add("a dot in front", "."+good, codec.ErrEncoding)
	add("empty segments", "..", codec.ErrEncoding)
	add("Bearer in front", "Bearer "+good, codec.ErrEncoding)
	add("a space behind", good+" ", codec.ErrEncoding)
	add("a line break behind", good+"\n", codec.ErrEncoding)
	add("padding", good+"=", codec.ErrEncoding)
	add("NUL", good+"\x00", codec.ErrEncoding)
	for i, name := range []string{"header", "payload", "signature"} {
		broken := slices.Clone(parts)
		broken[i] = parts[i][:4] + "\n" + parts[i][4:]
		add("a line break in the "+name, strings.Join(broken, "."), codec.ErrEncoding)
		broken[i] = parts[i] + "="
		add("padding of the "+name, strings.Join(broken, "."), codec.ErrEncoding)
		broken[i] = parts[i] + strings.Repeat("A", (5-len(parts[i])%4)%4)
		add("a character that makes no byte in the "+name, strings.Join(broken, "."), codec.ErrEncoding)
	}
	add("bits behind the signature", good[:len(good)-1]+string(good[len(good)-1]+1), codec.ErrEncoding)
	for _, header := range []string{
		``, `null`, `[]`, `"x"`, `{`, `{}`, `{}{}`, w.ed.header() + "x", w.ed.header() + w.ed.header(), strings.Replace(w.ed.header(), `"alg"`, `"ALG"`, 1),
		strings.Replace(w.ed.header(), `{`, `{"alg":"none",`, 1), strings.Replace(w.ed.header(), `}`, `,"alg":"EdDSA"}`, 1), strings.Replace(w.ed.header(), `}`, `,"\u0061lg":"EdDSA"}`, 1),
		strings.Replace(w.ed.header(), `}`, `,"kid":"x"}`, 1), strings.Replace(w.ed.header(), `}`, `,"typ":"at+jwt"}`, 1), strings.Replace(w.ed.header(), `}`, `,}`, 1),
		strings.Replace(w.ed.header(), `}`, `,"x":1}`, 1), strings.Replace(w.ed.header(), `}`, `,"":""}`, 1), strings.Repeat(`{"a":`, 900) + "1" + strings.Repeat(`}`, 900), strings.Repeat("[", 5000),
	} {
		add("header "+header[:min(len(header), 60)], w.ed.token(t, header, specPayload()), codec.ErrEncoding)
	}
	for _, text := range []string{``, `{`, `{}{}`, `{"sub":}`, `{'sub':1}`, `{"a":01}`, specPayload() + "x", strings.Repeat("[", 4000), `{"a":NaN}`, "{\"a\":\"\n\"}"} {
		payload("payload "+text[:min(len(text), 60)], text, codec.ErrEncoding)
	}
	for _, text := range []string{`null`, `[]`, `"x"`, `1`, `true`, `{}`, "{\"a\":\"\xff\"}"} {
		payload("payload "+text, text, codec.ErrContent)
	}
	whole := specPayload()
	for _, twice := range []string{`"sub":"mallory"`, `"exp":9999999999`, `"\u0073ub":"mallory"`, `"aud":"x"`, `"a":1,"a":1`, `"a":{"b":1,"b":1}`, `"a":[{"b":1,"\u0062":2}]`} {
		payload("twice, last: "+twice, whole[:len(whole)-1]+","+twice+"}", codec.ErrContent)
		payload("twice, first: "+twice, "{"+twice+","+whole[1:], codec.ErrContent)
	}
	for _, folded := range []string{"Sub", "SUB", "EXP", "Aud", "ſub", "Sid", "Nbf", "Pos"} {
		payload("a claim but for its case: "+folded, whole[:len(whole)-1]+`,"`+folded+`":"x"}`, codec.ErrContent)
	}
	payload("33 levels", specPayload("a", strings.Repeat("[", 32)+strings.Repeat("]", 32)), codec.ErrContent)
	payload("2500 levels", specPayload("a", strings.Repeat("[", 2500)+strings.Repeat("]", 2500)), codec.ErrContent)
	payload("1000 levels of objects", specPayload("a", strings.Repeat(`{"":`, 1000)+"1"+strings.Repeat("}", 1000)), codec.ErrContent)
	payload("300 members", manyMembers(300)[:len(manyMembers(300))-1]+","+whole[1:], codec.ErrContent)

	at := fmt.Sprint(now.Unix() + 300)
	for _, name := range []string{"iat", "exp", "auth_time", "nbf", "pos"} {
		for _, value := range []string{`null`, `"` + at + `"`, `true`, `[]`, `{}`, `-1`, `-0`, at + `.0`, at + `.5`, `1e9`, `1E9`, `1e-1`, `9007199254740992`, `99999999999999999999`, `1` + strings.Repeat("0", 400)} {
			claim(codec.ErrContent, name, value)
		}
	}
	claim(codec.ErrContent, "exp", `281474976711`) // a second above 48 bits of milliseconds
	for _, name := range []string{"iss", "sub", "client_id", "jti", "sid"} {
		for _, value := range []string{`null`, `1`, `true`, `["anna"]`, `{}`, `""`, `"\u0000"`, `"a\u0000b"`, quote(strings.Repeat("x", 256))} {
			claim(codec.ErrContent, name, value)
		}
	}
	for _, value := range []string{`null`, `1`, `{}`, `[1]`, `[null]`, `[[` + quote(accessAudience) + `]]`, `[` + strings.Repeat(quote(accessAudience)+",", 16) + quote(accessAudience) + `]`, quote(strings.Repeat("x", 256)), `"\u0000"`} {
		claim(codec.ErrContent, "aud", value)
	}
	for _, value := range []string{`"00112233445566778899AABBCCDDEEFF"`, `"00112233445566778899aabbccddeef"`, `"00112233445566778899aabbccddeeff0"`, `"0011223344556677-8899aabbccddeeff"`, `"00112233445566778899aabbccddeefg"`, `"00000000000000000000000000000000"`, `" 0112233445566778899aabbccddeeff"`} {
		claim(codec.ErrContent, "sid", value)
	}
	for _, value := range []string{`""`, `1`, `["a"]`, `" a"`, `"a  b"`, `"a\n"`, `"é"`, `"a\\"`, quote(strings.Repeat("x", 1025))} {
		claim(codec.ErrContent, "scope", value)
	}
	claim(codec.ErrContent, "exp", fmt.Sprint(now.Unix()-5), "iat", fmt.Sprint(now.Unix()-5))
	claim(codec.ErrContent, "exp", fmt.Sprint(now.Unix()+5), "iat", fmt.Sprint(now.Unix()+6))
	w.refuses(t, attacks)
}

// What a strict reader must accept all the same.
func TestAccessTokenAcceptedShapes(t *testing.T) {
	w := newAccessWorld(t)
	spaced := strings.NewReplacer(`,"`, " ,\n\t\"", `":`, "\" : ").Replace(specPayload())
	for what, token := range map[string]string{
		"application/at+jwt":         w.ed.token(t, fmt.Sprintf(`{"typ":"application/at+jwt","kid":%q,"alg":"EdDSA"}`, w.ed.kid), specPayload()),
		"AT+JWT":                     w.ed.token(t, fmt.Sprintf(`{"typ":"AT+JWT","kid":%q,"alg":"EdDSA"}`, w.ed.kid), specPayload()),
		"white space":                w.es.token(t, " "+strings.ReplaceAll(w.es.header(), ",", " , ")+"\n", spaced),
		"escapes":                    w.ed.token(t, strings.Replace(w.ed.header(), "EdDSA", `\u0045dDSA`, 1), specPayload("sub", `"\u0061nn\u0061"`)),
		"an array of one":            w.ed.token(t, w.ed.header(), specPayload("aud", "["+quote(accessAudience)+"]")),
		"ours twice":                 w.ed.token(t, w.ed.header(), specPayload("aud", "["+quote(accessAudience)+","+quote(accessAudience)+"]")),
		"nbf":                        w.ed.token(t, w.ed.header(), specPayload("nbf", fmt.Sprint(now.Unix()))),
		"32 levels":                  w.ed.token(t, w.ed.header(), specPayload("a", strings.Repeat("[", 31)+strings.Repeat("]", 31))),
		"registered names, nested":   w.ed.token(t, w.ed.header(), specPayload("a", `{"sub":1,"SUB":2}`)),
		"names that differ in case":  w.ed.token(t, w.ed.header(), specPayload("a", `1`, "A", "2")),
		"a surrogate pair":           w.ed.token(t, w.ed.header(), specPayload("a", `"\ud83d\ude00"`)),
		"every kind of value":        w.ed.token(t, w.ed.header(), specPayload("a", `[0,-1.5e+10,1E-2,true,false,null,"",{},[],"\"\\\/\b\f\n\r\t"]`)),
		"the position 0":             w.ed.token(t, w.ed.header(), specPayload("pos", "0")),
		"the highest position":       w.ed.token(t, w.ed.header(), specPayload("pos", "9007199254740991")),
		"authenticated after issued": w.ed.token(t, w.ed.header(), specPayload("auth_time", fmt.Sprint(now.Unix()+3))),
	} {
		got, err := w.verifier.Verify(ctx, now, token)
		if err != nil || got.Subject != "anna" {
			t.Errorf("%s: %q, %v", what, got.Subject, err)
		}
	}
}

// Time is judged to the second; leeway excuses a future, never an expiry.
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

// Credentials of every other kind, in place of an access token, and it in place
// of theirs. TestFormatsAreApart does the same for plain tokens.
func TestPromise2_AccessTokenIsNoOtherCredential(t *testing.T) {
	ring := staticRing(t, secret(1))
	access := newAccessTokens(t, ring, realm, bothAlgorithms...)
	token, err := access.Mint(now, accessToken("anna"))
	fatal(t, err)
	cookies, refresh := newCookies(t, ring, realm, name), newRefreshTokens(t, ring, realm)
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

// keysOf answers with one key, whatever is asked.
type keysOf struct{ key crypto.PublicKey }

func (k keysOf) AccessKey(context.Context, time.Time, string, codec.Algorithm) (crypto.PublicKey, error) {
	return k.key, nil
}

// A source of keys that answers with one of the wrong kind gets nothing
// verified under it; of several keys, none is tried.
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
