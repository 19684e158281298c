package codec

import "encoding/base64"

var encoding = base64.RawURLEncoding.Strict()

// decode reads strict unpadded base64url into a slice with room for extra more
// bytes. The standard decoder skips line breaks even when strict; a shorter
// result than the length promises gives them away.
func decode(s string, extra int) ([]byte, error) {
	n := encoding.DecodedLen(len(s))
	b := make([]byte, n, n+extra)
	got, err := encoding.Decode(b, []byte(s))
	if err != nil || got != n || len(s)%4 == 1 {
		return nil, ErrEncoding
	}
	return b, nil
}
