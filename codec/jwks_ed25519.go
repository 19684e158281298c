package codec

import (
	"crypto/ed25519"
	"math/big"
	"slices"
)

// Constants of edwards25519 (RFC 8032, section 5.1).
var (
	edwardsP = func() *big.Int { // 2^255 - 19
		p := new(big.Int).Lsh(big.NewInt(1), 255)
		return p.Sub(p, big.NewInt(19))
	}()
	edwardsD = func() *big.Int { // -121665/121666
		d := new(big.Int).ModInverse(big.NewInt(121666), edwardsP)
		return d.Mod(d.Mul(d, big.NewInt(-121665)), edwardsP)
	}()
)

// onEdwards25519 reports whether a public key is the canonical encoding of a
// point of the curve (RFC 8032, section 5.1.3), and not one of the eight points
// of small order, for which anybody can make signatures. The standard library
// checks the encoding only when it verifies a signature, and never checks the
// order.
//
// The standard library has no public arithmetic of the curve, and
// filippo.io/edwards25519 would be a dependency, so this file has its own. It
// is slow, but runs only once for each key of a set that is fetched. Its time
// depends on the key, which is public.
func onEdwards25519(key []byte) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	b := slices.Clone(key)
	slices.Reverse(b)
	// Clear the sign of x. It is invalid only if x is 0, and then the point is of
	// small order.
	b[0] &= 0x7f
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edwardsP) >= 0 {
		return false
	}
	if big.Jacobi(edwardsX2(y), edwardsP) < 0 {
		return false
	}
	// A point of small order is (0, 1) after three doublings.
	for range 3 {
		y = edwardsDouble(y)
	}
	return y.Cmp(big.NewInt(1)) != 0
}

// edwardsX2 returns the x² of the points with that y: (y² - 1) / (d y² + 1).
func edwardsX2(y *big.Int) *big.Int {
	one := big.NewInt(1)
	y2 := new(big.Int).Mul(y, y)
	divisor := new(big.Int).Mul(edwardsD, y2)
	divisor.ModInverse(divisor.Add(divisor, one), edwardsP)
	x2 := y2.Sub(y2, one)
	return x2.Mod(x2.Mul(x2, divisor), edwardsP)
}

// edwardsDouble returns the y of the doubled point: (y² + x²) / (2 - y² + x²).
// The divisor is never 0, because the addition law of this curve is complete.
func edwardsDouble(y *big.Int) *big.Int {
	x2 := edwardsX2(y)
	y2 := new(big.Int).Mul(y, y)
	sum := new(big.Int).Add(y2, x2)
	divisor := new(big.Int).Sub(big.NewInt(2), y2)
	divisor.Mod(divisor.Add(divisor, x2), edwardsP)
	divisor.ModInverse(divisor, edwardsP)
	return sum.Mod(sum.Mul(sum, divisor), edwardsP)
}
