package codec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

var updateVectors = flag.Bool("update-vectors", false, "write codec/testdata anew")

// TestVectorsAreTheseAndNoOthers makes every vector with the second
// implementation in spec_test.go and compares the files; with -update-vectors
// it writes them.
func TestVectorsAreTheseAndNoOthers(t *testing.T) {
	if _, err := specGCM(make([]byte, 32)); err != nil {
		t.Skip("nonces cannot be chosen in this mode; TestVectors has opened the files:", err)
	}
	want := makeVectors(t)
	if *updateVectors {
		for name, v := range want {
			fatal(t, os.WriteFile("testdata/"+name+".txt", []byte(v.String()), 0o644))
		}
	}
	got := vectors(t)
	for _, name := range slices.Sorted(maps.Keys(want)) {
		if got[name].String() != want[name].String() {
			t.Errorf("testdata/%s.txt is not what it should be; go test -run Vectors -update-vectors writes it", name)
		}
	}
	for name := range got {
		if want[name] == nil {
			t.Errorf("testdata/%s.txt is no vector any more", name)
		}
	}
}

// The inputs that the vectors have in common.
var (
	vectorSecret = bytes.Repeat([]byte{0x5c}, 32)
	vectorOther  = bytes.Repeat([]byte{0xa5}, 32)
	vectorNonce  = []byte("twelve salt.twelve nonce")
	vectorNow    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	vectorFamily = codec.ID([]byte("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff"))
	vectorData   = []byte("\xa1\x65theme\x64dark") // {"theme": "dark"}
)

const (
	vectorRealm = "shop.example/production"
	vectorName  = "__Host-session"
	vectorValue = "pending-second-factor"

	vectorInstanceText = vectorRealm + "\x00" + vectorName
)

var (
	vectorInstance = codec.Instance{Realm: vectorRealm, SessionCookie: vectorName}
	// otherInstances are session cookies of other instances in the same realm.
	otherInstances = map[string]string{"cookie": "__Host-staff", "prefix": vectorName[:len(vectorName)-1], "case": "__Host-Session"}
)

func vectorSession() *codec.Session {
	return &codec.Session{
		ID: vectorFamily, Subject: codec.Hide("anna"), Position: 1_772_366_400_000_000, Generation: 3,
		Issued: vectorNow, Access: vectorNow.Add(5 * time.Minute), Idle: vectorNow.Add(30 * time.Minute),
		Absolute: vectorNow.Add(11 * time.Hour), Started: vectorNow.Add(-time.Hour), Authenticated: vectorNow.Add(-10 * time.Minute),
	}
}

// maker collects vectors. Each starts from a good vector of its format and
// describes what is changed.
type maker struct {
	t   *testing.T
	all map[string]vector
}

func makeVectors(t *testing.T) map[string]vector {
	m := &maker{t, map[string]vector{}}
	m.cookies()
	m.sealedFormats()
	m.keys()
	m.values()
	m.commits()
	m.refreshTokens()
	m.families()
	m.gorilla()
	m.access()
	m.jwks()
	return m.all
}

func (m *maker) add(name, class, about string, base vector, fields ...string) {
	m.t.Helper()
	v := maps.Clone(base)
	v["about"], v["class"] = about, class
	for i := 0; i < len(fields); i += 2 {
		v[fields[i]] = fields[i+1]
		if fields[i+1] == "" {
			delete(v, fields[i])
		}
	}
	name = v["format"] + "-" + name
	if m.all[name] != nil {
		m.t.Fatalf("two vectors are called %s", name)
	}
	m.all[name] = v
}

func vectorBase(format string, fields ...string) vector {
	v := vector{"format": format, "secret": base64.StdEncoding.EncodeToString(vectorSecret), "realm": vectorRealm, "now": vectorNow.Format(time.RFC3339)}
	for i := 0; i < len(fields); i += 2 {
		v[fields[i]] = fields[i+1]
	}
	return v
}

