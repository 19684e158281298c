package codec_test

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
)

// vectorIdentity is a family that has everything that one can have.
func vectorIdentity() *codec.FamilyIdentity {
	return &codec.FamilyIdentity{
		ID: vectorFamily, Subject: "anna", Key: bytes.Repeat([]byte{0x4b}, 32),
		Names: [][32]byte{[32]byte(bytes.Repeat([]byte{0x11}, 32)), [32]byte(bytes.Repeat([]byte{0x22}, 32))},
		Actor: "support:carol", Methods: []string{"pwd", "otp"}, Level: "urn:example:silver",
		Started: vectorNow.Add(-time.Hour), Authenticated: vectorNow.Add(-10 * time.Minute),
		Idle: 30 * time.Minute, Absolute: 12 * time.Hour,
	}
}

func identityFields(f *codec.FamilyIdentity) []string {
	methods, err := json.Marshal(append([]string{}, f.Methods...))
	if err != nil {
		panic(err)
	}
	var names []string
	for _, name := range f.Names {
		names = append(names, hex.EncodeToString(name[:]))
	}
	return []string{
		"family", hex.EncodeToString(f.ID[:]), "subject", quote(f.Subject), "native", fmt.Sprint(f.Native), "key", hex.EncodeToString(f.Key),
		"names", strings.Join(names, " "), "actor", quote(f.Actor), "methods", string(methods), "level", quote(f.Level),
		"started", fmt.Sprint(f.Started.UnixMilli()), "authenticated", fmt.Sprint(f.Authenticated.UnixMilli()),
		"idle", fmt.Sprint(f.Idle.Milliseconds()), "absolute", fmt.Sprint(f.Absolute.Milliseconds()),
	}
}

// changedIdentities returns identities of which each differs from
// vectorIdentity in one thing that a store could have changed.
func changedIdentities() map[string]func(f *codec.FamilyIdentity) {
	return map[string]func(f *codec.FamilyIdentity){
		"id":                func(f *codec.FamilyIdentity) { f.ID[15] ^= 1 },
		"subject":           func(f *codec.FamilyIdentity) { f.Subject = "anne" },
		"native":            func(f *codec.FamilyIdentity) { f.Native = true },
		"key":               func(f *codec.FamilyIdentity) { f.Key[0] ^= 1 },
		"key-none":          func(f *codec.FamilyIdentity) { f.Key = nil },
		"name":              func(f *codec.FamilyIdentity) { f.Names[1][31] ^= 1 },
		"name-fewer":        func(f *codec.FamilyIdentity) { f.Names = f.Names[:1] },
		"name-more":         func(f *codec.FamilyIdentity) { f.Names = append(f.Names, [32]byte{3}) },
		"name-none":         func(f *codec.FamilyIdentity) { f.Names = nil },
		"actor":             func(f *codec.FamilyIdentity) { f.Actor = "support:carl" },
		"actor-none":        func(f *codec.FamilyIdentity) { f.Actor = "" },
		"actor-as-level":    func(f *codec.FamilyIdentity) { f.Actor, f.Level = f.Level, f.Actor },
		"methods-order":     func(f *codec.FamilyIdentity) { f.Methods = []string{"otp", "pwd"} },
		"methods-joined":    func(f *codec.FamilyIdentity) { f.Methods = []string{"pwdotp"} },
		"methods-cut":       func(f *codec.FamilyIdentity) { f.Methods = []string{"pwdo", "tp"} },
		"methods-fewer":     func(f *codec.FamilyIdentity) { f.Methods = []string{"pwd"} },
		"methods-repeated":  func(f *codec.FamilyIdentity) { f.Methods = []string{"pwd", "otp", "otp"} },
		"level":             func(f *codec.FamilyIdentity) { f.Level = "urn:example:gold" },
		"started":           func(f *codec.FamilyIdentity) { f.Started = f.Started.Add(time.Millisecond) },
		"authenticated":     func(f *codec.FamilyIdentity) { f.Authenticated = f.Authenticated.Add(time.Millisecond) },
		"times-exchanged":   func(f *codec.FamilyIdentity) { f.Started, f.Authenticated = f.Authenticated, f.Started },
		"idle":              func(f *codec.FamilyIdentity) { f.Idle += time.Millisecond },
		"absolute":          func(f *codec.FamilyIdentity) { f.Absolute += time.Millisecond },
		"limits-exchanged":  func(f *codec.FamilyIdentity) { f.Idle, f.Absolute = f.Absolute, f.Idle },
		"name-in-the-actor": func(f *codec.FamilyIdentity) { f.Names, f.Actor = f.Names[:1], string(f.Names[1][:])+f.Actor },
	}
}

