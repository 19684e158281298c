package keyring

import (
	"bytes"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// releasedSet is the set that testdata/ring-v1.json and testdata/ring-v1 hold.
func releasedSet(t testing.TB) *Set {
	s := handMade(t, Schedule{Seals: 5 * oneDay, Life: 10 * oneDay},
		keySpec{id: 1}, keySpec{id: 2, activates: 5, revoked: 6}, keySpec{id: 3, activates: 6}, keySpec{id: 4, activates: 11})
	s.version = 7
	return s
}

// A document that one release wrote can be read by all later releases, so these
// files never change.
func TestReleasedDocumentsStillOpen(t *testing.T) {
	want := releasedSet(t)
	plain := bytes.TrimSuffix(readFile(t, "testdata/ring-v1.json"), []byte("\n"))
	parsed := must(parseSet(plain))(t)
	opened := must(Open(t.Context(), File("testdata/ring-v1"), testKeeper(t)))(t).Set()
	for name, s := range map[string]*Set{"the plaintext": parsed, "the sealed file": opened} {
		if s.Version() != 7 || s.ID() != (RingID{1}) || s.Schedule() != want.Schedule() || len(s.keys) != len(want.keys) {
			t.Fatalf("%s: %v with %v", name, s, s.Schedule())
		}
		for i, k := range s.keys {
			w := want.keys[i]
			r, revoked := k.Revocation()
			wr, wantRevoked := w.Revocation()
			if k.id != w.id || k.material().secret != w.material().secret || !k.created.Equal(w.created) || !k.activates.Equal(w.activates) ||
				!k.expires.Equal(w.expires) || revoked != wantRevoked || !r.At.Equal(wr.At) || r.Reason != wr.Reason {
				t.Errorf("%s: key %d is %v: want %v", name, i, k, w)
			}
		}
	}
	if got := must(marshalSet(want))(t); !bytes.Equal(got, plain) {
		t.Errorf("marshals to\n%s\nwant\n%s", got, plain)
	}
}

func TestParseSetRefuses(t *testing.T) {
	good := string(must(marshalSet(releasedSet(t)))(t))
	must(parseSet([]byte(good)))(t)
	secret := base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{1}, SecretSize))
	replace := func(old, new string) string {
		if !strings.Contains(good, old) {
			t.Fatalf("%q is not in the document", old)
		}
		return strings.Replace(good, old, new, 1)
	}
	keys := good[strings.Index(good, "[{") : len(good)-1]
	many := new(strings.Builder)
	for i := range MaxKeys + 1 {
		fmt.Fprintf(many, `,{"id":"%08x","secret":"%s","created_ms":0,"activates_ms":0}`, i, secret)
	}
	for what, text := range map[string]string{
		"empty":                         "",
		"null":                          "null",
		"an empty object":               "{}",
		"a list":                        "[]",
		"cut off":                       good[:len(good)-1],
		"bytes after the end":           good + " ",
		"another document after it":     good + good,
		"white space inside":            replace(`,"version"`, `, "version"`),
		"an unknown field":              replace(`{"format"`, `{"note":"","format"`),
		"an unknown field of a key":     replace(`{"id"`, `{"note":"","id"`),
		"a field twice":                 replace(`"version":7`, `"version":7,"version":7`),
		"a field in capitals":           replace(`"version"`, `"Version"`),
		"a field that is missing":       replace(`,"life_seconds":864000`, ``),
		"another format":                replace("wafer/1 keyring", "wafer/2 keyring"),
		"no ring id":                    replace(`"id":"01000000000000000000000000000000",`, ``),
		"a ring id of zeroes":           replace(`"id":"01000000000000000000000000000000"`, `"id":"00000000000000000000000000000000"`),
		"a short ring id":               replace(`"id":"01000000000000000000000000000000"`, `"id":"010000000000000000000000000000"`),
		"a long ring id":                replace(`"id":"01000000000000000000000000000000"`, `"id":"0100000000000000000000000000000000"`),
		"a ring id in capitals":         replace(`"id":"01000000000000000000000000000000"`, `"id":"A1000000000000000000000000000000"`),
		"a ring id that is no number":   replace(`"id":"01000000000000000000000000000000"`, `"id":"x1000000000000000000000000000000"`),
		"version 0":                     replace(`"version":7`, `"version":0`),
		"a negative version":            replace(`"version":7`, `"version":-7`),
		"a version with a fraction":     replace(`"version":7`, `"version":7.0`),
		"seals 0":                       replace(`"seals_seconds":432000`, `"seals_seconds":0`),
		"seals below two leads":         replace(`"seals_seconds":432000`, `"seals_seconds":7199`),
		"negative seals":                replace(`"seals_seconds":432000`, `"seals_seconds":-432000`),
		"seals beyond a duration":       replace(`"seals_seconds":432000`, `"seals_seconds":9223372036854775807`),
		"life 0":                        replace(`"life_seconds":864000`, `"life_seconds":0`),
		"life below a minute":           replace(`"life_seconds":864000`, `"life_seconds":59`),
		"life beyond a duration":        replace(`"life_seconds":864000`, `"life_seconds":9223372037`),
		"no keys":                       strings.Replace(good, keys, "null", 1),
		"an empty list of keys":         strings.Replace(good, keys, "[]", 1),
		"more keys than a set may have": strings.Replace(good, keys, "["+many.String()[1:]+"]", 1),
		"two keys of one id":            replace(`"00000002"`, `"00000001"`),
		"keys out of order":             replace(`"activates_ms":`+fmt.Sprint(day(5).UnixMilli()), `"activates_ms":`+fmt.Sprint(day(50).UnixMilli())),
		"an id in capitals":             replace(`"00000001"`, `"0000000A"`),
		"a short id":                    replace(`"00000001"`, `"000001"`),
		"no id":                         replace(`"00000001"`, `""`),
		"a short secret":                replace(secret, "AAAA"),
		"no secret":                     replace(`"`+secret+`"`, "null"),
		"a secret without padding":      replace(secret, strings.TrimRight(secret, "=")),
		"a secret with trailing bits":   replace(secret, strings.TrimSuffix(secret, "E=")+"F="),
		"a time that is no number":      replace(`"created_ms":`, `"created_ms":"",`),
		"a revocation of null":          replace(`"activates_ms":`+fmt.Sprint(epoch.UnixMilli())+`}`, `"activates_ms":`+fmt.Sprint(epoch.UnixMilli())+`,"revoked":null}`),
		"an escape that needs none":     replace(`"by hand"`, `"\u0062y hand"`),
	} {
		s, err := parseSet([]byte(text))
		if err == nil {
			t.Errorf("%s: parsed as %v", what, s)
		}
		if s != nil {
			t.Errorf("%s: a set came with the error", what)
		}
	}
}

