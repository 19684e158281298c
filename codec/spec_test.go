package codec_test

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"encoding/gob"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

// A second implementation of the formats, written from docs/formats.md alone, in
// which the test chooses the nonce. It makes the vectors, so a mistake in both
// the library and the vectors would have to be made twice.

// specHKDF is HKDF-SHA256 (RFC 5869) without salt.
func specHKDF(secret []byte, info string, size int) []byte {
	return specExpand(specHMAC(make([]byte, 32), secret), info, size)
}

func specExpand(prk []byte, info string, size int) (out []byte) {
	var t []byte
	for i := byte(1); len(out) < size; i++ {
		t = specHMAC(prk, append(append(bytes.Clone(t), info...), i))
		out = append(out, t...)
	}
	return out[:size]
}

func specHMAC(key, message []byte) []byte {
	mac := hmac.New(sha256.New, key)
	mac.Write(message)
	return mac.Sum(nil)
}

// specXAES derives the AES-256-GCM key of a salt: steps 1 to 5 of the C2SP
// specification of XAES-256-GCM.
func specXAES(key, salt []byte) []byte {
	block, err := aes.NewCipher(key)
	if err != nil {
		panic(err)
	}
	k1 := make([]byte, 16)
	block.Encrypt(k1, k1)
	msb := k1[0] >> 7
	for i := range k1 {
		k1[i] <<= 1
		if i < 15 {
			k1[i] |= k1[i+1] >> 7
		}
	}
	k1[15] ^= msb * 0x87
	var derived []byte
	for counter := byte(1); counter <= 2; counter++ {
		m := append([]byte{0, counter, 'X', 0}, salt...)
		subtle.XORBytes(m, m, k1)
		block.Encrypt(m, m)
		derived = append(derived, m...)
	}
	return derived
}

// specGCM is AES-256-GCM with a chosen nonce. The standard library allows that
// except under GODEBUG=fips140=only.
func specGCM(key []byte) (cipher.AEAD, error) {
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCM(block)
}

// specKeyID is the id of a static secret.
func specKeyID(secret []byte) []byte { return specHKDF(secret, "wafer/1 key id", 4) }

// specSealed is the one format of cookies, values and commits.
type specSealed struct {
	secret      []byte
	purpose     string // wafer/1 cookie, wafer/1 value, wafer/1 commit
	realm, name string
	nonce       []byte // 24 bytes: salt and nonce
	plaintext   []byte
	id          []byte // nil means that of a static secret
	version     byte   // 0 means 1
}

func (s specSealed) head() []byte {
	id, version := s.id, s.version
	if id == nil {
		id = specKeyID(s.secret)
	}
	if version == 0 {
		version = 1
	}
	return append([]byte{version}, id...)
}

func (s specSealed) additional() []byte {
	return append(s.head(), s.realm+"\x00"+s.name...)
}

func (s specSealed) bytes(t testing.TB) []byte {
	t.Helper()
	gcm, err := specGCM(specXAES(specHKDF(s.secret, s.purpose, 32), s.nonce[:12]))
	if err != nil {
		t.Fatalf("vectors are made outside GODEBUG=fips140=only: %v", err)
	}
	return gcm.Seal(append(s.head(), s.nonce...), s.nonce[12:], s.plaintext, s.additional())
}

func (s specSealed) text(t testing.TB) string { return specText(s.bytes(t)) }

func specText(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// specHeader is the plaintext of a session cookie in front of its data.
func specHeader(s *codec.Session) []byte {
	var flags byte
	var more []byte
	if s.Bound {
		flags |= 1
	}
	if !s.Proved.IsZero() {
		flags |= 2
		more = append(more, specTime(s.Proved.UnixMilli())...)
	}
	for i, text := range []string{s.Actor.Text(), s.Methods.Text(), s.Level.Text()} {
		if text != "" {
			flags |= 4 << i
			more = append(append(more, byte(len(text))), text...)
		}
	}
	b := append([]byte{flags}, s.ID[:]...)
	b = binary.BigEndian.AppendUint64(b, s.Position)
	b = binary.BigEndian.AppendUint32(b, s.Generation)
	for _, ms := range []int64{s.Issued.UnixMilli(), s.Access.UnixMilli(), s.Idle.UnixMilli(), s.Absolute.UnixMilli(), s.Started.UnixMilli(), s.Authenticated.UnixMilli()} {
		b = append(b, specTime(ms)...)
	}
	b = append(append(b, byte(len(s.Subject.Text()))), s.Subject.Text()...)
	return append(b, more...)
}

func specTime(ms int64) []byte { return binary.BigEndian.AppendUint64(nil, uint64(ms))[2:] }

// specRefresh is a refresh token of a generation and a copy of it. instance is
// realm ‖ 0x00 ‖ session cookie.
func specRefresh(secret, id []byte, instance string, family codec.ID, generation, copied uint32) string {
	if id == nil {
		id = specKeyID(secret)
	}
	b := append(bytes.Clone(id), family[:]...)
	b = binary.BigEndian.AppendUint32(b, copied*0x100000+generation)
	tag := specHMAC(specHKDF(secret, "wafer/1 refresh", 32), []byte("wfr1_"+string(b)+instance))
	return "wfr1_" + specText(append(b, tag[:16]...))
}

// specFamily is the seal of a family.
func specFamily(secret, id []byte, instance string, f *codec.FamilyIdentity) []byte {
	if id == nil {
		id = specKeyID(secret)
	}
	tag := specHMAC(specHKDF(secret, "wafer/1 family", 32), append([]byte(string(id)+instance+"\x00"), specIdentity(f)...))
	return append(bytes.Clone(id), tag[:16]...)
}

// specIdentity is what a family seal authenticates.
func specIdentity(f *codec.FamilyIdentity) []byte {
	var b bytes.Buffer
	text := func(s string) {
		b.WriteByte(byte(len(s)))
		b.WriteString(s)
	}
	b.Write(f.ID[:])
	text(f.Subject)
	b.WriteByte(map[bool]byte{false: 0, true: 1}[f.Native])
	text(string(f.Key))
	var names []string
	for _, name := range f.Names {
		names = append(names, string(name[:]))
	}
	slices.Sort(names)
	b.WriteByte(byte(len(names)))
	b.WriteString(strings.Join(names, ""))
	text(f.Actor)
	b.WriteByte(byte(len(f.Methods)))
	for _, method := range f.Methods {
		text(method)
	}
	text(f.Level)
	for _, ms := range []int64{f.Started.UnixMilli(), f.Authenticated.UnixMilli(), int64(f.Idle / time.Millisecond), int64(f.Absolute / time.Millisecond)} {
		b.Write(specTime(ms))
	}
	return b.Bytes()
}

// specGorilla is what securecookie makes under these keys, at a time and with
// an initialization vector of the test's choice.
func specGorilla(t testing.TB, mac, encryption []byte, name string, seconds int64, iv, plaintext []byte) string {
	t.Helper()
	block, err := aes.NewCipher(encryption)
	fatal(t, err)
	ciphertext := make([]byte, len(plaintext))
	cipher.NewCTR(block, iv).XORKeyStream(ciphertext, plaintext)
	encoding := base64.URLEncoding
	signed := fmt.Sprintf("%d|%s", seconds, encoding.EncodeToString(append(bytes.Clone(iv), ciphertext...)))
	sum := specHMAC(mac, []byte(name+"|"+signed))
	return encoding.EncodeToString(append([]byte(signed+"|"), sum...))
}

func gobOf(t testing.TB, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	fatal(t, gob.NewEncoder(&b).Encode(v))
	return b.Bytes()
}

func specDecode(text string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(text) }
