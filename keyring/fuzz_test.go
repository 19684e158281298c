package keyring

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"
)

// The seeds of the fuzz tests. They are in the code so that they cannot get
// lost. TestFuzzSeeds checks that there are seeds of both kinds.

func fileSeeds() []string {
	return []string{
		"wafer/1 keyring\n1\nAAAA\n",
		"wafer/1 keyring\n18446744073709551615\n" + base64.StdEncoding.EncodeToString([]byte("sealed")) + "\n",
		"wafer/1 keyring\n7\n\n",
		"wafer/1 keyring\n0\nAAAA\n",
		"wafer/1 keyring\n01\nAAAA\n",
		"wafer/1 keyring\r\n1\r\nAAAA\r\n",
		"wafer/1 keyring\n1\nAAB=\n",
		"wafer/1 keyring\n1\nAA\rAA\n",
		"wafer/1 keyring\n1\nAAAA",
		"",
	}
}

func setSeeds(t testing.TB) []string {
	good := string(must(marshalSet(releasedSet(t)))(t))
	return []string{
		good,
		string(must(marshalSet(handMade(t, Schedule{}, keySpec{id: 1})))(t)),
		good + " ",
		strings.Replace(good, "00000002", "00000001", 1),
		strings.Replace(good, `"by hand"`, `"\ufffd"`, 1),
		strings.Replace(good, "[{", "[null,{", 1),
		"{}",
		"",
	}
}

func idSeeds() []string {
	return []string{"00000000", "deadbeef", "DEADBEEF", "deadbee", "deadbeef0", "deadbeeg", ""}
}

func secretSeeds() []string {
	return append([]string{
		"", "=", "====", strings.Repeat("A", 43), strings.Repeat("A", 64), strings.Repeat("0", 64), strings.Repeat("_", 42) + "8",
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh9=", "AAECAwQF\nBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=",
	}, staticSecrets...)
}

func TestFuzzSeeds(t *testing.T) {
	for name, c := range map[string]struct {
		seeds  []string
		accept func(string) bool
	}{
		"FuzzParseFile": {fileSeeds(), func(s string) bool { _, _, err := parseFile([]byte(s)); return err == nil }},
		"FuzzParseSet":  {setSeeds(t), func(s string) bool { _, err := parseSet([]byte(s)); return err == nil }},
		"FuzzParseID":   {idSeeds(), func(s string) bool { _, err := ParseID(s); return err == nil }},
		"FuzzDecodeSecret": {secretSeeds(), func(s string) bool {
			_, err := decodeSecret(s)
			return err == nil
		}},
	} {
		accepted := 0
		for _, seed := range c.seeds {
			if c.accept(seed) {
				accepted++
			}
		}
		if accepted < 2 || len(c.seeds)-accepted < 2 {
			t.Errorf("%s: %d of %d seeds are accepted: want at least two of each kind", name, accepted, len(c.seeds))
		}
	}
}

func FuzzParseFile(f *testing.F) {
	for _, seed := range fileSeeds() {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		version, sealed, err := parseFile(b)
		if err != nil {
			return
		}
		if version == 0 {
			t.Fatal("version 0 means absent")
		}
		if again := formatFile(version, sealed); !bytes.Equal(again, b) {
			t.Fatalf("%q came back as %q", b, again)
		}
	})
}

func FuzzParseSet(f *testing.F) {
	for _, seed := range setSeeds(f) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := parseSet(b)
		if err != nil {
			if s != nil {
				t.Fatal("a set with an error")
			}
			return
		}
		if again := must(marshalSet(s))(t); !bytes.Equal(again, b) {
			t.Fatalf("%q came back as %q", b, again)
		}
		// The rules must hold for any document that parses.
		now := epoch
		for _, change := range []func() (*Set, error){
			func() (*Set, error) { return s.rotate(now, 0) },
			func() (*Set, error) { return s.revoke(now, "fuzz", func(*Key) bool { return true }) },
			func() (*Set, error) { return s.prune(now) },
		} {
			if c, err := change(); err == nil {
				c.Primary(now)
			}
		}
	})
}

func FuzzParseID(f *testing.F) {
	for _, seed := range idSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		id, err := ParseID(text)
		if err == nil && id.String() != text {
			t.Fatalf("%q came back as %q", text, id)
		}
		if err != nil && id != (ID{}) {
			t.Fatalf("%q: an id with an error", text)
		}
	})
}

func FuzzDecodeSecret(f *testing.F) {
	for _, seed := range secretSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		b, err := decodeSecret(text)
		if err != nil {
			if b != nil {
				t.Fatal("bytes with an error")
			}
			if len(text) > 8 && strings.Contains(err.Error(), text) {
				t.Fatal("the error quotes the text")
			}
			return
		}
		if len(b) != SecretSize {
			t.Fatalf("%d bytes", len(b))
		}
		for _, form := range []string{base64.StdEncoding.EncodeToString(b), base64.RawURLEncoding.EncodeToString(b), hex.EncodeToString(b)} {
			if again := must(decodeSecret(form))(t); !bytes.Equal(again, b) {
				t.Fatalf("%q is another secret", form)
			}
		}
	})
}
