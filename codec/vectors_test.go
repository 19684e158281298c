package codec_test

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// vectorClasses are the classes of failure that a vector may name.
var vectorClasses = map[string]error{
	"ok":          nil,
	"length":      codec.ErrLength,
	"encoding":    codec.ErrEncoding,
	"version":     codec.ErrVersion,
	"forged":      codec.ErrForged,
	"content":     codec.ErrContent,
	"expired":     codec.ErrExpired,
	"early":       codec.ErrEarly,
	"unknown key": keyring.ErrUnknown,
	"expired key": keyring.ErrExpired,
	"revoked key": keyring.ErrRevoked,
}

// vectorFields are the fields of a vector in the order of its file.
// docs/formats.md explains them.
var vectorFields = []string{
	"format", "about", "secret", "ring", "realm", "name", "family", "lifetime", "issuer", "audience", "algorithms", "now", "class",
	"plaintext", "session", "subject", "native", "key", "names", "actor", "methods", "level", "position", "generation", "copy", "issued", "access", "idle", "absolute", "started", "authenticated", "bound", "proved",
	"data", "gob", "payload", "kids", "input",
}

// vector is one file of testdata: fields by their names.
type vector map[string]string

func (v vector) String() string {
	var b strings.Builder
	for _, field := range vectorFields {
		if value, found := v[field]; found {
			fmt.Fprintf(&b, "%s: %s\n", field, value)
		}
	}
	return b.String()
}

func parseVector(text string) (vector, error) {
	v := vector{}
	for line := range strings.Lines(text) {
		field, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		if !found {
			return nil, fmt.Errorf("the line %q is no field", line)
		}
		v[field] = value
	}
	if v.String() != text {
		return nil, errors.New("unknown fields, or not in their order")
	}
	return v, nil
}

func vectors(t testing.TB) map[string]vector {
	t.Helper()
	files, err := filepath.Glob("testdata/*.txt")
	fatal(t, err)
	all := map[string]vector{}
	for _, file := range files {
		b, err := os.ReadFile(file)
		fatal(t, err)
		v, err := parseVector(string(b))
		if err != nil {
			t.Fatalf("%s: %v", file, err)
		}
		all[strings.TrimSuffix(filepath.Base(file), ".txt")] = v
	}
	return all
}

func (v vector) ring(t testing.TB) *keyring.Ring {
	t.Helper()
	if v["ring"] != "" {
		return documentRing(t, v["ring"])
	}
	return staticRing(t, strings.Split(v["secret"], " ")...)
}

func (v vector) instance() codec.Instance {
	return codec.Instance{Realm: v["realm"], SessionCookie: v["name"]}
}

func (v vector) hex(t testing.TB, field string) []byte {
	t.Helper()
	b, err := hex.DecodeString(v[field])
	if err != nil {
		t.Fatalf("%s is no hexadecimal: %v", field, err)
	}
	return b
}

// quoted reads a field that is a JSON string.
func (v vector) quoted(t testing.TB, field string) (s string) {
	t.Helper()
	if err := json.Unmarshal([]byte(v[field]), &s); err != nil {
		t.Fatalf("%s is no JSON string: %v", field, err)
	}
	return s
}

func (v vector) number(t testing.TB, field string) uint64 {
	t.Helper()
	n, err := strconv.ParseUint(v[field], 10, 64)
	if err != nil {
		t.Fatalf("%s is no number: %v", field, err)
	}
	return n
}

func (v vector) now(t testing.TB) time.Time {
	t.Helper()
	at, err := time.Parse(time.RFC3339, v["now"])
	fatal(t, err)
	return at
}