func (m *maker) families() {
	add := func(name, class, about string, f *codec.FamilyIdentity, seal []byte, more ...string) {
		m.t.Helper()
		fields := append(identityFields(f), "name", vectorName, "input", hex.EncodeToString(seal))
		m.add(name, class, about, vectorBase("family", fields...), more...)
	}
	seal := func(f *codec.FamilyIdentity) []byte { return specFamily(vectorSecret, nil, vectorInstanceText, f) }
	good := func(name, about string, f *codec.FamilyIdentity, more ...string) {
		m.t.Helper()
		add(name, "ok", about, f, seal(f), more...)
	}
	f := vectorIdentity()
	good("ok", "a browser's family with all that one can have", f)
	good("ok-plain", "a family with nothing but what each has", &codec.FamilyIdentity{
		ID: f.ID, Subject: f.Subject, Started: f.Started, Authenticated: f.Authenticated, Idle: f.Idle, Absolute: f.Absolute,
	})
	good("ok-lowest", "every field at its lowest", &codec.FamilyIdentity{Subject: "\x00", Started: time.UnixMilli(0), Authenticated: time.UnixMilli(0)})
	highest, most := time.UnixMilli(1<<48-1), (1<<63-1)/time.Millisecond*time.Millisecond
	longest := strings.Repeat("~", 255)
	good("ok-highest", "every field at its highest, but for the number of methods", &codec.FamilyIdentity{
		ID: codec.ID(bytes.Repeat([]byte{0xff}, 16)), Subject: longest, Native: true, Key: bytes.Repeat([]byte{0xff}, 32),
		Names: [][32]byte{{1}, {2}, {3}, {4}}, Actor: longest, Methods: []string{longest, longest}, Level: longest,
		Started: highest, Authenticated: highest, Idle: most, Absolute: most,
	})
	turned := vectorIdentity()
	turned.Names[0], turned.Names[1] = turned.Names[1], turned.Names[0]
	add("ok-names-order", "ok", "the same names in another order", turned, seal(f))
	good("ok-older-secret", "sealed under the second of two static secrets", f, "secret", base64.StdEncoding.EncodeToString(vectorOther)+" "+base64.StdEncoding.EncodeToString(vectorSecret))

	for name, change := range changedIdentities() {
		changed := vectorIdentity()
		change(changed)
		add("forged-"+name, "forged", "the seal of another family: they differ in "+strings.ReplaceAll(name, "-", ", "), changed, seal(f))
	}
	instance := func(name, about, text string) {
		m.t.Helper()
		add("forged-"+name, "forged", about, f, specFamily(vectorSecret, nil, text, f))
	}
	for name, cookie := range otherInstances {
		instance("instance-"+name, "other instance: sealed for the session cookie "+cookie, vectorRealm+"\x00"+cookie)
	}
	instance("realm", "sealed for another realm", "shop.example/staging\x00"+vectorName)
	instance("instance-none", "sealed for the realm alone", vectorRealm)

	good20 := seal(f)
	flip := func(at int) []byte {
		b := bytes.Clone(good20)
		b[at] ^= 1
		return b
	}
	add("forged-tag-first", "forged", "the last bit of the tag's first byte flipped", f, flip(4))
	add("forged-tag-last", "forged", "the last bit of the tag flipped", f, flip(19))
	add("forged-key-id", "forged", "made under another secret, with this one's id", f, specFamily(vectorOther, specKeyID(vectorSecret), vectorInstanceText, f))
	add("unknown-key", "unknown key", "made under another secret", f, specFamily(vectorOther, nil, vectorInstanceText, f))
	add("length-empty", "length", "no bytes", f, nil)
	add("length-short", "length", "a byte less", f, good20[:19])
	add("length-long", "length", "a byte more", f, append(bytes.Clone(good20), 0))
	mac := specHMAC(specHKDF(vectorSecret, "wafer/1 refresh", 32), append([]byte(string(good20[:4])+vectorInstanceText+"\x00"), specIdentity(f)...))
	add("forged-purpose", "forged", "made under the refresh tokens' subkey", f, append(bytes.Clone(good20[:4]), mac[:16]...))
}
