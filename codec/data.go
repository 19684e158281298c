package codec

import (
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Session data is CBOR (RFC 8949) in its deterministic encoding: smaller than
// JSON or gob, with types. Struct fields go by their `cbor` or `json` tags;
// `cbor:"1,keyasint"` makes them smaller still. Fields that a release does not
// know are skipped, so old and new versions of an application can share
// cookies.
var (
	dataEncoder = must(cbor.EncOptions{
		Sort:          cbor.SortCoreDeterministic,
		ShortestFloat: cbor.ShortestFloat16,
		NaNConvert:    cbor.NaNConvert7e00,
		InfConvert:    cbor.InfConvertFloat16,
		IndefLength:   cbor.IndefLengthForbidden,
		Time:          cbor.TimeRFC3339Nano, // keeps zone and nanoseconds
		TimeTag:       cbor.EncTagRequired,
	}.EncMode())
	dataDecoder = must(cbor.DecOptions{
		DupMapKey:      cbor.DupMapKeyEnforcedAPF,
		IndefLength:    cbor.IndefLengthForbidden,
		DefaultMapType: reflect.TypeFor[map[string]any](),
		IntDec:         cbor.IntDecConvertSignedOrBigInt,
		UTF8:           cbor.UTF8DecodeInvalid, // a Go string may hold any bytes; what was sealed must open
	}.DecMode())
)

// must is for options that are constants: they are right or no test passes.
func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// MarshalData encodes session data.
func MarshalData(v any) ([]byte, error) {
	b, err := dataEncoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("codec: session data of type %T does not encode: %w", v, err)
	}
	// The decoder's bounds, such as its depth: better refused here than at every
	// request that carries the session.
	// What is too long for any cookie is refused for that, by whoever seals it.
	if len(b) > MaxSealed {
		return b, nil
	}
	if err := dataDecoder.Wellformed(b); err != nil {
		return nil, fmt.Errorf("codec: session data of type %T would not decode: %w", v, err)
	}
	return b, nil
}

// UnmarshalData decodes session data into what v points to. The error tells
// types, never values.
func UnmarshalData(b []byte, v any) error {
	if err := dataDecoder.Unmarshal(b, v); err != nil {
		return fmt.Errorf("codec: session data does not decode into %T; was its type changed?: %w", v, ErrContent)
	}
	return nil
}
