package codec

import (
	"fmt"
	"reflect"

	"github.com/fxamacker/cbor/v2"
)

// Session data is CBOR (RFC 8949) in its deterministic encoding, which is
// smaller than JSON or gob and typed. Struct fields are named by their `cbor`
// or `json` tags; `cbor:"1,keyasint"` makes them smaller still. Fields that a
// release does not have are skipped, so old and new releases of an application
// can share cookies.
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
		UTF8:           cbor.UTF8DecodeInvalid, // a Go string may hold any bytes, and data that was sealed must open
	}.DecMode())
)

// must is for constant options, which are either valid or fail every test.
func must[M any](mode M, err error) M {
	if err != nil {
		panic(err)
	}
	return mode
}

// MarshalData encodes session data. It refuses data that [UnmarshalData] could
// not read back, such as data that is nested too deeply.
func MarshalData(v any) ([]byte, error) {
	b, err := dataEncoder.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("codec: session data of type %T does not encode: %w", v, err)
	}
	// Data that is too long for any cookie is refused by the codec that seals it.
	if len(b) > MaxSealed {
		return b, nil
	}
	// Enforce the decoder's bounds, such as its depth, here and not at every
	// request of the session.
	if err := dataDecoder.Wellformed(b); err != nil {
		return nil, fmt.Errorf("codec: session data of type %T would not decode: %w", v, err)
	}
	return b, nil
}

// UnmarshalData decodes session data into the value that v points to. Its
// errors match [ErrContent], and name types but never values.
func UnmarshalData(b []byte, v any) error {
	if err := dataDecoder.Unmarshal(b, v); err != nil {
		return fmt.Errorf("codec: session data does not decode into %T; was its type changed?: %w", v, ErrContent)
	}
	return nil
}
