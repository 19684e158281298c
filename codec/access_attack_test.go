package codec_test

import (
	"bytes"
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
	"unicode/utf16"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// accessWorld is a service under attack. It accepts both algorithms under one
// static secret. The test's own signers have the true keys, so that the reason
// for a refusal is the attack and not the signature.
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

// specPayload returns a good payload with some members replaced, given as pairs
// of a name and a JSON value. An empty value omits the member.
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
			if got.Subject.Text() != "" || got.Claims.Text() != "" || got.Session != (codec.ID{}) {
				t.Errorf("a refusal returns %q, %s", got.Subject.Text(), got.Claims.Text())
			}
			if err != nil && len(a.token) < 1000 { // longer ones take too long
				silent(t, a.name, printedText(err), a.token)
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

	// 2.2 Weak Symmetric Keys: no HMAC is accepted at all.
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
	// Inputs: critical extensions are operations that the verifier does not have.
	for _, crit := range []string{`"crit":["b64"],"b64":false`, `"b64":false`, `"b64":true`, `"crit":["exp"],"exp":1`, `"crit":[]`, `"crit":["alg"]`, `"crit":["b64"],"crit":[]`, `"crit":null`, `"Crit":["b64"]`} {
		add("3.3 "+crit, w.ed.token(t, header(w.ed, "EdDSA", ","+crit), payload), codec.ErrEncoding)
	}
	for n := range len(raw) {
		add(fmt.Sprintf("3.4 signature cut to %d bytes", n), good[:strings.LastIndex(good, ".")+1]+specText(raw[:n]), codec.ErrForged)
	}
	add("3.4 a byte behind the signature", good[:strings.LastIndex(good, ".")+1]+specText(append(bytes.Clone(raw), 0)), codec.ErrForged)

	// 3.5 Ensure Cryptographic Keys Have Sufficient Entropy: keys that an
	// attacker can guess.
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