// open opens the vector's input and, if that succeeds, compares the content with
// the fields. ok is false if they differ.
func (v vector) open(t testing.TB) (err error, ok bool) {
	t.Helper()
	var ring *keyring.Ring
	if v["secret"]+v["ring"] != "" { // a JWK set may come from elsewhere
		ring = v.ring(t)
	}
	at := func() time.Time { return v.now(t) }
	switch v["format"] {
	case "cookie":
		s, data, err := newCookies(t, ring, v["realm"], v["name"]).Open(ctx, at(), v.quoted(t, "input"))
		return err, err != nil || sameSession(&s, v.session(t)) && string(data) == string(v.hex(t, "data"))
	case "value":
		lifetime, err := time.ParseDuration(v["lifetime"])
		fatal(t, err)
		values := newValues(t, ring, codec.ValuesConfig{Realm: v["realm"], Lifetime: lifetime, Now: at})
		data, err := values.Open(ctx, v["name"], v.quoted(t, "input"))
		return err, err != nil || string(data) == string(v.hex(t, "data"))
	case "commit":
		data, err := newCommits(t, ring, v.instance()).Open(ctx, at(), codec.ID(v.hex(t, "family")), v.hex(t, "input"))
		return err, err != nil || string(data) == string(v.hex(t, "data"))
	case "refresh":
		token, err := newRefreshTokens(t, ring, v.instance()).Parse(ctx, at(), v.quoted(t, "input"))
		return err, err != nil || token.Family == codec.ID(v.hex(t, "family")) && uint64(token.Generation) == v.number(t, "generation") && uint64(token.Copy) == v.number(t, "copy")
	case "family":
		return newFamilySeals(t, ring, v.instance()).Verify(ctx, at(), v.hex(t, "input"), v.identity(t)), true
	case "gorilla":
		var text string
		err := newGorilla(t, ring, v["realm"]).Decode(v["name"], v.quoted(t, "input"), &text)
		return err, err != nil || text == v.quoted(t, "gob")
	case "access":
		verifier := vectorVerifier(t, newVectorAccess(t, ring, v["realm"], v["algorithms"]), v["algorithms"], v["audience"])
		got, err := verifier.Verify(ctx, at(), v.quoted(t, "input"))
		return err, err != nil || matchesPayload(t, &got, v.quoted(t, "payload"))
	case "jwks":
		set, err := codec.ParseJWKS([]byte(v.quoted(t, "input")))
		return err, err != nil || strings.Join(set.KeyIDs(), " ") == v["kids"] && publishes(t, v)
	}
	t.Fatalf("unknown format %q", v["format"])
	return nil, false
}

func (v vector) session(t testing.TB) *codec.Session {
	t.Helper()
	ms := func(field string) time.Time { return time.UnixMilli(int64(v.number(t, field))) }
	text := func(field string) codec.Hidden {
		if v[field] == "" {
			return codec.Hidden{}
		}
		return codec.Hide(v.quoted(t, field))
	}
	var proved time.Time
	if v["proved"] != "" {
		proved = ms("proved")
	}
	return &codec.Session{
		Bound: v["bound"] == "true", Proved: proved, Actor: text("actor"), Methods: text("methods"), Level: text("level"),
		ID: codec.ID(v.hex(t, "session")), Subject: codec.Hide(v.quoted(t, "subject")),
		Position: v.number(t, "position"), Generation: uint32(v.number(t, "generation")),
		Issued: ms("issued"), Access: ms("access"), Idle: ms("idle"),
		Absolute: ms("absolute"), Started: ms("started"), Authenticated: ms("authenticated"),
	}
}

// identity reads the fields of a family.
func (v vector) identity(t testing.TB) *codec.FamilyIdentity {
	t.Helper()
	f := &codec.FamilyIdentity{
		ID: codec.ID(v.hex(t, "family")), Subject: v.quoted(t, "subject"), Native: v["native"] == "true", Key: v.hex(t, "key"),
		Actor: v.quoted(t, "actor"), Level: v.quoted(t, "level"),
		Started: time.UnixMilli(int64(v.number(t, "started"))), Authenticated: time.UnixMilli(int64(v.number(t, "authenticated"))),
		Idle: time.Duration(v.number(t, "idle")) * time.Millisecond, Absolute: time.Duration(v.number(t, "absolute")) * time.Millisecond,
	}
	fatal(t, json.Unmarshal([]byte(v["methods"]), &f.Methods))
	for name := range strings.FieldsSeq(v["names"]) {
		b, err := hex.DecodeString(name)
		fatal(t, err)
		f.Names = append(f.Names, [32]byte(b))
	}
	return f
}

func TestVectors(t *testing.T) {
	all := vectors(t)
	ok, refused := 0, 0
	byClass := map[string]int{}
	for name, v := range all {
		want, known := vectorClasses[v["class"]]
		if !known {
			t.Fatalf("%s: unknown class %q", name, v["class"])
		}
		byClass[v["class"]]++
		if want == nil {
			ok++
		} else {
			refused++
		}
		t.Run(name, func(t *testing.T) {
			err, same := v.open(t)
			if want == nil && err != nil || want != nil && !errors.Is(err, want) {
				t.Errorf("%s: %v: want class %q", v["about"], err, v["class"])
			}
			if !same {
				t.Errorf("%s: opens as something else", v["about"])
			}
		})
	}
	if ok < 20 || refused < 120 {
		t.Errorf("%d vectors that open and %d that do not: want at least 20 and 120; are files missing?", ok, refused)
	}
	for class := range vectorClasses {
		if byClass[class] == 0 {
			t.Errorf("no vector for the class %q", class)
		}
	}
}
