package codec_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/waferkit/wafer/codec"
)

func TestRefreshTokenRoundTrip(t *testing.T) {
	refresh := newRefreshTokens(t, staticRing(t, secret(1)), instance)
	seen := map[string]bool{}
	for _, want := range []codec.RefreshToken{
		{Generation: 1},
		{Family: codec.ID{1, 2, 3}, Generation: 77},
		{Family: idOf("f"), Generation: 77, Copy: 1},
		{Family: idOf("f"), Generation: codec.MaxGeneration},
		{Family: idOf("f"), Generation: 1, Copy: codec.MaxCopy},
		{Family: idOf("f"), Generation: codec.MaxGeneration, Copy: codec.MaxCopy},
	} {
		token, err := refresh.Mint(now, want)
		fatal(t, err)
		if len(token) != codec.RefreshSize || codec.RefreshSize != 59 || !strings.HasPrefix(token, "wfr1_") {
			t.Errorf("%q has %d bytes: want wfr1_ and 59", token, len(token))
		}
		if got, err := refresh.Parse(ctx, now, token); err != nil || got != want {
			t.Errorf("Parse = %+v, %v: want %+v", got, err, want)
		}
		if again, _ := refresh.Mint(now, want); again != token {
			t.Error("a copy of a generation has two tokens")
		}
		if seen[token] {
			t.Errorf("%+v has the token of another", want)
		}
		seen[token] = true
	}
	for _, bad := range []codec.RefreshToken{{}, {Copy: 1}, {Generation: codec.MaxGeneration + 1}, {Generation: 1, Copy: codec.MaxCopy + 1}} {
		if token, err := refresh.Mint(now, bad); err == nil || token != "" {
			t.Errorf("Mint(%+v) = %q, %v: want an error", bad, token, err)
		}
	}
}

// The whole tag is checked: a prefix of it is not enough.
func TestPromise2_EveryByteOfARefreshTokensTag(t *testing.T) {
	refresh := newRefreshTokens(t, staticRing(t, secret(1)), instance)
	token, err := refresh.Mint(now, codec.RefreshToken{Generation: 1})
	fatal(t, err)
	form := forms("refresh", token)[1]
	for i := 24; i < 40; i++ {
		b := []byte(form.bytes)
		b[i]++
		if _, err := refresh.Parse(ctx, now, form.write(string(b))); !errors.Is(err, codec.ErrForged) {
			t.Errorf("byte %d of the tag changed: %v: want ErrForged", i-24, err)
		}
	}
}

func TestRefreshTokensPrefix(t *testing.T) {
	refresh := newRefreshTokens(t, staticRing(t, secret(1)), instance)
	token, err := refresh.Mint(now, codec.RefreshToken{Generation: 1})
	fatal(t, err)
	for _, prefix := range []string{"wfr2_", "WFR1_", "wfr1-", "wfr1.", "     ", "\x00\x00\x00\x00\x00"} {
		if _, err := refresh.Parse(ctx, now, prefix+token[5:]); err != codec.ErrEncoding {
			t.Errorf("prefix %q: %v: want ErrEncoding", prefix, err)
		}
		if refresh.Names(prefix+token[5:], codec.ID{}) {
			t.Errorf("prefix %q: Names is true", prefix)
		}
	}
}

func TestNamesNeedsNoAuthenticity(t *testing.T) {
	refresh := newRefreshTokens(t, staticRing(t, secret(1)), instance)
	family := idOf("f")
	token, err := refresh.Mint(now, codec.RefreshToken{Family: family, Generation: 1})
	fatal(t, err)
	if !refresh.Names(token, family) {
		t.Error("its own family is not named")
	}
	for i := range 128 {
		other := family
		other[i/8] ^= 1 << (i % 8)
		if refresh.Names(token, other) {
			t.Fatalf("a family that differs in bit %d is named", i)
		}
	}
	foreign, err := newRefreshTokens(t, staticRing(t, secret(2)), instance).Mint(now, codec.RefreshToken{Family: family, Generation: 9})
	fatal(t, err)
	if !refresh.Names(foreign, family) {
		t.Error("a token of another ring names its family all the same")
	}
	for what, text := range respellings(token) {
		if refresh.Names(text, family) {
			t.Errorf("%s: Names is true", what)
		}
	}
	for _, text := range []string{"", "wfr1_", token[:58], token + "A", token[:57] + "\n\n", token[:5] + "\r\n" + token[5:57], strings.Repeat("A", 1<<20), "wfr1_" + strings.Repeat("\n", 54), "wfr1_" + strings.Repeat("!", 54)} {
		if refresh.Names(text, codec.ID{}) || refresh.Names(text, family) {
			t.Errorf("Names is true for %d bytes of junk", len(text))
		}
	}
	if n := testing.AllocsPerRun(100, func() { refresh.Names(token, family) }); n > 0 {
		t.Errorf("Names costs %v allocations", n)
	}
}
