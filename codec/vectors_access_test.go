package codec_test

import (
	"bytes"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/big"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

const (
	vectorIssuer   = "https://shop.example"
	vectorAudience = "https://api.shop.example"
)

func algorithmsOf(text string) (algorithms []codec.Algorithm) {
	for _, name := range strings.Fields(text) {
		algorithms = append(algorithms, codec.Algorithm(name))
	}
	return algorithms
}

func newVectorAccess(t testing.TB, ring *keyring.Ring, realm, algorithms string) *codec.AccessTokens {
	t.Helper()
	a, err := codec.NewAccessTokens(ring, codec.AccessTokensConfig{Realm: realm, Issuer: vectorIssuer, Algorithms: algorithmsOf(algorithms)})
	fatal(t, err)
	return a
}

func vectorVerifier(t testing.TB, keys codec.AccessKeys, algorithms, audience string) *codec.AccessVerifier {
	t.Helper()
	v, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: keys, Algorithms: algorithmsOf(algorithms), Issuer: vectorIssuer, Audiences: strings.Fields(audience)})
	fatal(t, err)
	return v
}

// matchesPayload reports whether a token has the content that encoding/json reads
// from its payload.
func matchesPayload(t testing.TB, got *codec.AccessToken, payload string) bool {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(payload))
	d.UseNumber()
	var want map[string]any
	fatal(t, d.Decode(&want))
	number := func(n int64) any { return json.Number(strconv.FormatInt(n, 10)) }
	said := map[string]any{}
	if got.Claims.Text() != "" {
		d := json.NewDecoder(strings.NewReader(got.Claims.Text()))
		d.UseNumber()
		fatal(t, d.Decode(&said))
	}
	said["iss"], said["sub"], said["client_id"], said["jti"], said["sid"] = got.Issuer, got.Subject.Text(), got.ClientID, got.ID, hex.EncodeToString(got.Session[:])
	said["iat"], said["exp"], said["auth_time"], said["pos"] = number(got.Issued.Unix()), number(got.Expires.Unix()), number(got.Authenticated.Unix()), number(int64(got.Position))
	if got.Scope.Text() != "" {
		said["scope"] = got.Scope.Text()
	}
	if got.Actor.Text() != "" {
		said["act"] = map[string]string{"sub": got.Actor.Text()}
	}
	if got.Methods.Text() != "" {
		said["amr"] = strings.Split(got.Methods.Text(), " ")
	}
	if got.Level.Text() != "" {
		said["acr"] = got.Level.Text()
	}
	if _, several := want["aud"].([]any); several {
		said["aud"] = got.Audience
	} else if len(got.Audience) == 1 {
		said["aud"] = got.Audience[0]
	}
	delete(want, "nbf")
	a, err := json.Marshal(said)
	fatal(t, err)
	b, err := json.Marshal(want)
	fatal(t, err)
	return bytes.Equal(a, b)
}

// publishes reports whether a vector's ring, if it has one, publishes its
// input, byte for byte.
func publishes(t testing.TB, v vector) bool {
	t.Helper()
	if v["secret"]+v["ring"] == "" {
		return true
	}
	set, err := newVectorAccess(t, v.ring(t), v["realm"], v["algorithms"]).JWKS(v.now(t))
	fatal(t, err)
	b, err := json.Marshal(set)
	fatal(t, err)
	return string(b) == v.quoted(t, "input")
}

// vectorPayload is the payload of the vectors, with some members replaced as
// by specPayload.
func vectorPayload(changes ...string) string {
	at := vectorNow.Unix()
	return specPayload(append([]string{
		"iss", quote(vectorIssuer), "sub", `"anna"`, "aud", quote(vectorAudience), "client_id", `"shop-app"`, "jti", `"4kGmZ1iTg1cXW1YkQm7XUQ"`,
		"sid", quote(hex.EncodeToString(vectorFamily[:])), "iat", fmt.Sprint(at), "exp", fmt.Sprint(at + 300), "auth_time", fmt.Sprint(at - 600), "pos", "1772366400000000",
	}, changes...)...)
}

