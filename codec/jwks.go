package codec

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/keyring"
)

const (
	// MaxJWKS is the length of the longest JWK set that is read, in bytes.
	// The set of a ring with [keyring.MaxKeys] keys is shorter.
	MaxJWKS = 128 << 10
	// MaxJWKSKeys is the most keys that a JWK set may have: those of a ring
	// with [keyring.MaxKeys] keys, for each algorithm.
	MaxJWKSKeys = 2 * keyring.MaxKeys
)

// JWKS is a JWK set (RFC 7517, section 5): the public keys that verify access
// tokens, for services that do not hold the ring. It is immutable and safe for
// concurrent use. It contains no secret.
type JWKS struct {
	keys []publicKey // in the order of their ids
}

type publicKey struct {
	kid       string
	algorithm Algorithm
	key       crypto.PublicKey
}

var _ AccessKeys = (*JWKS)(nil)

// JWKS returns the public halves of all keys of the ring that verify at time
// now, for each algorithm configured. They include keys that do not sign yet,
// so that other services have them in time. A copy may be used for at most as
// long as a token may outlive the revocation of its key, and for less than
// [keyring.Lead].
func (a *AccessTokens) JWKS(now time.Time) (*JWKS, error) {
	set := a.ring.Set()
	s := new(JWKS)
	for _, key := range set.Keys() {
		if _, err := set.Key(key.ID(), now); err != nil {
			continue // expired or revoked
		}
		for _, algorithm := range a.algorithms {
			p, err := pair(key, pairID{algorithm, a.realm})
			if err != nil {
				return nil, err
			}
			s.keys = append(s.keys, publicKey{p.kid, algorithm, p.public})
		}
	}
	s.sort()
	return s, nil
}

func (s *JWKS) sort() {
	slices.SortFunc(s.keys, func(a, b publicKey) int { return strings.Compare(a.kid, b.kid) })
}

// KeyIDs returns the ids of the keys, in order.
func (s *JWKS) KeyIDs() []string {
	ids := make([]string, len(s.keys))
	for i, k := range s.keys {
		ids[i] = k.kid
	}
	return ids
}

// AccessKey returns the key with the id kid. The error is [keyring.ErrUnknown]
// if the set has no such key, and matches [ErrForged] if the key is of another
// algorithm. The context and the time are ignored: a set has no times, and
// every key in it verifies.
func (s *JWKS) AccessKey(_ context.Context, _ time.Time, kid string, algorithm Algorithm) (crypto.PublicKey, error) {
	i, found := slices.BinarySearchFunc(s.keys, kid, func(k publicKey, kid string) int { return strings.Compare(k.kid, kid) })
	if !found {
		return nil, keyring.ErrUnknown
	}
	if s.keys[i].algorithm != algorithm {
		return nil, errAlgorithm
	}
	return s.keys[i].key, nil
}

// MarshalJSON writes the set in its one encoding: ordered by key id, with
// members in the order of their names, and without white space.
func (s *JWKS) MarshalJSON() ([]byte, error) {
	b := []byte(`{"keys":[`)
	for i, k := range s.keys {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendString(append(b, `{"alg":`...), string(k.algorithm))
		switch key := k.key.(type) {
		case ed25519.PublicKey: // RFC 8037, section 2
			b = appendString(append(b, `,"crv":"Ed25519","kid":`...), k.kid)
			b = encoding.AppendEncode(append(b, `,"kty":"OKP","use":"sig","x":"`...), key)
		case *ecdsa.PublicKey: // RFC 7518, section 6.2
			point, err := key.Bytes()
			if err != nil {
				return nil, fmt.Errorf("codec: the key %q does not marshal: %w", k.kid, err)
			}
			b = appendString(append(b, `,"crv":"P-256","kid":`...), k.kid)
			b = encoding.AppendEncode(append(b, `,"kty":"EC","use":"sig","x":"`...), point[1:33])
			b = encoding.AppendEncode(append(b, `","y":"`...), point[33:])
		}
		b = append(b, `"}`...)
	}
	return append(b, `]}`...), nil
}

// Format prints the ids of the keys.
func (s *JWKS) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "JWK set %q", s.KeyIDs()) }

