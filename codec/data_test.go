package codec_test

import (
	"bytes"
	"encoding/hex"
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

type account struct {
	Name    string            `json:"name"`
	Roles   []string          `json:"roles,omitempty"`
	Seen    time.Time         `json:"seen"`
	Quota   map[string]uint64 `json:"quota"`
	Extra   any               `json:"extra"`
	Balance int64             `cbor:"1,keyasint"`
	Rate    float64           `cbor:"2,keyasint"`
	Secret  string            `json:"-"`
}

func TestDataRoundTrip(t *testing.T) {
	want := account{
		Name: "anna ünïcode", Roles: []string{"a", ""}, Seen: time.Date(2026, 3, 1, 23, 59, 59, 123456789, time.UTC),
		Quota: map[string]uint64{"": 0, "most": math.MaxUint64}, Balance: math.MinInt64, Rate: 1.0 / 3,
		Extra: map[string]any{"nested": map[string]any{"deeper": []any{"x", int64(1), true, nil, 2.5}}},
	}
	b, err := codec.MarshalData(want)
	fatal(t, err)
	var got account
	if err := codec.UnmarshalData(b, &got); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v: want %+v", got, err, want)
	}
	want.Secret = "not encoded"
	if again, _ := codec.MarshalData(want); !bytes.Equal(again, b) {
		t.Error("a field that is left out of JSON is in the data")
	}
}

func TestDataKeepsZoneAndNanoseconds(t *testing.T) {
	for _, want := range []time.Time{
		time.Date(2026, 3, 1, 12, 0, 0, 1, time.UTC),
		time.Date(2026, 3, 1, 12, 0, 0, 999999999, time.FixedZone("", 5*3600+1800)),
		time.Date(1969, 7, 20, 20, 17, 40, 0, time.FixedZone("", -4*3600)),
	} {
		b, err := codec.MarshalData(struct{ At any }{want})
		fatal(t, err)
		var typed struct{ At time.Time }
		var untyped struct{ At any }
		if err := errors.Join(codec.UnmarshalData(b, &typed), codec.UnmarshalData(b, &untyped)); err != nil {
			t.Errorf("%v: %v", want, err)
			continue
		}
		for _, got := range []time.Time{typed.At, untyped.At.(time.Time)} {
			_, wantZone := want.Zone()
			if _, zone := got.Zone(); !got.Equal(want) || zone != wantZone {
				t.Errorf("got %v: want %v", got, want)
			}
		}
	}
	b, err := codec.MarshalData(time.Time{})
	fatal(t, err)
	var got time.Time
	if err := codec.UnmarshalData(b, &got); err != nil || !got.IsZero() {
		t.Errorf("the zero time comes back as %v, %v", got, err)
	}
}

// Releases of one application share cookies: a field that a release does not have
// is skipped, and a missing field stays zero.
func TestDataBetweenReleases(t *testing.T) {
	type before struct{ Name string }
	type after struct {
		Name  string
		Theme map[string]string
	}
	newer, err := codec.MarshalData(after{"anna", map[string]string{"a": "b"}})
	fatal(t, err)
	var old before
	if err := codec.UnmarshalData(newer, &old); err != nil || old.Name != "anna" {
		t.Errorf("the old release reads %+v, %v", old, err)
	}
	older, err := codec.MarshalData(old)
	fatal(t, err)
	var fresh after
	if err := codec.UnmarshalData(older, &fresh); err != nil || fresh.Name != "anna" || fresh.Theme != nil {
		t.Errorf("the new release reads %+v, %v", fresh, err)
	}
	var changed struct{ Name int }
	if err := codec.UnmarshalData(newer, &changed); !errors.Is(err, codec.ErrContent) || !strings.Contains(err.Error(), "struct") {
		t.Errorf("a changed type: %v: want ErrContent, telling the type", err)
	}
}

func TestDataIsDeterministic(t *testing.T) {
	m := map[string]any{}
	for i := range 50 {
		m[strings.Repeat("k", i)] = map[string]int{"b": i, "a": i, "": i}
	}
	first, err := codec.MarshalData(m)
	fatal(t, err)
	for range 50 {
		if again, _ := codec.MarshalData(m); !bytes.Equal(first, again) {
			t.Fatal("two encodings of one value")
		}
	}
	for want, v := range map[string]any{
		"a2614101614202": struct{ B, A int }{2, 1}, // by key, not by the order of the fields
		"f93c00":         1.0,                      // the shortest float
		"f97e00":         math.NaN(),
		"f97c00":         math.Inf(1),
		"c074323032362d30332d30315430303a30303a30305a": time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC),
	} {
		if b, err := codec.MarshalData(v); err != nil || hex.EncodeToString(b) != want {
			t.Errorf("%v encodes as %x, %v: want %s", v, b, err, want)
		}
	}
}

func TestDataRefusals(t *testing.T) {
	var v struct {
		A int
		B any
	}
	for what, text := range map[string]string{
		"nothing":                           "",
		"trailing bytes":                    "a1614101" + "00",
		"cut":                               "a16141",
		"a duplicate key of a struct":       "a2614101614102",
		"a duplicate key of a map":          "a16142a2617801617802",
		"an indefinite map":                 "bf614101ff",
		"an indefinite array":               "a161429f01ff",
		"an indefinite string":              "a161427f6161ff",
		"indefinite bytes":                  "a161425f4101ff",
		"another type":                      "a161416161",
		"a number that does not fit":        "a161411bffffffffffffffff",
		"a map key that is no string":       "a16142a10101",
		"invalid UTF-8 in a time":           "a16142c061ff",
		"nested beyond the limit":           "a16142" + strings.Repeat("81", 5000) + "00",
		"an array that claims 2^32 entries": "a161429affffffff00",
		"a string that claims 2^63 bytes":   "a161427b7fffffffffffffff00",
		"reserved additional information":   "a161421c",
		"a lone break":                      "ff",
	} {
		b, err := hex.DecodeString(text)
		fatal(t, err)
		if err := codec.UnmarshalData(b, &v); !errors.Is(err, codec.ErrContent) {
			t.Errorf("%s: %v: want ErrContent", what, err)
		}
	}
	if _, err := codec.MarshalData(func() {}); err == nil {
		t.Error("a function encodes")
	}
}

func TestDataKeepsIntegerKeysShort(t *testing.T) {
	b, err := codec.MarshalData(struct {
		Name string `cbor:"1,keyasint"`
		Age  int    `cbor:"2,keyasint"`
	}{"anna", 42})
	if got := hex.EncodeToString(b); err != nil || got != "a20164616e6e6102182a" {
		t.Errorf("%s, %v", got, err)
	}
}