func (m *maker) access() {
	base := vectorBase("access", "issuer", vectorIssuer, "audience", vectorAudience, "algorithms", "EdDSA ES256")
	ed, es := newSpecSigner(vectorSecret, nil, vectorRealm, codec.EdDSA), newSpecSigner(vectorSecret, nil, vectorRealm, codec.ES256)
	input := func(name, class, about, token string, fields ...string) {
		m.t.Helper()
		m.add(name, class, about, base, append(fields, "input", quote(token))...)
	}
	good := func(name, about string, s specSigner, header, payload string, fields ...string) {
		m.t.Helper()
		input(name, "ok", about, s.token(m.t, header, payload), append(fields, "payload", quote(payload))...)
	}
	token := ed.token(m.t, ed.header(), vectorPayload())
	signed, signature, _ := cutLast(token, ".")
	payload, header := vectorPayload(), ed.header()
	full := vectorPayload("scope", `"orders.read orders.write"`, "roles", `["admin","editor"]`)
	good("ok", "EdDSA, as it is minted", ed, header, payload)
	good("ok-es256", "ES256, as it is minted", es, es.header(), payload)
	good("ok-claims", "with a scope and a claim of the application's", ed, header, full)
	acted := []string{"act", `{"sub":"support:carol"}`, "amr", `["pwd","otp"]`, "acr", `"urn:example:silver"`}
	good("ok-acted", "with who acts, and the methods and the level of the authentication", ed, header, vectorPayload(acted...))
	good("ok-act", "with who acts", ed, header, vectorPayload(acted[:2]...))
	good("ok-acted-longest", "with the longest actor, methods and level", ed, header, vectorPayload("act", `{"sub":`+quote(strings.Repeat("~", 255))+`}`, "amr", `[`+quote(strings.Repeat("m", 255))+`]`, "acr", quote(strings.Repeat("~", 255))))
	good("ok-audiences", "two audiences, both of the service", ed, header, vectorPayload("aud", `["https://two.example",`+quote(vectorAudience)+`]`), "audience", vectorAudience+" https://two.example")
	good("ok-order", "members in another order, white space, escapes, the long form of typ", ed, " {\n\"typ\": \"Application/AT+JWT\", \"kid\": "+quote(ed.kid)+", \"alg\": \"\\u0045dDSA\" }", strings.ReplaceAll(vectorPayload("sub", `"\u0061nna"`), ",", " ,\t"))
	good("ok-nbf", "nbf 10 seconds ahead, which the leeway excuses", ed, header, vectorPayload("nbf", fmt.Sprint(vectorNow.Unix()+10)))
	good("ok-issued-ahead", "iat 10 seconds ahead, which the leeway excuses", ed, header, payload, "now", vectorNow.Add(-10*time.Second).Format(time.RFC3339))
	good("ok-last-second", "a second before it expires", ed, header, payload, "now", vectorNow.Add(299*time.Second).Format(time.RFC3339))
	good("ok-highest", "numbers and texts at their highest", ed, header, vectorPayload("sub", quote(strings.Repeat("~", 255)), "pos", "9007199254740991", "auth_time", "281474976710", "jti", quote(strings.Repeat("j", 255))))
	good("ok-lowest", "numbers and texts at their lowest", ed, header, vectorPayload("sub", `"a"`, "client_id", `"c"`, "jti", `"j"`, "pos", "0", "auth_time", "0", "sid", `"00000000000000000000000000000001"`))

	input("length-empty", "length", "no text", "")
	input("length-long", "length", "a byte more than is looked at", strings.Repeat("A", 8193))
	for name, c := range map[string][2]string{
		"segments-two":    {"the signature and its dot gone", signed},
		"segments-four":   {"a fourth segment", token + ".AAAA"},
		"padded":          {"with padding", token + "=="},
		"line-break":      {"a line break in the payload", strings.Replace(token, ".", ".\n", 1)},
		"standard":        {"a character of the standard alphabet", token[:len(token)-10] + "+" + token[len(token)-9:]},
		"trailing-bits":   {"bits of the signature set that no byte needs", token[:len(token)-1] + string(token[len(token)-1]+1)},
		"header-twice":    {"alg twice in the header", ed.token(m.t, header[:len(header)-1]+`,"alg":"EdDSA"}`, payload)},
		"header-no-kid":   {"no kid", ed.token(m.t, `{"alg":"EdDSA","typ":"at+jwt"}`, payload)},
		"header-typ":      {"typ is JWT", ed.token(m.t, strings.Replace(header, "at+jwt", "JWT", 1), payload)},
		"header-no-typ":   {"no typ", ed.token(m.t, strings.Replace(header, `,"typ":"at+jwt"`, "", 1), payload)},
		"header-crit":     {"a critical extension", ed.token(m.t, header[:len(header)-1]+`,"crit":["b64"],"b64":false}`, payload)},
		"header-jwk":      {"a key of its own, and signed by it", newSpecSigner(vectorOther, nil, vectorRealm, codec.EdDSA).token(m.t, header[:len(header)-1]+`,"jwk":`+newSpecSigner(vectorOther, nil, vectorRealm, codec.EdDSA).jwk(m.t)+`}`, payload)},
		"header-jku":      {"the address of a key", ed.token(m.t, header[:len(header)-1]+`,"jku":"https://evil.example/jwks"}`, payload)},
		"header-zip":      {"compression", ed.token(m.t, header[:len(header)-1]+`,"zip":"DEF"}`, payload)},
		"header-no-json":  {"a header that is no JSON", ed.token(m.t, "alg", payload)},
		"payload-no-json": {"a payload that is no JSON", ed.token(m.t, header, payload+"}")},
	} {
		input("encoding-"+name, "encoding", c[0], c[1])
	}

	alg := func(alg string) string { return strings.Replace(header, `"EdDSA"`, quote(alg), 1) }
	esToken := es.token(m.t, es.header(), payload)
	esSigned, esText, _ := cutLast(esToken, ".")
	r, s := decodeSignature(m.t, esText)
	second := append(r.FillBytes(make([]byte, 32)), new(big.Int).Sub(elliptic.P256().Params().N, s).FillBytes(make([]byte, 32))...)
	staging := newSpecSigner(vectorSecret, nil, "shop.example/staging", codec.EdDSA)
	cookieKey := ed
	cookieKey.derived = specExpand(specHKDF(vectorSecret, "wafer/1 cookie", 32), "wafer/1 token EdDSA\x00\x00"+vectorRealm, 32)
	for name, c := range map[string][2]string{
		"none":            {"alg none, no signature", specText([]byte(alg("none"))) + "." + specText([]byte(payload)) + "."},
		"hs256":           {"HS256 under the public key", hs256(alg("HS256"), payload, ed)},
		"algorithm":       {"EdDSA under the id of the ES256 key", ed.token(m.t, strings.Replace(header, ed.kid, es.kid, 1), payload)},
		"algorithm-other": {"an ES256 signature said to be EdDSA's", es.token(m.t, header, payload)},
		"payload":         {"another payload", withPayload(token, vectorPayload("sub", `"mallory"`))},
		"header":          {"another header", withHeader(token, " "+header)},
		"signature":       {"the last byte of the signature changed", signed + "." + specText(flipLast(m.t, signature))},
		"signature-cut":   {"the last byte of the signature gone", signed + "." + specText(flipLast(m.t, signature)[:63])},
		"signature-none":  {"no signature", signed + "."},
		"second-form":     {"ES256 with the order less s, which is as true", esSigned + "." + specText(second)},
		"zeros":           {"ES256 with r and s 0", esSigned + "." + specText(make([]byte, 64))},
		"realm":           {"minted for another realm", staging.token(m.t, staging.header(), payload)},
		"purpose":         {"under a key derived from the cookies' subkey", cookieKey.token(m.t, header, payload)},
		"key":             {"under another secret, with this one's id", newSpecSigner(vectorOther, specKeyID(vectorSecret), vectorRealm, codec.EdDSA).token(m.t, header, payload)},
		"issuer":          {"another issuer", ed.token(m.t, header, vectorPayload("iss", `"https://other.example"`))},
		"audience":        {"another audience", ed.token(m.t, header, vectorPayload("aud", `"https://other.example"`))},
		"audiences":       {"another audience beside the service's", ed.token(m.t, header, vectorPayload("aud", `[`+quote(vectorAudience)+`,"https://other.example"]`))},
	} {
		input("forged-"+name, "forged", c[0], c[1])
	}
	input("forged-not-listed", "forged", "ES256, where EdDSA alone is accepted", esToken, "algorithms", "EdDSA")
	other := newSpecSigner(vectorOther, nil, vectorRealm, codec.EdDSA)
	input("unknown-key", "unknown key", "under another secret", other.token(m.t, other.header(), payload))
	input("unknown-key-form", "unknown key", "an id that is not of the form", ed.token(m.t, strings.Replace(header, ed.kid, strings.ToUpper(ed.kid[:8])+"-EdDSA", 1), payload))
	at := func(d time.Duration) string { return vectorNow.Add(d).Format(time.RFC3339) }
	input("expired", "expired", "when it expires", token, "now", at(300*time.Second))
	input("expired-second", "expired", "expired by a second: no leeway excuses that", token, "now", at(301*time.Second))
	input("early", "early", "issued 11 seconds ahead", token, "now", at(-11*time.Second))
	input("early-nbf", "early", "not valid for 11 seconds", ed.token(m.t, header, vectorPayload("nbf", fmt.Sprint(vectorNow.Unix()+11))))
	for name, c := range map[string][2]string{
		"no-object":     {"an array", `[]`},
		"twice":         {"a claim twice", payload[:len(payload)-1] + `,"sub":"mallory"}`},
		"twice-inside":  {"a member twice inside another", vectorPayload("a", `{"b":1,"b":2}`)},
		"case":          {"a registered claim but for its case", vectorPayload("Sub", `"mallory"`)},
		"no-sub":        {"no sub", vectorPayload("sub", "")},
		"no-exp":        {"no exp", vectorPayload("exp", "")},
		"no-sid":        {"no sid", vectorPayload("sid", "")},
		"no-pos":        {"no pos", vectorPayload("pos", "")},
		"no-aud":        {"an empty array of audiences", vectorPayload("aud", "[]")},
		"exp-text":      {"exp is text", vectorPayload("exp", `"1772366700"`)},
		"exp-fraction":  {"exp has a fraction", vectorPayload("exp", "1772366700.0")},
		"pos-exponent":  {"pos has an exponent", vectorPayload("pos", "1e15")},
		"pos-high":      {"pos 2^53", vectorPayload("pos", "9007199254740992")},
		"sid-case":      {"sid in upper case", vectorPayload("sid", `"00112233445566778899AABBCCDDEEFF"`)},
		"sid-zero":      {"sid is zero", vectorPayload("sid", `"00000000000000000000000000000000"`)},
		"sub-long":      {"sub of 256 bytes", vectorPayload("sub", quote(strings.Repeat("s", 256)))},
		"sub-surrogate": {"half a surrogate pair in sub", vectorPayload("sub", `"\ud800"`)},
		"scope":         {"two spaces in scope", vectorPayload("scope", `"a  b"`)},
		"act-text":      {"act is text", vectorPayload("act", `"support:carol"`)},
		"act-no-sub":    {"act without a sub", vectorPayload("act", `{}`)},
		"act-empty":     {"an actor of no bytes", vectorPayload("act", `{"sub":""}`)},
		"act-long":      {"an actor of 256 bytes", vectorPayload("act", `{"sub":`+quote(strings.Repeat("s", 256))+`}`)},
		"act-nested":    {"an actor of the actor", vectorPayload("act", `{"sub":"carol","act":{"sub":"dave"}}`)},
		"act-iss":       {"an actor of another issuer", vectorPayload("act", `{"sub":"carol","iss":"https://other.example"}`)},
		"act-case":      {"act but for its case", vectorPayload("Act", `{"sub":"carol"}`)},
		"amr-text":      {"amr is text", vectorPayload("amr", `"pwd"`)},
		"amr-none":      {"amr without methods", vectorPayload("amr", `[]`)},
		"amr-empty":     {"a method of no bytes", vectorPayload("amr", `["pwd",""]`)},
		"amr-space":     {"a method with a space", vectorPayload("amr", `["pwd otp"]`)},
		"amr-letter":    {"a method that is not ASCII", vectorPayload("amr", `["pässword"]`)},
		"amr-long":      {"methods of 256 bytes with their spaces", vectorPayload("amr", `["otp",`+quote(strings.Repeat("m", 252))+`]`)},
		"acr-empty":     {"a level of no bytes", vectorPayload("acr", `""`)},
		"acr-long":      {"a level of 256 bytes", vectorPayload("acr", quote(strings.Repeat("s", 256)))},
		"depth":         {"33 levels", vectorPayload("a", strings.Repeat("[", 32)+strings.Repeat("]", 32))},
		"exp-at-iat":    {"exp is iat", vectorPayload("iat", fmt.Sprint(vectorNow.Unix()+300))},
	} {
		input("content-"+name, "content", c[0], ed.token(m.t, header, c[1]))
	}
	m.accessKeys(payload)
}

