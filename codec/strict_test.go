package codec_test

import (
	"encoding/base64"
	"errors"
	"strings"
	"testing"

	"github.com/waferkit/wafer/codec"
)

// A value has one text: any other text that decodes leniently to the same bytes
// is refused. Texts of every length modulo 4 and 3 are tried.
func TestOneTextForOneValue(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, k := range kinds() {
		if k.format == "commit" {
			continue // it has no text
		}
		t.Run(k.format, func(t *testing.T) {
			b := k.bind(t, ring, realm, name)
			for n := range 4 {
				sealed := b.seal(strings.Repeat("x", n))
				for what, text := range respellings(sealed) {
					if _, err := b.open(text); err == nil {
						t.Errorf("%s is accepted for %d bytes", what, n)
					} else if !errors.Is(err, codec.ErrEncoding) && !errors.Is(err, codec.ErrLength) {
						t.Errorf("%s: %v: want ErrEncoding or ErrLength", what, err)
					}
				}
			}
		})
	}
}

// respellings returns other texts that a lenient decoder could decode to the same
// bytes.
func respellings(sealed string) map[string]string {
	all := map[string]string{
		"padded once":     sealed + "=",
		"padded twice":    sealed + "==",
		"padded to four":  sealed + strings.Repeat("=", (4-len(sealed)%4)%4+4),
		"unpadded":        strings.TrimRight(sealed, "=") + " ",
		"quoted":          `"` + sealed + `"`,
		"space in front":  " " + sealed,
		"space behind":    sealed + " ",
		"NUL behind":      sealed + "\x00",
		"percent in head": "%" + "41" + sealed,
		"percent":         sealed[:20] + "%2D" + sealed[20:],
	}
	if trimmed := strings.TrimRight(sealed, "="); trimmed != sealed {
		all["padding dropped"] = trimmed
	}
	if std := strings.NewReplacer("-", "+", "_", "/").Replace(sealed); std != sealed && !strings.HasPrefix(sealed, codec.RefreshPrefix) {
		all["standard alphabet"] = std
	}
	for _, line := range []string{"\n", "\r", "\r\n", "\n\n", "\n\n\n", "\n\n\n\n"} {
		for at := range len(sealed) + 1 {
			all["line break"+strings.Repeat("'", at)+line] = sealed[:at] + line + sealed[at:]
		}
	}
	// Trailing bits: the last character has 2 or 4 bits that belong to no byte.
	body := strings.TrimRight(sealed, "=")
	padding := sealed[len(body):]
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	i := strings.IndexByte(alphabet, body[len(body)-1])
	for bits := 1; bits < 16; bits++ {
		last := alphabet[i^bits]
		if other := body[:len(body)-1] + string(last) + padding; lenient(other) == lenient(sealed) {
			all["trailing bits "+string(last)] = other
		}
	}
	return all
}

// lenient decodes and ignores trailing bits.
func lenient(text string) string {
	text = strings.TrimRight(text, "=")
	text = strings.TrimPrefix(text, codec.RefreshPrefix)
	if parts := strings.Split(text, "."); len(parts) == 3 {
		text = parts[2]
	}
	if _, after, found := strings.Cut(text, "."); found {
		text = after
	}
	b, _ := base64.RawURLEncoding.DecodeString(text)
	return string(b)
}

func TestCutAndExtendedInputs(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, k := range kinds() {
		t.Run(k.format, func(t *testing.T) {
			b := k.bind(t, ring, realm, name)
			sealed := b.seal("data of a session")
			for n := range sealed {
				if _, err := b.open(sealed[:n]); err == nil {
					t.Fatalf("the first %d of %d bytes open", n, len(sealed))
				}
				if _, err := b.open(sealed[n+1:]); err == nil {
					t.Fatalf("all but the first %d bytes open", n+1)
				}
			}
			for _, more := range []string{"A", "AA", "AAA", "AAAA", "\x00", sealed} {
				if _, err := b.open(sealed + more); err == nil {
					t.Errorf("extended by %d bytes it opens", len(more))
				}
			}
		})
	}
}

// Length is refused before anything is decoded or allocated.
func TestPromise8_LengthIsBounded(t *testing.T) {
	ring := staticRing(t, secret(1))
	for _, k := range kinds() {
		t.Run(k.format, func(t *testing.T) {
			b := k.bind(t, ring, realm, name)
			if _, err := b.open(""); !errors.Is(err, codec.ErrLength) {
				t.Errorf("empty: %v: want ErrLength", err)
			}
			for what, char := range map[string]string{"letters": "A", "invalid characters": "!", "line breaks": "\n"} {
				huge := strings.Repeat(char, 1<<20)
				open := b.open
				if k.format == "commit" {
					// The other bindings take strings; do not count the copy that a
					// slice of bytes costs here.
					commits, family, bytes := newCommits(t, ring, instance), idOf("f"), []byte(huge)
					open = func(string) (string, error) {
						_, err := commits.Open(ctx, now, family, bytes)
						return "", err
					}
				}
				if _, err := open(huge); !errors.Is(err, codec.ErrLength) {
					t.Errorf("1 MB of %s: %v: want ErrLength", what, err)
				}
				if n := testing.AllocsPerRun(10, func() { open(huge) }); n > 3 {
					t.Errorf("1 MB of %s costs %v allocations", what, n)
				}
			}
		})
	}
}

// The longest input that is decoded, and one byte more.
func TestLengthLimitsAreExact(t *testing.T) {
	ring := staticRing(t, secret(1))
	at := func(open func(string) error, limit int) {
		t.Helper()
		if err := open(strings.Repeat("A", limit)); errors.Is(err, codec.ErrLength) || err == nil {
			t.Errorf("%d bytes: %v: want another refusal than ErrLength", limit, err)
		}
		if err := open(strings.Repeat("A", limit+1)); !errors.Is(err, codec.ErrLength) {
			t.Errorf("%d bytes: %v: want ErrLength", limit+1, err)
		}
	}
	limits := map[string]int{"cookie": codec.MaxSealed, "value": codec.MaxSealed, "gorilla": codec.MaxSealed, "commit": codec.MaxCommitSealed, "refresh": codec.RefreshSize, "access": codec.MaxAccessToken}
	for _, k := range kinds() {
		b := k.bind(t, ring, realm, name)
		at(func(s string) error { _, err := b.open(s); return err }, limits[k.format])
	}
}

// The shortest input of each sealed format is that of an empty text.
func TestShortestSealedInput(t *testing.T) {
	ring := staticRing(t, secret(1))
	commits := newCommits(t, ring, instance)
	sealed, err := commits.Seal(now, codec.ID{}, nil)
	fatal(t, err)
	if len(sealed) != codec.Overhead || codec.Overhead != 45 {
		t.Fatalf("sealing nothing makes %d bytes, Overhead is %d: want 45", len(sealed), codec.Overhead)
	}
	if _, err := commits.Open(ctx, now, codec.ID{}, sealed[:44]); err != codec.ErrLength {
		t.Errorf("44 bytes: %v: want ErrLength", err)
	}
	if b, err := commits.Open(ctx, now, codec.ID{}, sealed); err != nil || len(b) != 0 {
		t.Errorf("Open = %q, %v", b, err)
	}
}
