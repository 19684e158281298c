package codec_test

import (
	"crypto/aes"
	"crypto/cipher"
	"encoding/base64"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

// benchData is typical application data: some 100 bytes.
var benchData = []byte("\xa4\x64name\x70Anna Livia Plura\x65theme\x64dark\x65roles\x82\x65admin\x66editor\x66basket\xa2\x64pear\x02\x64plum\x18\x2a and some more bytes")

// BenchmarkCookieOpen compares with the floor: base64 and one AES-256-GCM open
// of the same bytes, by the standard library alone.
func BenchmarkCookieOpen(b *testing.B) {
	cookies := newCookies(b, staticRing(b, secret(1)), realm, name)
	sealed, err := cookies.Seal(now, session("anna@shop.example"), benchData)
	fatal(b, err)
	b.Run("wafer", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, _, err := cookies.Open(ctx, now, sealed); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("floor", func(b *testing.B) {
		block, err := aes.NewCipher(make([]byte, 32))
		fatal(b, err)
		gcm, err := cipher.NewGCM(block)
		if err != nil {
			b.Skip(err)
		}
		raw, err := base64.RawURLEncoding.DecodeString(sealed)
		fatal(b, err)
		additional := []byte("\x01\x00\x00\x00\x00" + realm + "\x00" + name)
		nonce, plaintext := raw[17:29], raw[29:len(raw)-16]
		text := base64.RawURLEncoding.EncodeToString(append(append([]byte(nil), raw[:29]...), gcm.Seal(nil, nonce, plaintext, additional)...))
		b.ReportAllocs()
		for b.Loop() {
			raw, err := base64.RawURLEncoding.DecodeString(text)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := gcm.Open(raw[29:29], raw[17:29], raw[29:], additional); err != nil {
				b.Fatal(err)
			}
		}
	})
}

func BenchmarkCookieSeal(b *testing.B) {
	cookies, s := newCookies(b, staticRing(b, secret(1)), realm, name), session("anna@shop.example")
	b.ReportAllocs()
	for b.Loop() {
		if _, err := cookies.Seal(now, s, benchData); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkCookieOpenForged(b *testing.B) {
	cookies := newCookies(b, staticRing(b, secret(1)), realm, name)
	sealed, err := newCookies(b, staticRing(b, secret(1)), "other", name).Seal(now, session("anna@shop.example"), benchData)
	fatal(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := cookies.Open(ctx, now, sealed); err == nil {
			b.Fatal("a forged cookie opens")
		}
	}
}

func BenchmarkValueOpen(b *testing.B) {
	values := newValues(b, staticRing(b, secret(1)), codec.ValuesConfig{Realm: realm, Lifetime: time.Hour, Now: func() time.Time { return now }})
	sealed, err := values.Seal(name, benchData)
	fatal(b, err)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := values.Open(ctx, name, sealed); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGorillaDecode(b *testing.B) {
	g := newGorilla(b, staticRing(b, secret(1)), realm)
	sealed, err := g.Encode(name, string(benchData))
	fatal(b, err)
	b.ReportAllocs()
	for b.Loop() {
		var text string
		if err := g.Decode(name, sealed, &text); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRefreshTokens(b *testing.B) {
	refresh := newRefreshTokens(b, staticRing(b, secret(1)), instance)
	family := idOf("f")
	token, err := refresh.Mint(now, codec.RefreshToken{Family: family, Generation: 1})
	fatal(b, err)
	b.Run("Mint", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			refresh.Mint(now, codec.RefreshToken{Family: family, Generation: 1})
		}
	})
	b.Run("Parse", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := refresh.Parse(ctx, now, token); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("Names", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if !refresh.Names(token, family) {
				b.Fatal("not named")
			}
		}
	})
}

// TestOpeningACookieAllocatesLittle allows two allocations: the decoded bytes and
// the subject.
func TestOpeningACookieAllocatesLittle(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	sealed, err := cookies.Seal(now, session("anna@shop.example"), benchData)
	fatal(t, err)
	if n := testing.AllocsPerRun(100, func() { cookies.Open(ctx, now, sealed) }); n > 3 {
		t.Errorf("%v allocations: want at most 3", n)
	}
}
