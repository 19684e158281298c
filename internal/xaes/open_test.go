package xaes

import (
	"bytes"
	"slices"
	"testing"
)

func TestSealedOpensByTheReferenceAndTheReverse(t *testing.T) {
	key := randomBytes(KeySize)
	a, r := newAEAD(t, key), reference{key}
	for n := range 300 {
		plaintext, additional := randomBytes(n), randomBytes(n/3)
		sealed, err := a.Seal([]byte("kept"), plaintext, additional)
		if err != nil || string(sealed[:4]) != "kept" || len(sealed) != 4+Overhead+n {
			t.Fatalf("Seal = %d bytes, %v", len(sealed), err)
		}
		sealed = sealed[4:]
		if got, err := r.open(sealed[:24], sealed[24:], additional); err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("the reference does not open what Seal made of %d bytes: %v", n, err)
		}
		nonce := randomBytes(SaltSize + NonceSize)
		got, err := a.Open(append(nonce, r.seal(nonce, plaintext, additional)...), additional)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("Open refuses what the reference made of %d bytes: %v", n, err)
		}
	}
}

// cachedAndNot returns two openers of one key: one that has cached the salt of
// sealed, and a new one.
func cachedAndNot(t *testing.T, key, sealed, additional []byte) map[string]*AEAD {
	t.Helper()
	cached := newAEAD(t, key)
	if _, err := cached.Open(slices.Clone(sealed), additional); err != nil {
		t.Fatal(err)
	}
	return map[string]*AEAD{"cached": cached, "fresh": newAEAD(t, key)}
}

func TestEveryBitAndByteCounts(t *testing.T) {
	key, plaintext, additional := randomBytes(KeySize), []byte("some plaintext"), []byte("some context")
	sealed, _ := newAEAD(t, key).Seal(nil, plaintext, additional)
	for name, a := range cachedAndNot(t, key, sealed, additional) {
		t.Run(name, func(t *testing.T) {
			refused := func(what string, sealed, additional []byte) {
				t.Helper()
				if got, err := a.Open(sealed, additional); err != ErrOpen || got != nil {
					t.Errorf("%s: Open = %q, %v: want ErrOpen", what, got, err)
				}
			}
			for i := range len(sealed) * 8 {
				b := slices.Clone(sealed)
				b[i/8] ^= 1 << (i % 8)
				refused("a flipped bit", b, additional)
			}
			for i := range len(additional) * 8 {
				b := slices.Clone(additional)
				b[i/8] ^= 1 << (i % 8)
				refused("a flipped bit of the additional data", slices.Clone(sealed), b)
			}
			for n := range sealed {
				refused("cut", slices.Clone(sealed[:n]), additional)
			}
			refused("extended", append(slices.Clone(sealed), 0), additional)
			refused("without additional data", slices.Clone(sealed), nil)
			refused("nil", nil, nil)
			if got, err := a.Open(slices.Clone(sealed), additional); err != nil || !bytes.Equal(got, plaintext) {
				t.Errorf("the original opens no more: %v", err)
			}
		})
	}
}

func TestOpenWorksInPlaceAndNowhereElse(t *testing.T) {
	key, additional := randomBytes(KeySize), []byte("context")
	plaintext := []byte("fifteen bytes..")
	sealed, _ := newAEAD(t, key).Seal(nil, plaintext, additional)
	for name, a := range cachedAndNot(t, key, sealed, additional) {
		t.Run(name, func(t *testing.T) {
			room := append(slices.Clone(sealed), "behind it"...)
			got, err := a.Open(room[:len(sealed)], additional)
			if err != nil || !bytes.Equal(got, plaintext) {
				t.Fatalf("Open = %q, %v", got, err)
			}
			if &got[0] != &room[SaltSize] {
				t.Error("the plaintext is not in place")
			}
			if string(room[len(sealed):]) != "behind it" {
				t.Error("Open wrote behind what it was given")
			}
		})
	}
}

func TestFailedOpenLeavesNoPlaintext(t *testing.T) {
	key, plaintext := randomBytes(KeySize), []byte("nobody may see this before it is proven")
	sealed, _ := newAEAD(t, key).Seal(nil, plaintext, nil)
	for name, a := range cachedAndNot(t, key, sealed, nil) {
		b := slices.Clone(sealed)
		b[len(b)-1] ^= 1
		if _, err := a.Open(b, nil); err == nil || bytes.Contains(b, plaintext[:8]) {
			t.Errorf("%s: err %v; the buffer holds plaintext: %t", name, err, bytes.Contains(b, plaintext[:8]))
		}
	}
}

func TestNewRefusesOtherKeySizes(t *testing.T) {
	for _, n := range []int{0, 16, 24, 31, 33, 64} {
		if _, err := New(make([]byte, n)); err == nil {
			t.Errorf("New accepts a key of %d bytes", n)
		}
	}
}

func TestNewKeepsNoReferenceToTheKey(t *testing.T) {
	key := randomBytes(KeySize)
	a := newAEAD(t, key)
	kept := slices.Clone(key)
	clear(key)
	sealed, _ := a.Seal(nil, []byte("x"), nil)
	if _, err := newAEAD(t, kept).Open(sealed, nil); err != nil {
		t.Error("clearing the caller's key changed the AEAD")
	}
}