// A set whose document lost its order would have two encodings.
func TestMarshalIsOneEncoding(t *testing.T) {
	specs := []keySpec{{id: 3, activates: 3}, {id: 1}, {id: 2, activates: 3}}
	first := must(marshalSet(handMade(t, Schedule{}, specs...)))(t)
	slices.Reverse(specs)
	if other := must(marshalSet(handMade(t, Schedule{}, specs...)))(t); !bytes.Equal(first, other) {
		t.Fatalf("two encodings:\n%s\n%s", first, other)
	}
}

// Every set that the rules of change can make is the same when it is read back
// from its document, including its expiries.
func TestDocumentHoldsTheWholeSet(t *testing.T) {
	for seed := range uint64(12) {
		history(t, seed, func(_, s *Set, _ time.Time, step string) {
			plain := must(marshalSet(s))(t)
			again, err := parseSet(plain)
			if err != nil {
				t.Fatalf("%s: %v", step, err)
			}
			for i, k := range s.keys {
				if a := again.keys[i]; a.id != k.id || !a.expires.Equal(k.expires) || !a.activates.Equal(k.activates) || a.material().secret != k.material().secret {
					t.Fatalf("%s: key %v came back as %v until %v: want until %v", step, k, a, a.expires, k.expires)
				}
			}
		})
	}
}
