package codec_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/waferkit/wafer/codec"
)

// Forms of text and JSON that a lenient reader would accept.
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
	for _, name := range []string{"exp", "auth_time", "nbf"} {
		claim(codec.ErrContent, name, `281474976711`) // a second above 48 bits of milliseconds
	}
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

// Forms that a strict reader must accept too.
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
		if err != nil || got.Subject.Text() != "anna" {
			t.Errorf("%s: %q, %v", what, got.Subject.Text(), err)
		}
	}
}
