package codec_test

import (
	"crypto"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/hex"
	"fmt"
	"math/big"
	"strings"
	"testing"

	"github.com/waferkit/wafer/codec"
)

// A second implementation of access tokens, written from docs/formats.md alone.

// specSigner signs as one key of a ring does for one realm and algorithm.
type specSigner struct {
	algorithm codec.Algorithm
	kid       string
	derived   []byte // the seed or the scalar
}

// newSpecSigner derives the key of a static secret, or of a key with that id.
func newSpecSigner(secret, id []byte, realm string, algorithm codec.Algorithm) specSigner {
	if id == nil {
		id = specKeyID(secret)
	}
	s := specSigner{algorithm: algorithm, kid: hex.EncodeToString(id) + "-" + string(algorithm)}
	for counter := 0; ; counter++ {
		s.derived = specExpand(specHKDF(secret, "wafer/1 token", 32), "wafer/1 token "+string(algorithm)+"\x00"+string([]byte{byte(counter)})+realm, 32)
		d := new(big.Int).SetBytes(s.derived)
		if algorithm == codec.EdDSA || d.Sign() > 0 && d.Cmp(elliptic.P256().Params().N) < 0 {
			return s
		}
	}
}

// signature signs any bytes; ES256 with the nonce of RFC 6979, so that vectors
// are the same each time.
func (s specSigner) signature(t testing.TB, signed string) []byte {
	t.Helper()
	if s.algorithm == codec.EdDSA {
		return ed25519.Sign(ed25519.NewKeyFromSeed(s.derived), []byte(signed))
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), s.derived)
	fatal(t, err)
	digest := sha256.Sum256([]byte(signed))
	der, err := private.Sign(nil, digest[:], crypto.SHA256)
	fatal(t, err)
	var pair struct{ R, S *big.Int }
	_, err = asn1.Unmarshal(der, &pair)
	fatal(t, err)
	if other := new(big.Int).Sub(elliptic.P256().Params().N, pair.S); other.Cmp(pair.S) < 0 {
		pair.S = other
	}
	b := make([]byte, 64)
	pair.R.FillBytes(b[:32])
	pair.S.FillBytes(b[32:])
	return b
}

// token signs a header and a payload, whatever they are.
func (s specSigner) token(t testing.TB, header, payload string) string {
	t.Helper()
	signed := specText([]byte(header)) + "." + specText([]byte(payload))
	return signed + "." + specText(s.signature(t, signed))
}

func (s specSigner) header() string {
	return fmt.Sprintf(`{"alg":%q,"kid":%q,"typ":"at+jwt"}`, s.algorithm, s.kid)
}

// jwk is the public half as a member of a set.
func (s specSigner) jwk(t testing.TB) string {
	t.Helper()
	if s.algorithm == codec.EdDSA {
		public := ed25519.NewKeyFromSeed(s.derived).Public().(ed25519.PublicKey)
		return fmt.Sprintf(`{"alg":"EdDSA","crv":"Ed25519","kid":%q,"kty":"OKP","use":"sig","x":%q}`, s.kid, specText(public))
	}
	private, err := ecdh.P256().NewPrivateKey(s.derived)
	fatal(t, err)
	point := private.PublicKey().Bytes()
	return fmt.Sprintf(`{"alg":"ES256","crv":"P-256","kid":%q,"kty":"EC","use":"sig","x":%q,"y":%q}`, s.kid, specText(point[1:33]), specText(point[33:]))
}

func specJWKS(keys ...string) string { return `{"keys":[` + strings.Join(keys, ",") + `]}` }
