package codec

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"unicode/utf8"
)

// members reads an object into names and values, in their order.
func members(text string) (names, values []string, err error) {
	err = readObject([]byte(text), func(name, value, member []byte) error {
		names, values = append(names, string(name)), append(values, string(value))
		if !bytes.HasPrefix(member, []byte(`"`)) || !bytes.HasSuffix(member, value) {
			return errors.New("a member is not as it stands")
		}
		return nil
	})
	return names, values, err
}

func TestReadObject(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:            "",
		" \t\r\n{ \n} ": "",
		`{"a":1}`:       "a=1",
		`{ "a" : [ 1 , { "b":null } ] , "" : "" }`: `a=[ 1 , { "b":null } ];=""`,
		`{"a":-0,"b":0.10e+5,"c":1E9}`:             "a=-0;b=0.10e+5;c=1E9",
		`{"\u0061\/\"\\\b\f\n\r\t":1}`:             "a/\"\\\b\f\n\r\t=1",
		`{"\uD83D\uDE00é":true}`:                   "😀é=true",
		`{"a":1,"A":2}`:                            "a=1;A=2",
	} {
		names, values, err := members(text)
		var got []string
		for i := range names {
			got = append(got, names[i]+"="+values[i])
		}
		if err != nil || strings.Join(got, ";") != want {
			t.Errorf("%s: %q, %v: want %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"", " ", "{", "}", `{"a"}`, `{"a":}`, `{"a":1,}`, `{,"a":1}`, `{"a":1 "b":2}`, `{"a":1}}`, `{"a":1}{}`, `{a:1}`, `{'a':1}`, `{"a":1}x`, `[]`, `null`, `"a"`, `1`,
		`{"a":01}`, `{"a":.5}`, `{"a":1.}`, `{"a":1e}`, `{"a":1e+}`, `{"a":+1}`, `{"a":--1}`, `{"a":-}`, `{"a":1.e5}`, `{"a":0x1}`, `{"a":1_0}`, `{"a":Infinity}`, `{"a":NaN}`, `{"a":True}`, `{"a":tru}`, `{"a":truee}`, `{"a":nul`,
		`{"a":"\x"}`, `{"a":"\u12"}`, `{"a":"\u12g4"}`, `{"a":"\ud800"}`, `{"a":"\udc00"}`, `{"a":"\ud800\ud800"}`, `{"a":"\ud800A"}`, `{"a":"\ud800\n"}`, `{"a":"\`, `{"a":"\"}`, `{"a":"\u`, "{\"a\":\"\n\"}", "{\"a\":\"\\n\x00\"}", "{\"a\":\"\xff\"}", "{\"\xff\":1}", "{\"a\":\"\\n\xff\"}",
		`{"a":1,"a":1}`, `{"a":1,"\u0061":1}`, `{"x":{"a":1,"a":1}}`, `{"x":[[{"a":1,"a":1}]]}`, `{"":1,"":2}`, `{"a":[1,]}`, `{"a":[,1]}`, `{"a":[1 2]}`, `{"a":[}`, `{"a":[1}`, "\ufeff{}", `{"a":1/**/}`, "{\"a\":1\v}",
	} {
		if names, _, err := members(text); err != errJSON {
			t.Errorf("%s: %q, %v: want errJSON", text, names, err)
		}
	}
}

func TestReadObjectIsBounded(t *testing.T) {
	deep := func(n int) string { return strings.Repeat(`{"a":`, n) + "1" + strings.Repeat("}", n) }
	if _, _, err := members(deep(maxJSONDepth)); err != nil {
		t.Errorf("32 levels: %v", err)
	}
	if _, _, err := members(deep(maxJSONDepth + 1)); err != errJSON {
		t.Errorf("33 levels: %v", err)
	}
	if _, _, err := members(`{"a":` + strings.Repeat("[", 1<<20)); err != errJSON {
		t.Errorf("a million arrays: %v", err)
	}
	text := []byte(`{"a":[1,{"b":"c"}],"d":null}`)
	if n := testing.AllocsPerRun(10, func() { readObject(text, nil) }); n > 0 {
		t.Errorf("%v allocations for an object without escapes", n)
	}
}

func TestReadInteger(t *testing.T) {
	for text, want := range map[string]uint64{"0": 0, "1": 1, "10": 10, "9007199254740991": MaxPosition, "1772366400000000": 1772366400000000} {
		if got, ok := readInteger([]byte(text)); !ok || got != want {
			t.Errorf("%s: %d, %t", text, got, ok)
		}
	}
	for _, text := range []string{"", "00", "01", "-0", "-1", "+1", "1.0", "1e0", "9007199254740992", "99999999999999999", "18446744073709551616", " 1", "1 ", `"1"`, "null", "0x1"} {
		if got, ok := readInteger([]byte(text)); ok {
			t.Errorf("%q is %d", text, got)
		}
	}
}

// appendString and readString are each other's inverse, and encoding/json
// agrees.
func TestAppendString(t *testing.T) {
	for _, text := range []string{"", "a", `"\/`, "\x00\x01\x1f\x7f", "é😀\u2028\ufffd", "<&>", strings.Repeat("\n", 50)} {
		b := appendString(nil, text)
		if got, ok := readString(b); !ok || got != text {
			t.Errorf("%s reads as %q, %t", b, got, ok)
		}
		var again string
		if err := json.Unmarshal(b, &again); err != nil || again != text {
			t.Errorf("encoding/json reads %s as %q, %v", b, again, err)
		}
	}
}

var jsonSeeds = []string{
	`{}`, `{"a":1}`, `{"a":[1,2,{"b":null}],"c":"\u00e9\ud83d\ude00"}`, `{"a":1,"a":2}`, `{"a":"\ud800"}`, `{"a":-1.5e+10,"b":true,"c":false}`, ` { "a" : "\"\\\/\b\f\n\r\t" } `,
	`{"alg":"EdDSA","kid":"be1278d7-EdDSA","typ":"at+jwt"}`, "{\"a\":\"\xff\"}", `{"a":{"b":{"c":[[[]]]}}}`, `{"a":01}`, `[{}]`, `{"":""}`,
}

func TestFuzzSeedsOfJSON(t *testing.T) {
	read := 0
	for _, seed := range jsonSeeds {
		if agrees(t, []byte(seed)) {
			read++
		}
	}
	if read < 7 {
		t.Errorf("%d seeds are objects: want at least 7", read)
	}
}

// FuzzReadObject checks that encoding/json reads every accepted object alike.
func FuzzReadObject(f *testing.F) {
	for _, seed := range jsonSeeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { agrees(t, text) })
}

func agrees(t *testing.T, text []byte) bool {
	t.Helper()
	kept := bytes.Clone(text)
	got := map[string]json.RawMessage{}
	count := 0
	err := readObject(text, func(name, value, _ []byte) error {
		got[string(name)] = bytes.Clone(value)
		count++
		if want, ok := readString(value); ok {
			var again string
			if err := json.Unmarshal(value, &again); err != nil || again != want {
				t.Errorf("%s reads as %q, to encoding/json as %q, %v", value, want, again, err)
			}
		}
		if n, ok := readInteger(value); ok {
			var again uint64
			if err := json.Unmarshal(value, &again); err != nil || again != n {
				t.Errorf("%s reads as %d, to encoding/json as %d, %v", value, n, again, err)
			}
		}
		return nil
	})
	if !bytes.Equal(text, kept) {
		t.Fatal("the text was changed")
	}
	if err != nil {
		// A refused text is not JSON, or not strict: it is no object, or has a
		// duplicate name, half a surrogate pair, too many levels or too many
		// members. None of these is true of a plain object.
		var plain map[string]int
		if json.Unmarshal(text, &plain) == nil && plain != nil && len(plain) <= 1 && !bytes.ContainsAny(text, `\,`) && utf8.Valid(text) {
			t.Errorf("%q is refused", text)
		}
		return false
	}
	var want map[string]json.RawMessage
	d := json.NewDecoder(bytes.NewReader(text))
	if err := d.Decode(&want); err != nil || !utf8.Valid(text) || len(want) != count || len(got) != count {
		t.Fatalf("%q is read, to encoding/json it is %v, %v", text, want, err)
	}
	if _, err := d.Token(); err != io.EOF {
		t.Fatalf("%q is read, and has something behind it", text)
	}
	for name, value := range want {
		if string(got[name]) != string(value) {
			t.Fatalf("%q: member %q is %s, to encoding/json %s", text, name, got[name], value)
		}
	}
	return true
}
