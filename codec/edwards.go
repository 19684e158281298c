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

// onEdwards25519 reports whether a public key is a point of the curve, in its
// one encoding (RFC 8032, section 5.1.3), and not one of the eight of small
// order, under which anybody can sign. The standard library finds out the first
// with each signature, and never the second. Public keys are no secret, so the
// time this takes may tell them.
func onEdwards25519(key []byte) bool {
	if len(key) != ed25519.PublicKeySize {
		return false
	}
	b := slices.Clone(key)
	slices.Reverse(b)
	b[0] &= 0x7f // the sign of x; a zero x, which has none, is of small order
	y := new(big.Int).SetBytes(b)
	if y.Cmp(edwardsP) >= 0 {
		return false
	}
	if big.Jacobi(edwardsX2(y), edwardsP) < 0 {
		return false
	}
	// Three times doubled, a point of small order is (0, 1).
	for range 3 {
		y = edwardsDouble(y)
	}
	return y.Cmp(big.NewInt(1)) != 0
}

// edwardsX2 returns the x² that goes with y: (y² - 1) / (d y² + 1).
func edwardsX2(y *big.Int) *big.Int {
	one := big.NewInt(1)
	y2 := new(big.Int).Mul(y, y)
	divisor := new(big.Int).Mul(edwardsD, y2)
	divisor.ModInverse(divisor.Add(divisor, one), edwardsP)
	x2 := y2.Sub(y2, one)
	return x2.Mod(x2.Mul(x2, divisor), edwardsP)
}

// edwardsDouble returns the y of a point doubled: (y² + x²) / (2 - y² + x²). The
// divisor is never 0, since the addition of this curve is complete.
func edwardsDouble(y *big.Int) *big.Int {
	x2 := edwardsX2(y)
	y2 := new(big.Int).Mul(y, y)
	sum := new(big.Int).Add(y2, x2)
	divisor := new(big.Int).Sub(big.NewInt(2), y2)
	divisor.Mod(divisor.Add(divisor, x2), edwardsP)
	divisor.ModInverse(divisor, edwardsP)
	return sum.Mod(sum.Mul(sum, divisor), edwardsP)
}