// quote writes a JSON string.
func quote(s string) string {
	b, err := json.Marshal(s)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func cookieSpec(plaintext []byte) specSealed {
	return specSealed{secret: vectorSecret, purpose: "wafer/1 cookie", realm: vectorRealm, name: vectorName, nonce: vectorNonce, plaintext: plaintext}
}

func valueSpec(plaintext []byte) specSealed {
	s := cookieSpec(plaintext)
	s.purpose, s.name = "wafer/1 value", vectorValue
	return s
}

func commitSpec(plaintext []byte) specSealed {
	s := cookieSpec(plaintext)
	s.purpose, s.name = "wafer/1 commit", vectorName+"\x00"+string(vectorFamily[:])
	return s
}

func valuePlaintext(data string) []byte {
	times := append(specTime(vectorNow.UnixMilli()), specTime(vectorNow.Add(10*time.Minute).UnixMilli())...)
	return append(times, data...)
}

func sessionFields(s *codec.Session, data []byte) []string {
	ms := func(t time.Time) string { return fmt.Sprint(t.UnixMilli()) }
	text := func(h codec.Hidden) string {
		if h.Text() == "" {
			return ""
		}
		return quote(h.Text())
	}
	proved, bound := "", ""
	if s.Bound {
		bound = "true"
	}
	if !s.Proved.IsZero() {
		proved = ms(s.Proved)
	}
	return []string{
		"bound", bound, "proved", proved, "actor", text(s.Actor), "methods", text(s.Methods), "level", text(s.Level),
		"plaintext", hex.EncodeToString(append(specHeader(s), data...)),
		"session", hex.EncodeToString(s.ID[:]), "subject", quote(s.Subject.Text()), "position", fmt.Sprint(s.Position), "generation", fmt.Sprint(s.Generation),
		"issued", ms(s.Issued), "access", ms(s.Access), "idle", ms(s.Idle), "absolute", ms(s.Absolute), "started", ms(s.Started), "authenticated", ms(s.Authenticated),
	}
}

func (m *maker) cookies() {
	base := vectorBase("cookie", "name", vectorName)
	good := func(name, about string, s *codec.Session, data []byte, more ...string) {
		m.t.Helper()
		sealed := cookieSpec(append(specHeader(s), data...)).text(m.t)
		fields := append(sessionFields(s, data), "input", quote(sealed))
		base["data"] = hex.EncodeToString(data)
		m.add(name, "ok", about, base, append(fields, more...)...)
		delete(base, "data")
	}
	good("ok", "a session with data", vectorSession(), vectorData)
	good("ok-past-its-lifetime", "all three ends are past: opening judges no lifetime", vectorSession(), nil, "now", "2046-03-01T12:00:00Z")
	full := vectorSession()
	full.Bound, full.Proved = true, vectorNow.Add(-time.Minute)
	full.Actor, full.Methods, full.Level = codec.Hide("support:carol"), codec.Hide("pwd otp"), codec.Hide("urn:example:silver")
	good("ok-full", "a session with all that flags announce", full, vectorData)
	for name, flag := range map[string]func(s *codec.Session){
		"bound": func(s *codec.Session) { s.Bound = true }, "actor": func(s *codec.Session) { s.Actor = full.Actor },
		"methods": func(s *codec.Session) { s.Methods = full.Methods }, "level": func(s *codec.Session) { s.Level = full.Level },
	} {
		s := vectorSession()
		flag(s)
		good("ok-"+name, "a session with one flag: "+name, s, vectorData)
	}
	highest, longest := time.UnixMilli(1<<48-1), codec.Hide(strings.Repeat("~", 255))
	good("ok-highest", "every field at its highest", &codec.Session{
		Bound: true, Proved: highest, Actor: longest, Methods: longest, Level: longest,
		ID: codec.ID(bytes.Repeat([]byte{0xff}, 16)), Subject: codec.Hide(strings.Repeat("~", 255)), Position: 1<<53 - 1, Generation: 1<<32 - 1,
		Issued: highest, Access: highest, Idle: highest, Absolute: highest, Started: highest, Authenticated: highest,
	}, nil)
	zero := time.UnixMilli(0)
	good("ok-lowest", "every field at its lowest", &codec.Session{
		Subject: codec.Hide("\x00"), Generation: 1, Issued: zero, Access: zero, Idle: zero, Absolute: zero, Started: zero, Authenticated: zero,
	}, nil)
	good("ok-older-secret", "sealed under the second of two static secrets", vectorSession(), vectorData,
		"secret", base64.StdEncoding.EncodeToString(vectorOther)+" "+base64.StdEncoding.EncodeToString(vectorSecret))

	header := specHeader(vectorSession())
	for _, c := range []struct {
		name, about string
		spoil       func(b []byte) []byte
	}{
		{"content-flags", "a flag that version 1 does not define", func(b []byte) []byte { b[0] = 0x20; return b }},
		{"content-flags-highest", "the highest flag, which version 1 does not define", func(b []byte) []byte { b[0] = 0x80; return b }},
		{"content-proved-unbound", "a proof of a session that is not bound", func(b []byte) []byte { b[0] = 2; return append(b, specTime(0)...) }},
		{"content-proved-cut", "a proof without the last byte of its time", func(b []byte) []byte { b[0] = 3; return append(b, specTime(0)[:5]...) }},
		{"content-actor-empty", "an actor of no bytes", func(b []byte) []byte { b[0] = 4; return append(b, 0) }},
		{"content-methods-empty", "methods of no bytes", func(b []byte) []byte { b[0] = 8; return append(b, 0) }},
		{"content-level-empty", "a level of no bytes", func(b []byte) []byte { b[0] = 16; return append(b, 0) }},
		{"content-actor-missing", "a flag for an actor, and nothing after the subject", func(b []byte) []byte { b[0] = 4; return b }},
		{"content-actor-cut", "an actor longer than what follows", func(b []byte) []byte { b[0] = 4; return append(b, "\x06carol"...) }},
		{"content-level-missing", "flags for an actor and a level, and only one text", func(b []byte) []byte { b[0] = 4 | 16; return append(b, "\x05carol"...) }},
		{"content-position", "position 2^53", func(b []byte) []byte { copy(b[17:], "\x00\x20\x00\x00\x00\x00\x00\x00"); return b }},
		{"content-generation", "generation 0", func(b []byte) []byte { clear(b[25:29]); return b }},
		{"content-no-subject", "a subject of no bytes", func(b []byte) []byte { b[65] = 0; return b }},
		{"content-subject-cut", "a subject longer than what follows", func(b []byte) []byte { return b[:len(b)-1] }},
		{"content-header-cut", "a header without its last byte", func(b []byte) []byte { return b[:65] }},
		{"content-empty", "no plaintext at all", func(b []byte) []byte { return nil }},
	} {
		plaintext := c.spoil(bytes.Clone(header))
		m.add(c.name, "content", c.about, base, "plaintext", hex.EncodeToString(plaintext), "input", quote(cookieSpec(plaintext).text(m.t)))
	}
	asValue := cookieSpec(append(header, vectorData...))
	asValue.purpose = "wafer/1 value"
	m.add("forged-purpose", "forged", "a sealed value that holds the bytes of a session", base, "input", quote(asValue.text(m.t)))
}

// sealedFormats makes the vectors that cookies and values have in common.
func (m *maker) sealedFormats() {
	for format, spec := range map[string]specSealed{
		"cookie": cookieSpec(append(specHeader(vectorSession()), vectorData...)),
		"value":  valueSpec(valuePlaintext("secret data")),
	} {
		base := vectorBase(format, "name", spec.name)
		if format == "value" {
			base["lifetime"] = "10m"
		}
		text, raw := spec.text(m.t), spec.bytes(m.t)
		input := func(name, about, text string) { // the class is in the name
			m.t.Helper()
			class, _, _ := strings.Cut(strings.Replace(name, "unknown-key", "unknown key", 1), "-")
			m.add(name, class, about, base, "input", quote(text))
		}
		flip := func(at int) string {
			b := bytes.Clone(raw)
			b[at] ^= 1
			return specText(b)
		}
		last := func(change byte) string { // adds to the last character of two or three
			return text[:len(text)-1] + string(text[len(text)-1]+change)
		}
		input("length-empty", "no text", "")
		input("length-short", "one byte less than sealing nothing makes", specText(raw[:44]))
		input("length-long", "one character more than is looked at", strings.Repeat("A", 4097))
		input("encoding-padded", "with padding", text+strings.Repeat("=", 4-len(text)%4))
		input("encoding-standard", "the standard alphabet", strings.Repeat("+/", 40))
		input("encoding-line-break", "a line break inside", text[:40]+"\n"+text[40:])
		input("encoding-line-break-last", "a line break where it makes the length right", specText(raw[:len(raw)/3*3])+"\n")
		input("encoding-percent", "percent-encoded", text[:8]+"%2D"+text[8:])
		input("encoding-trailing-bits", "bits set that no byte needs", last(1))
		input("encoding-one-more", "a character that makes no byte", text+strings.Repeat("A", (5-len(text)%4)%4))
		input("forged-salt", "a bit of the salt flipped", flip(5))
		input("forged-nonce", "a bit of the nonce flipped", flip(17))
		input("forged-ciphertext", "a bit of the ciphertext flipped", flip(29))
		input("forged-tag", "the last bit of the tag flipped", flip(len(raw)-1))
		input("forged-cut", "the last byte gone", specText(raw[:len(raw)-1]))
		input("forged-extended", "a byte more", specText(append(bytes.Clone(raw), 0)))
		spec.version = 2
		input("version-2", "version 2, sealed as such", spec.text(m.t))
		spec.version = 0
		zero := bytes.Clone(raw)
		zero[0] = 0
		input("version-0", "version 0", specText(zero))
		spec.name += "2"
		input("forged-name", "sealed under another name", spec.text(m.t))
		spec.name = base["name"]
		spec.realm = "shop.example/staging"
		input("forged-realm", "sealed for another realm", spec.text(m.t))
		spec.realm = vectorRealm
		spec.secret = vectorOther
		input("unknown-key", "sealed under another secret", spec.text(m.t))
		spec.id = specKeyID(vectorSecret)
		input("forged-key", "sealed under another secret, with this one's id", spec.text(m.t))
	}
}

// keys makes the vectors that depend on the state of the key. The rings are
// documents, as a keeper seals them.
func (m *maker) keys() {
	const day = 24 * time.Hour
	key := func(id string, secret byte, before time.Duration, revoked bool) documentKey {
		return documentKey{id, secret, vectorNow.Add(-before), revoked}
	}
	for _, c := range []struct {
		name, class, about string
		keys               []documentKey
	}{
		{"ok-not-yet-active", "ok", "under a key that is published and does not seal yet", []documentKey{key("00000001", 0xa5, day, false), key("00000002", 0x5c, -day, false)}},
		{"ok-last-millisecond-of-its-key", "ok", "a millisecond before its key expires", []documentKey{key("00000002", 0x5c, 90*day, false), key("00000003", 0xa5, 30*day-time.Millisecond, false)}},
		{"expired-key", "expired key", "30 days after its key's successor took over", []documentKey{key("00000002", 0x5c, 90*day, false), key("00000003", 0xa5, 30*day, false)}},
		{"revoked-key", "revoked key", "under a key that was revoked", []documentKey{key("00000002", 0x5c, 2*day, true), key("00000003", 0xa5, day, false)}},
	} {
		ring := document(c.keys...)
		id := []byte{0, 0, 0, 2}
		cookie := cookieSpec(append(specHeader(vectorSession()), vectorData...))
		cookie.id = id
		fields := []string{"secret", "", "ring", ring, "input", quote(cookie.text(m.t))}
		if c.class == "ok" {
			fields = append(append(fields, sessionFields(vectorSession(), vectorData)...), "data", hex.EncodeToString(vectorData))
		}
		m.add(c.name, c.class, c.about, vectorBase("cookie", "name", vectorName), fields...)

		fields = []string{"secret", "", "ring", ring, "input", quote(specRefresh(vectorSecret, id, vectorInstanceText, vectorFamily, 3, 0))}
		if c.class == "ok" {
			fields = append(fields, "family", hex.EncodeToString(vectorFamily[:]), "generation", "3", "copy", "0")
		}
		m.add(c.name, c.class, c.about, vectorBase("refresh", "name", vectorName), fields...)

		fields = append(identityFields(vectorIdentity()), "name", vectorName, "input", hex.EncodeToString(specFamily(vectorSecret, id, vectorInstanceText, vectorIdentity())))
		m.add(c.name, c.class, c.about, vectorBase("family", fields...), "secret", "", "ring", ring)
	}
}

func (m *maker) values() {
	base := vectorBase("value", "name", vectorValue, "lifetime", "10m")
	sealed := quote(valueSpec(valuePlaintext("secret data")).text(m.t))
	plaintext := []string{"plaintext", hex.EncodeToString(valuePlaintext("secret data")), "data", hex.EncodeToString([]byte("secret data"))}
	at := func(after time.Duration) string { return vectorNow.Add(after).Format("2006-01-02T15:04:05.000Z07:00") }
	m.add("ok", "ok", "a value of 10 minutes, opened at once", base, append(plaintext, "input", sealed)...)
	m.add("ok-last-millisecond", "ok", "a millisecond before it expires", base, append(plaintext, "input", sealed, "now", at(10*time.Minute-time.Millisecond))...)
	m.add("ok-empty", "ok", "no bytes", base, "plaintext", hex.EncodeToString(valuePlaintext("")), "data", "", "input", quote(valueSpec(valuePlaintext("")).text(m.t)))
	m.add("expired", "expired", "when it expires", base, "input", sealed, "now", at(10*time.Minute))
	m.add("expired-shortened", "expired", "the lifetime that is configured now is shorter", base, "input", sealed, "lifetime", "1m", "now", at(time.Minute))
	m.add("expired-extended", "expired", "the lifetime that is configured now is longer: the sealed one counts", base, "input", sealed, "lifetime", "1h", "now", at(10*time.Minute))
	m.add("content-times-cut", "content", "one byte less than its two times", base, "plaintext", hex.EncodeToString(valuePlaintext("")[:11]), "input", quote(valueSpec(valuePlaintext("")[:11]).text(m.t)))
	asCookie := valueSpec(valuePlaintext("secret data"))
	asCookie.purpose = "wafer/1 cookie"
	m.add("forged-purpose", "forged", "sealed under the cookies' subkey", base, "input", quote(asCookie.text(m.t)))
}

func (m *maker) commits() {
	base := vectorBase("commit", "name", vectorName, "family", hex.EncodeToString(vectorFamily[:]))
	input := func(name, class, about string, sealed []byte, fields ...string) {
		m.t.Helper()
		m.add(name, class, about, base, append(fields, "input", hex.EncodeToString(sealed))...)
	}
	spec := commitSpec(vectorData)
	sealed := spec.bytes(m.t)
	input("ok", "ok", "committed data", sealed, "plaintext", hex.EncodeToString(vectorData), "data", hex.EncodeToString(vectorData))
	longest := bytes.Repeat([]byte{7}, 4096)
	input("ok-longest", "ok", "the longest", commitSpec(longest).bytes(m.t), "data", hex.EncodeToString(longest))
	input("length-long", "length", "a byte more than the longest", commitSpec(append(longest, 7)).bytes(m.t))
	input("length-short", "length", "a byte less than sealing nothing makes", sealed[:44])
	input("version", "version", "version 2", append([]byte{2}, sealed[1:]...))
	other := spec
	other.name = vectorName + "\x00" + string(bytes.Repeat([]byte{1}, 16))
	input("forged-family", "forged", "another family's row", other.bytes(m.t))
	for name, cookie := range otherInstances {
		other = spec
		other.name = cookie + "\x00" + string(vectorFamily[:])
		input("forged-instance-"+name, "forged", "other instance: sealed for the session cookie "+cookie, other.bytes(m.t))
	}
	other = spec
	other.realm = vectorRealm[:len(vectorRealm)-1]
	other.name = vectorRealm[len(vectorRealm)-1:] + vectorName + "\x00" + string(vectorFamily[:])
	input("forged-instance-boundary", "forged", "other instance: the realm's last character is the cookie's first", other.bytes(m.t))
	other = spec
	other.name = string(vectorFamily[:])
	input("forged-instance-none", "forged", "sealed for the realm alone", other.bytes(m.t))
	other = spec
	other.realm = "shop.example/staging"
	input("forged-realm", "forged", "sealed for another realm", other.bytes(m.t))
	other = spec
	other.purpose = "wafer/1 value"
	input("forged-purpose", "forged", "sealed under the values' subkey", other.bytes(m.t))
	other = spec
	other.secret = vectorOther
	input("unknown-key", "unknown key", "sealed under another secret", other.bytes(m.t))
	flipped := bytes.Clone(sealed)
	flipped[len(flipped)-16] ^= 0x80
	input("forged-tag", "forged", "the first bit of the tag flipped", flipped)
}

func (m *maker) refreshTokens() {
	base := vectorBase("refresh", "name", vectorName)
	family := hex.EncodeToString(vectorFamily[:])
	token := specRefresh(vectorSecret, nil, vectorInstanceText, vectorFamily, 3, 0)
	input := func(name, class, about, token string, fields ...string) {
		m.t.Helper()
		m.add(name, class, about, base, append(fields, "input", quote(token))...)
	}
	ok := func(name, about string, generation, copied uint32) {
		m.t.Helper()
		token := specRefresh(vectorSecret, nil, vectorInstanceText, vectorFamily, generation, copied)
		input(name, "ok", about, token, "family", family, "generation", fmt.Sprint(generation), "copy", fmt.Sprint(copied))
	}
	ok("ok", "generation 3", 3, 0)
	ok("ok-copy", "the second copy of generation 3", 3, 2)
	ok("ok-highest", "the highest generation", 1<<20-1, 0)
	ok("ok-highest-copy", "the highest copy of the highest generation", 1<<20-1, 4095)
	input("length-empty", "length", "no text", "")
	input("length-short", "length", "the last character gone", token[:58])
	input("length-long", "length", "a character more", token+"A")
	input("encoding-prefix", "encoding", "another version's prefix", "wfr2_"+token[5:])
	input("encoding-case", "encoding", "the prefix in upper case", "WFR1_"+token[5:])
	input("encoding-line-break", "encoding", "a line break in place of a character", token[:30]+"\n"+token[31:])
	input("encoding-standard", "encoding", "a character of the standard alphabet", token[:30]+"+"+token[31:])
	input("encoding-trailing-bits", "encoding", "bits set that no byte needs", token[:58]+string(token[58]+1))
	input("content-generation", "content", "generation 0", specRefresh(vectorSecret, nil, vectorInstanceText, vectorFamily, 0, 0))
	input("content-generation-copy", "content", "a copy of generation 0", specRefresh(vectorSecret, nil, vectorInstanceText, vectorFamily, 0, 1))
	input("forged-realm", "forged", "made for another realm", specRefresh(vectorSecret, nil, "shop.example/staging\x00"+vectorName, vectorFamily, 3, 0))
	for name, cookie := range otherInstances {
		input("forged-instance-"+name, "forged", "other instance: made for the session cookie "+cookie, specRefresh(vectorSecret, nil, vectorRealm+"\x00"+cookie, vectorFamily, 3, 0))
	}
	input("forged-instance-none", "forged", "made for the realm alone", specRefresh(vectorSecret, nil, vectorRealm, vectorFamily, 3, 0))
	input("forged-instance-separator", "forged", "realm and session cookie without the byte between them", specRefresh(vectorSecret, nil, vectorRealm+vectorName, vectorFamily, 3, 0))
	input("forged-key", "forged", "made under another secret, with this one's id", specRefresh(vectorOther, specKeyID(vectorSecret), vectorInstanceText, vectorFamily, 3, 0))
	input("unknown-key", "unknown key", "made under another secret", specRefresh(vectorOther, nil, vectorInstanceText, vectorFamily, 3, 0))
	raw, err := base64.RawURLEncoding.DecodeString(token[5:])
	fatal(m.t, err)
	for name, at := range map[string]int{"forged-family": 4, "forged-copy": 21, "forged-generation": 23, "forged-tag-first": 24, "forged-tag-last": 39} {
		b := bytes.Clone(raw)
		b[at] ^= 1
		input(name, "forged", fmt.Sprintf("the last bit of byte %d flipped", at), "wfr1_"+specText(b))
	}
}

func (m *maker) gorilla() {
	const never = 9_999_999_999 // securecookie reads the system clock
	base := vectorBase("gorilla", "name", vectorName)
	keys := specExpand(specHKDF(vectorSecret, "wafer/1 gorilla", 32), "wafer/1 gorilla keys", 64)
	iv := []byte("sixteen byte iv.")
	spec := func(realm, name string, seconds int64) string {
		return hex.EncodeToString(specKeyID(vectorSecret)) + "." + specGorilla(m.t, keys[:32], keys[32:], realm+"\x00"+name, seconds, iv, gobOf(m.t, "a text"))
	}
	text := spec(vectorRealm, vectorName, never)
	input := func(name, class, about, text string, fields ...string) {
		m.t.Helper()
		m.add(name, class, about, base, append(fields, "input", quote(text))...)
	}
	input("ok", "ok", "a string in gob, of the year 2286", text, "gob", quote("a text"))
	input("length-empty", "length", "no text", "")
	input("length-head", "length", "the key id alone", text[:9])
	input("length-long", "length", "one character more than is looked at", text[:9]+strings.Repeat("A", 4088))
	input("encoding-case", "encoding", "the key id in upper case", strings.ToUpper(text[:9])+text[9:])
	input("encoding-separator", "encoding", "another separator", text[:8]+"-"+text[9:])
	input("encoding-line-break", "encoding", "a line break at the end", text+"\n")
	input("encoding-unpadded", "encoding", "without its padding", strings.TrimRight(text, "="))
	input("encoding-more-padding", "encoding", "padding that is not needed", text+"====")
	input("forged-name", "forged", "made for another name", spec(vectorRealm, "other", never))
	input("forged-realm", "forged", "made for another realm", spec("shop.example/staging", vectorName, never))
	input("forged-date", "forged", "another date in front of the same value", text[:9]+base64.URLEncoding.EncodeToString(bytes.Replace(gorillaBytes(m.t, text), []byte("9999999999"), []byte("9999999998"), 1)))
	input("expired", "expired", "made in 2020", spec(vectorRealm, vectorName, 1_600_000_000))
	input("unknown-key", "unknown key", "another key's id", "00000000"+text[8:])
}

func gorillaBytes(t testing.TB, text string) []byte {
	t.Helper()
	b, err := base64.URLEncoding.DecodeString(text[9:])
	fatal(t, err)
	return b
}
