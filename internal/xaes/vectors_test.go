package xaes

import (
	"bytes"
	"crypto/sha3"
	"encoding/hex"
	"testing"
)

// The vectors of https://c2sp.org/XAES-256-GCM. The nonce is
// ABCDEFGHIJKLMNOPQRSTUVWX, the plaintext XAES-256-GCM.
var published = []struct {
	name, additional, sealed string
	key                      byte
}{
	{"most significant bit of L is 0", "", "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271", 0x01},
	{"most significant bit of L is 1", "c2sp.org/XAES-256-GCM", "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d", 0x03},
}

func TestPublishedVectors(t *testing.T) {
	const nonce, plaintext = "ABCDEFGHIJKLMNOPQRSTUVWX", "XAES-256-GCM"
	for _, v := range published {
		t.Run(v.name, func(t *testing.T) {
			key := bytes.Repeat([]byte{v.key}, KeySize)
			sealed, _ := hex.DecodeString(v.sealed)
			got, err := newAEAD(t, key).Open(append([]byte(nonce), sealed...), []byte(v.additional))
			if err != nil || string(got) != plaintext {
				t.Errorf("Open = %q, %v: want %q", got, err, plaintext)
			}
			if got := (reference{key}).seal([]byte(nonce), []byte(plaintext), []byte(v.additional)); !bytes.Equal(got, sealed) {
				t.Errorf("the reference seals %x: want %x", got, sealed)
			}
		})
	}
}

// TestAccumulatedVectors runs the 10,000 messages of the specification: their
// inputs come from one SHAKE-128, and their ciphertexts go into another.
func TestAccumulatedVectors(t *testing.T) {
	const want = "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"
	source, sink := sha3.NewSHAKE128(), sha3.NewSHAKE128()
	take := func(n int) []byte {
		b := make([]byte, n)
		source.Read(b)
		return b
	}
	for i := range 10_000 {
		key, nonce := take(KeySize), take(SaltSize+NonceSize)
		plaintext := take(int(take(1)[0]))
		additional := take(int(take(1)[0]))

		sealed := reference{key}.seal(nonce, plaintext, additional)
		sink.Write(sealed)
		got, err := newAEAD(t, key).Open(append(nonce, sealed...), additional)
		if err != nil || !bytes.Equal(got, plaintext) {
			t.Fatalf("message %d does not open: %v", i, err)
		}
	}
	sum := make([]byte, 32)
	sink.Read(sum)
	if got := hex.EncodeToString(sum); got != want {
		t.Errorf("accumulated %s: want %s", got, want)
	}
}