// accessKeys makes the vectors that depend on the state of the key, and the key
// sets that are then published.
func (m *maker) accessKeys(payload string) {
	const day = 24 * time.Hour
	ring := document(
		documentKey{"00000001", 0xa5, vectorNow.Add(-90 * day), false},
		documentKey{"00000002", 0x5c, vectorNow.Add(-30 * day), false},
		documentKey{"00000003", 0x33, vectorNow.Add(-2 * day), true},
		documentKey{"00000004", 0x44, vectorNow.Add(day), false})
	for id, c := range map[byte][4]string{
		1: {"expired-key", "expired key", "30 days after its key's successor took over", "\xa5"},
		2: {"ok-primary", "ok", "under the primary of a key set", "\x5c"},
		3: {"revoked-key", "revoked key", "under a key that was revoked", "\x33"},
		4: {"ok-not-yet-active", "ok", "under a key that is published and does not sign yet", "\x44"},
	} {
		s := newSpecSigner(bytes.Repeat([]byte(c[3]), 32), []byte{0, 0, 0, id}, vectorRealm, codec.EdDSA)
		fields := []string{"secret", "", "ring", ring, "input", quote(s.token(m.t, s.header(), payload))}
		if c[1] == "ok" {
			fields = append(fields, "payload", quote(payload))
		}
		m.add(c[0], c[1], c[2], vectorBase("access", "issuer", vectorIssuer, "audience", vectorAudience, "algorithms", "EdDSA"), fields...)
	}
	two, four := bytes.Repeat([]byte{0x5c}, 32), bytes.Repeat([]byte{0x44}, 32)
	keys := []string{}
	kids := []string{}
	for _, s := range []specSigner{
		newSpecSigner(two, []byte{0, 0, 0, 2}, vectorRealm, codec.ES256), newSpecSigner(two, []byte{0, 0, 0, 2}, vectorRealm, codec.EdDSA),
		newSpecSigner(four, []byte{0, 0, 0, 4}, vectorRealm, codec.ES256), newSpecSigner(four, []byte{0, 0, 0, 4}, vectorRealm, codec.EdDSA),
	} {
		keys, kids = append(keys, s.jwk(m.t)), append(kids, s.kid)
	}
	m.add("ok-key-set", "ok", "what a key set publishes: neither the expired nor the revoked key", vectorBase("jwks", "algorithms", "ES256 EdDSA"), "secret", "", "ring", ring, "kids", strings.Join(kids, " "), "input", quote(specJWKS(keys...)))
}

