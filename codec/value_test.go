package codec_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

func TestValueEndsWithItsLifetime(t *testing.T) {
	ring := staticRing(t, secret(1))
	at := func(lifetime, after time.Duration) *codec.Values {
		return newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: lifetime, Now: func() time.Time { return now.Add(after) }})
	}
	sealed, err := at(10*time.Minute, 0).Seal("pending", []byte("x"))
	fatal(t, err)
	for _, c := range []struct {
		what            string
		lifetime, after time.Duration
		want            error
	}{
		{"at once", 10 * time.Minute, 0, nil},
		{"in the last millisecond", 10 * time.Minute, 10*time.Minute - time.Millisecond, nil},
		{"at the end", 10 * time.Minute, 10 * time.Minute, codec.ErrExpired},
		{"long after", 10 * time.Minute, 10000 * time.Hour, codec.ErrExpired},
		{"configured lifetime shortened, within", time.Minute, time.Minute - time.Millisecond, nil},
		{"configured lifetime shortened, after", time.Minute, time.Minute, codec.ErrExpired},
		{"configured lifetime extended: the sealed one counts", time.Hour, 10 * time.Minute, codec.ErrExpired},
		{"by a clock that is behind", 10 * time.Minute, -5 * time.Second, nil},
	} {
		if got, err := at(c.lifetime, c.after).Open(ctx, "pending", sealed); !errors.Is(err, c.want) || (err != nil && got != nil) {
			t.Errorf("%s: %q, %v: want %v", c.what, got, err, c.want)
		}
	}
}

func TestValueRefusesWhatNoCookieHolds(t *testing.T) {
	values := newValues(t, staticRing(t, secret(1)), codec.ValuesConfig{Realm: realm, Lifetime: time.Hour})
	// 4096 characters hold 3072 bytes; 45 are overhead and 12 are times.
	longest := bytes.Repeat([]byte{1}, 3072-45-12)
	sealed, err := values.Seal("v", longest)
	if err != nil || len(sealed) != codec.MaxSealed {
		t.Fatalf("the longest: %d bytes, %v", len(sealed), err)
	}
	if got, err := values.Open(ctx, "v", sealed); err != nil || !bytes.Equal(got, longest) {
		t.Errorf("the longest does not open: %v", err)
	}
	_, err = values.Seal("v", append(longest, 1, 2))
	if !errors.Is(err, codec.ErrLength) || !strings.Contains(err.Error(), " 3 bytes") {
		t.Errorf("two bytes more: %v: want ErrLength, saying by how much", err)
	}
}

func TestValueNames(t *testing.T) {
	values := newValues(t, staticRing(t, secret(1)), codec.ValuesConfig{Realm: realm, Lifetime: time.Hour})
	for _, bad := range []string{"", "a\x00b"} {
		if _, err := values.Seal(bad, nil); err == nil {
			t.Errorf("Seal accepts the name %q", bad)
		}
		if _, err := values.Open(ctx, bad, ""); err == nil {
			t.Errorf("Open accepts the name %q", bad)
		}
		if values.Decode(bad, "", new(string)) == nil {
			t.Errorf("Decode accepts the name %q", bad)
		}
	}
	for _, good := range []string{"n", strings.Repeat("n", 5000), "täglich | 1"} {
		sealed, err := values.Seal(good, []byte("x"))
		fatal(t, err)
		if got, err := values.Open(ctx, good, sealed); err != nil || string(got) != "x" {
			t.Errorf("a name of %d bytes: %q, %v", len(good), got, err)
		}
	}
}

func TestValueUsesTheSystemClockByDefault(t *testing.T) {
	ring := staticRing(t, secret(1))
	past := newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Minute, Now: func() time.Time { return time.Now().Add(-2 * time.Minute) }})
	values := newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Minute})
	sealed, err := past.Seal("v", nil)
	fatal(t, err)
	if _, err := values.Open(ctx, "v", sealed); !errors.Is(err, codec.ErrExpired) {
		t.Errorf("sealed two minutes ago: %v: want ErrExpired", err)
	}
	sealed, err = values.Seal("v", nil)
	fatal(t, err)
	if _, err := values.Open(ctx, "v", sealed); err != nil {
		t.Errorf("sealed now: %v", err)
	}
}

func TestValueOutsideTheTimesOfTheFormat(t *testing.T) {
	for _, at := range []time.Time{time.UnixMilli(-1), time.UnixMilli(1<<48 - 1)} {
		values := newValues(t, staticRing(t, secret(1)), codec.ValuesConfig{Realm: realm, Lifetime: time.Minute, Now: func() time.Time { return at }})
		if sealed, err := values.Seal("v", nil); err == nil {
			t.Errorf("sealed at %v: %q", at, sealed)
		}
	}
}
