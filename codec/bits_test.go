package codec_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// A change of any bit is detected, both of the text and of the bytes that it
// encodes.
func TestPromise2_EveryBitOfEveryFormat(t *testing.T) {
	ring := staticRing(t, secret(1), secret(2))
	for _, k := range kinds() {
		t.Run(k.format, func(t *testing.T) {
			b := k.bind(t, ring, realm, name)
			sealed := b.seal("data of a session")
			for _, form := range forms(k.format, sealed) {
				for i := range len(form.bytes) * 8 {
					flipped := []byte(form.bytes)
					flipped[i/8] ^= 1 << (i % 8)
					got, err := b.open(form.write(string(flipped)))
					if err == nil {
						t.Fatalf("%s with bit %d of byte %d flipped opens: %q", form.name, i%8, i/8, got)
					}
					if form.class != nil {
						if want := form.class(i / 8); !errors.Is(err, want) {
							t.Fatalf("%s with bit %d of byte %d flipped: %v: want %v", form.name, i%8, i/8, err, want)
						}
					}
				}
				if _, err := b.open(form.write(form.bytes)); err != nil {
					t.Fatalf("%s, unchanged: %v", form.name, err)
				}
			}
		})
	}
}

// form is a form of a sealed input: as text, or as bytes.
type form struct {
	name, bytes string
	write       func(bytes string) string
	class       func(i int) error // of a flip in byte i; nil: any
}

func forms(format, sealed string) []form {
	same := func(s string) string { return s }
	raw := base64.RawURLEncoding
	bytesOf := func(text string) string {
		b, err := raw.DecodeString(text)
		if err != nil {
			panic(err)
		}
		return string(b)
	}
	travels := form{"the text", sealed, same, nil}
	switch format {
	case "cookie", "value":
		return []form{travels, {"the bytes", bytesOf(sealed), func(b string) string { return raw.EncodeToString([]byte(b)) }, sealedClass}}
	case "commit":
		return []form{{"the bytes", sealed, same, sealedClass}}
	case "refresh":
		return []form{travels, {"the bytes", bytesOf(strings.TrimPrefix(sealed, codec.RefreshPrefix)),
			func(b string) string { return codec.RefreshPrefix + raw.EncodeToString([]byte(b)) },
			func(i int) error {
				if i < 4 {
					return keyring.ErrUnknown
				}
				return codec.ErrForged
			}}}
	case "access":
		// A change of the signature has one class. That of a change of the
		// header depends on the bit.
		body, signature, _ := cutLast(sealed, ".")
		return []form{travels, {"the signature", bytesOf(signature),
			func(b string) string { return body + "." + raw.EncodeToString([]byte(b)) },
			func(int) error { return codec.ErrForged }}}
	case "gorilla":
		id, text, _ := strings.Cut(sealed, ".")
		b, err := base64.URLEncoding.DecodeString(text)
		if err != nil {
			panic(err)
		}
		return []form{travels, {"the bytes", string(b),
			func(b string) string { return id + "." + base64.URLEncoding.EncodeToString([]byte(b)) },
			func(int) error { return codec.ErrForged }}}
	}
	panic(format)
}

// cutLast is strings.Cut at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	i := strings.LastIndex(text, separator)
	if i < 0 {
		return text, "", false
	}
	return text[:i], text[i+len(separator):], true
}

// sealedClass returns the class of failure for a flip in byte i of a sealed
// format.
func sealedClass(i int) error {
	switch {
	case i == 0:
		return codec.ErrVersion
	case i < 5:
		return keyring.ErrUnknown
	}
	return codec.ErrForged
}

// A message with the id of another accepted key is not authentic, because only
// the named key is tried.
func TestPromise2_OnlyTheNamedKeyIsTried(t *testing.T) {
	other := staticRing(t, secret(2)).Set().Keys()[0].ID()
	ring := staticRing(t, secret(1), secret(2))
	at := map[string]int{"cookie": 1, "value": 1, "commit": 1, "refresh": 0}
	for _, k := range kinds() {
		b := k.bind(t, ring, realm, name)
		sealed := b.seal("text")
		if k.format == "access" {
			header, rest, _ := strings.Cut(sealed, ".")
			b, err := base64.RawURLEncoding.DecodeString(header)
			fatal(t, err)
			own := staticRing(t, secret(1)).Set().Keys()[0].ID()
			sealed = base64.RawURLEncoding.EncodeToString([]byte(strings.Replace(string(b), own.String(), other.String(), 1))) + "." + rest
		} else if k.format == "gorilla" {
			sealed = other.String() + sealed[8:]
		} else {
			all := forms(k.format, sealed)
			form := all[len(all)-1]
			changed := []byte(form.bytes)
			copy(changed[at[k.format]:], other[:])
			sealed = form.write(string(changed))
		}
		if _, err := b.open(sealed); !errors.Is(err, codec.ErrForged) {
			t.Errorf("%s under another key's id: %v: want ErrForged", k.format, err)
		}
	}
}