func (m *maker) jwks() {
	ed, es := newSpecSigner(vectorSecret, nil, vectorRealm, codec.EdDSA), newSpecSigner(vectorSecret, nil, vectorRealm, codec.ES256)
	m.add("ok", "ok", "what a static secret publishes", vectorBase("jwks", "algorithms", "EdDSA"), "kids", ed.kid, "input", quote(specJWKS(ed.jwk(m.t))))
	m.add("ok-both", "ok", "for two algorithms", vectorBase("jwks", "algorithms", "EdDSA ES256"), "kids", es.kid+" "+ed.kid, "input", quote(specJWKS(es.jwk(m.t), ed.jwk(m.t))))
	read := func(name, class, about, text, kids string) {
		m.t.Helper()
		m.add(name, class, about, vector{"format": "jwks"}, "kids", kids, "input", quote(text))
	}
	const rfc8037 = `"kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"`
	const rfc7515 = `"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"`
	read("ok-published", "ok", "the keys of RFC 8037, appendix A.2 and RFC 7515, appendix A.3, with an id and an algorithm", `{"keys":[{`+rfc8037+`,"kid":"b","alg":"EdDSA"},{`+rfc7515+`,"kid":"a","alg":"ES256"}]}`, "a b")
	read("ok-others", "ok", "keys that are passed over: another type, curve, use and algorithm, and one without an id", `{"more":[],"keys":[{"kty":"RSA","kid":"1","alg":"RS256","n":"AQAB","e":"AQAB"},{"kty":"OKP","crv":"X25519","kid":"2","alg":"EdDSA","x":"AA"},{`+rfc8037+`,"kid":"3","alg":"EdDSA","use":"enc"},{`+rfc8037+`,"kid":"4","alg":"ES256"},{`+rfc8037+`,"alg":"EdDSA"},{`+rfc8037+`,"kid":"5","alg":"EdDSA","x5c":["AA"]}]}`, "5")
	read("ok-empty", "ok", "no key", `{"keys":[]}`, "")
	read("length-empty", "length", "no text", "", "")
	read("length-keys", "length", "513 keys", specJWKS(strings.Split(strings.Repeat("{};", 512)+"{}", ";")...), "")
	read("encoding-no-keys", "encoding", "no member keys", `{}`, "")
	read("encoding-private", "encoding", "the private half of RFC 8037, appendix A.1", `{"keys":[{`+rfc8037+`,"kid":"a","alg":"EdDSA","d":"nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A"}]}`, "")
	read("encoding-symmetric", "encoding", "a symmetric key", `{"keys":[{"kty":"oct","k":"AAAA"}]}`, "")
	read("encoding-kid-twice", "encoding", "one id twice", `{"keys":[{`+rfc8037+`,"kid":"a","alg":"EdDSA"},{`+rfc7515+`,"kid":"a","alg":"ES256"}]}`, "")
	read("encoding-twice", "encoding", "a member twice", `{"keys":[{`+rfc8037+`,"kid":"a","alg":"EdDSA","kid":"b"}]}`, "")
	read("encoding-short", "encoding", "an x of 31 bytes", specJWKS(`{"alg":"EdDSA","crv":"Ed25519","kid":"a","kty":"OKP","x":"`+specText(make([]byte, 31))+`"}`), "")
	read("encoding-off-curve", "encoding", "a point that is not on P-256", strings.Replace(`{"keys":[{`+rfc7515+`,"kid":"a","alg":"ES256"}]}`, "x_FE", "x_FF", 1), "")
	read("encoding-off-edwards", "encoding", "y = 2, which no point of edwards25519 has", specJWKS(`{"alg":"EdDSA","crv":"Ed25519","kid":"a","kty":"OKP","x":"AgAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}`), "")
	read("encoding-small-order", "encoding", "a point of order 8, under which anybody can sign", specJWKS(`{"alg":"EdDSA","crv":"Ed25519","kid":"a","kty":"OKP","x":"JuiVj8KyJ7BFw_SJ8u-Y8NXfrAXTxjM5sTgCiG1T_AU"}`), "")
}

// hs256 signs with the public key of s, as if it were a shared secret.
func hs256(header, payload string, s specSigner) string {
	signed := specText([]byte(header)) + "." + specText([]byte(payload))
	public := ed25519.NewKeyFromSeed(s.derived).Public().(ed25519.PublicKey)
	return signed + "." + specText(specHMAC(public, []byte(signed)))
}

func flipLast(t testing.TB, signature string) []byte {
	t.Helper()
	b, err := specDecode(signature)
	fatal(t, err)
	b[len(b)-1] ^= 1
	return b
}
