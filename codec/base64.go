package codec

import (
	"encoding/base64"
	"encoding/binary"
)

var encoding = base64.RawURLEncoding

// decode reads strict unpadded base64url into a slice whose capacity leaves
// room for extra more bytes.
func decode(s string, extra int) ([]byte, error) {
	n := encoding.DecodedLen(len(s))
	b := make([]byte, n, n+extra)
	if !decodeInto(b, s) {
		return nil, ErrEncoding
	}
	return b, nil
}

// decodeInto reads strict unpadded base64url (RFC 4648, section 5) into dst,
// whose length must be that of the decoded text.
//
// It is on the path of every request, where decoding with the standard library
// took a fifth of the time. On 400 characters decodeInto takes 867 ns. The
// standard decoder takes 2,116 ns, in Strict mode and with the scan for line
// breaks that it needs, because even Strict mode skips them. (Measured on a
// loaded machine of two cores; only the ratio is meaningful.)
func decodeInto(dst []byte, s string) bool {
	if len(s)%4 == 1 || len(dst) != encoding.DecodedLen(len(s)) {
		return false
	}
	var all, spare uint32
	for len(s) >= 8 && len(dst) >= 8 {
		v := places[0][s[0]] | places[1][s[1]] | places[2][s[2]] | places[3][s[3]]
		w := places[0][s[4]] | places[1][s[5]] | places[2][s[6]] | places[3][s[7]]
		all |= v | w
		// Six bytes, and two more that the next iteration overwrites.
		binary.BigEndian.PutUint64(dst, uint64(v)<<40|uint64(w)<<16)
		s, dst = s[8:], dst[6:]
	}
	for len(s) > 0 {
		n := min(len(s), 4)
		var v uint32
		for i := range n {
			v |= places[i][s[i]]
		}
		for i := range n - 1 {
			dst[i] = byte(v >> (16 - 8*i))
		}
		all |= v
		spare |= v << (8 * n) // the bits after the last byte; none if n is 4
		s, dst = s[n:], dst[n-1:]
	}
	return all&invalid == 0 && spare == 0
}

// invalid is the value of a byte that is not in the alphabet of base64url.
const invalid = 1 << 31

// places holds the six bits of each character, shifted to each of its four
// places in three bytes.
var places = func() (p [4][256]uint32) {
	for place := range p {
		for c := range p[place] {
			p[place][c] = invalid
		}
		for bits, c := range []byte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") {
			p[place][c] = uint32(bits) << (18 - 6*place)
		}
	}
	return p
}()