// LogValue logs the ids of the keys.
func (s *JWKS) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// ParseJWKS reads a JWK set that [AccessTokens.JWKS] or another issuer wrote.
// It skips keys that cannot verify an access token, as RFC 7517, section 5
// requires: keys of another type, curve, algorithm or use, and keys without an
// id. It refuses the whole set if it is not strict JSON, contains a private
// key, contains two keys with the same id, or contains a key that is not a
// point of its curve, because such a set should not be used at all.
//
// The error is [ErrLength] if text is empty or longer than [MaxJWKS], or has
// more than [MaxJWKSKeys] keys. It matches [ErrEncoding] otherwise.
func ParseJWKS(text []byte) (*JWKS, error) {
	if len(text) == 0 || len(text) > MaxJWKS {
		return nil, ErrLength
	}
	s, found, seen := new(JWKS), false, map[string]bool{}
	err := readObject(text, func(name, value, _ []byte) error {
		if string(name) != "keys" {
			return nil
		}
		found = true
		count := 0
		return readArray(value, func(value []byte) error {
			if count++; count > MaxJWKSKeys {
				return ErrLength
			}
			return s.add(value, seen)
		})
	})
	switch {
	case errors.Is(err, ErrLength):
		return nil, ErrLength
	case err != nil:
		return nil, fmt.Errorf("%w: a JWK set: %w", ErrEncoding, err)
	case !found:
		return nil, fmt.Errorf("%w: a JWK set without keys", ErrEncoding)
	}
	s.sort()
	return s, nil
}

// add reads one key of a set. seen holds the ids that were read before.
func (s *JWKS) add(text []byte, seen map[string]bool) error {
	members := map[string]string{}
	err := readObject(text, func(name, value, _ []byte) error {
		switch string(name) {
		case "d", "p", "q", "dp", "dq", "qi", "oth", "k": // RFC 7518, section 6
			return errors.New("it holds a private key: whoever published it must revoke that")
		case "kty", "use", "alg", "kid", "crv", "x", "y":
			member, ok := readString(value)
			if !ok {
				return errors.New("a member of a key is not a string")
			}
			members[string(name)] = member
		case "key_ops":
			members["key_ops"] = string(value)
		}
		return nil
	})
	if err != nil {
		return err
	}
	kid, named := members["kid"]
	if named && seen[kid] {
		return errors.New("two keys have the same id")
	}
	seen[kid] = named
	use, used := members["use"]
	_, limited := members["key_ops"] // our keys lack it, because use expresses the same
	if kid == "" || len(kid) > maxKid || used && use != "sig" || limited {
		return nil
	}
	var key crypto.PublicKey
	algorithm := Algorithm(members["alg"])
	switch kind := members["kty"] + " " + members["crv"]; {
	case algorithm == EdDSA && kind == "OKP Ed25519":
		key, err = parseEd25519(members["x"])
	case algorithm == ES256 && kind == "EC P-256":
		key, err = parseP256(members["x"], members["y"])
	default:
		return nil
	}
	s.keys = append(s.keys, publicKey{kid, algorithm, key})
	return err
}

func parseEd25519(x string) (ed25519.PublicKey, error) {
	key, err := parseCoordinate(x)
	if err != nil {
		return nil, err
	}
	if !onEdwards25519(key) {
		return nil, errors.New("a key is not a point of edwards25519, or one of small order")
	}
	return key, nil
}

func parseP256(x, y string) (*ecdsa.PublicKey, error) {
	bx, err := parseCoordinate(x)
	if err != nil {
		return nil, err
	}
	by, err := parseCoordinate(y)
	if err != nil {
		return nil, err
	}
	key, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), slices.Concat([]byte{4}, bx, by))
	if err != nil {
		return nil, errors.New("a key is not a point of P-256")
	}
	return key, nil
}

// parseCoordinate reads 32 bytes in base64url.
func parseCoordinate(text string) ([]byte, error) {
	b, err := decode(text, 0)
	if err != nil || len(b) != 32 {
		return nil, errors.New("a coordinate of a key is not 32 bytes in strict base64url")
	}
	return b, nil
}
