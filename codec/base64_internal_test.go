package codec

import (
	"bytes"
	"encoding/base64"
	"math/rand/v2"
	"strings"
	"testing"
)

// standardDecode is the reference for decode: the standard library's strict
// decoder, which is not given the line breaks that it would skip.
func standardDecode(s string) ([]byte, bool) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(s)
	return b, err == nil && !strings.ContainsAny(s, "\r\n")
}

func checkDecode(t *testing.T, s string) (decodes bool) {
	t.Helper()
	want, ok := standardDecode(s)
	got, err := decode(s, 3)
	if (err == nil) != ok || ok && !bytes.Equal(got, want) {
		t.Fatalf("decode(%q) = %x, %v: the standard library says %x, %t", s, got, err, want, ok)
	}
	if ok && (base64.RawURLEncoding.EncodeToString(got) != s || cap(got) < len(got)+3) {
		t.Fatalf("decode(%q) = %x with room for %d", s, got, cap(got)-len(got))
	}
	return ok
}

// Every byte at every place of texts of every length up to five iterations of the
// loop: decode accepts the same texts as the standard library.
func TestDecodeIsTheStandardStrictDecoder(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	taken, refused := 0, 0
	for n := range 34 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(random.Uint32())
		}
		text := []byte(base64.RawURLEncoding.EncodeToString(b))
		for at := range text {
			was := text[at]
			for c := range 256 {
				text[at] = byte(c)
				if checkDecode(t, string(text)) {
					taken++
				} else {
					refused++
				}
			}
			text[at] = was
			checkDecode(t, string(text[:at])) // also of a length that no encoding has
		}
	}
	if taken < 30000 || refused < 30000 {
		t.Errorf("%d texts were taken and %d refused: the test looks at one kind", taken, refused)
	}
}

func FuzzDecode(f *testing.F) {
	for _, s := range []string{"", "A", "AA", "AB", "AAA", "AAB", "AAAA", "AAAAAAAA", "AAAAAAAAAAA", "____-_-_", "AA==", "AA\n", "AA\r\nAA", "AAAA AAAA", "AAA\xff", "AAAAAAAA\x80AAAAAAA", strings.Repeat("zZ9-", 90)} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) { checkDecode(t, s) })
}
