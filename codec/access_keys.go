package codec

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/keyring"
)

// Algorithm says how an access token is signed: the value of `alg` (RFC 7518,
// section 3.1).
type Algorithm string

const (
	// EdDSA is Ed25519 (RFC 8037, section 3.1): fast, small, the default.
	EdDSA Algorithm = "EdDSA"
	// ES256 is ECDSA with P-256 and SHA-256 (RFC 7518, section 3.4), for
	// services that cannot verify the other.
	ES256 Algorithm = "ES256"
)

// method returns how the JWT library signs and verifies, or nil.
func (a Algorithm) method() jwt.SigningMethod {
	switch a {
	case EdDSA:
		return jwt.SigningMethodEdDSA
	case ES256:
		return jwt.SigningMethodES256
	}
	return nil
}

// fits reports whether a public key is of the algorithm. The JWT library checks
// the type alone, and takes a key on another curve for ES256.
func (a Algorithm) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return a == EdDSA && len(key) == ed25519.PublicKeySize
	case *ecdsa.PublicKey:
		return a == ES256 && key != nil && key.Curve == elliptic.P256()
	}
	return false
}

// checkAlgorithms refuses an empty list, which the JWT library takes for "any".
func checkAlgorithms(algorithms []Algorithm) error {
	if len(algorithms) == 0 {
		return fmt.Errorf("codec: no algorithm given: want %q, %q or both", EdDSA, ES256)
	}
	for i, a := range algorithms {
		if a.method() == nil {
			return fmt.Errorf("codec: the algorithm %q: want %q or %q", a, EdDSA, ES256)
		}
		for _, other := range algorithms[:i] {
			if a == other {
				return fmt.Errorf("codec: the algorithm %q is given twice", a)
			}
		}
	}
	return nil
}

// AccessKeys finds the public key that a token names. [AccessTokens] and [JWKS]
// are two; an application may have its own. An implementation must be safe for
// concurrent use.
type AccessKeys interface {
	// AccessKey returns the one key with that key id which verifies that
	// algorithm at time now: an ed25519.PublicKey for EdDSA, an
	// *ecdsa.PublicKey on P-256 for ES256. kid and algorithm come from a token
	// that nothing is known of yet. A kid that names no key is
	// [keyring.ErrUnknown]; one whose key is of another algorithm, [ErrForged].
	AccessKey(ctx context.Context, now time.Time, kid string, algorithm Algorithm) (crypto.PublicKey, error)
}

// keyPair is what a ring's key becomes for one realm and algorithm.
type keyPair struct {
	private crypto.Signer
	public  crypto.PublicKey
	kid     string
	head    string // the token's first segment, with the dot behind it
}

// pairOf names a key pair of a ring's key.
type pairOf struct {
	algorithm Algorithm
	realm     string
}

// keyPairs derives the pairs of one ring's key and keeps them: there are as
// many as an application has realms and algorithms.
type keyPairs struct {
	subkey [keyring.SecretSize]byte
	pairs  sync.Map // of pairOf to *keyPair
}

func newKeyPairs(subkey []byte) (*keyPairs, error) {
	return &keyPairs{subkey: [keyring.SecretSize]byte(subkey)}, nil
}

// pair returns the key pair that a ring's key becomes.
func pair(key *keyring.Key, of pairOf) (*keyPair, error) {
	all, err := keyring.Derived(key, keyring.Token, newKeyPairs)
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	if kept, found := all.pairs.Load(of); found {
		return kept.(*keyPair), nil
	}
	p, err := derivePair(of.algorithm, func(counter byte) ([]byte, error) {
		return hkdf.Expand(sha256.New, all.subkey[:], pairInfo(of, counter), 32)
	})
	if err != nil {
		return nil, fmt.Errorf("codec: derive the %s key of key %v: %w", of.algorithm, key.ID(), err)
	}
	p.kid = key.ID().String() + "-" + string(of.algorithm)
	p.head = encoding.EncodeToString(appendHeader(nil, of.algorithm, p.kid)) + "."
	kept, _ := all.pairs.LoadOrStore(of, p)
	return kept.(*keyPair), nil
}

// pairInfo is the info of HKDF. A token has no additional data that could bind
// it to its realm, so the key does. The realm stands last, behind parts that
// end themselves: no other realm, algorithm and counter make the same info.
func pairInfo(of pairOf, counter byte) string {
	return keyring.Token.String() + " " + string(of.algorithm) + "\x00" + string([]byte{counter}) + of.realm
}

// derivePair makes a key pair of 32 derived bytes. For ES256 these must be a
// scalar from 1 to the order less 1: the first of the counter that is one is
// taken (FIPS 186-5, appendix A.2.2). ecdsa.GenerateKey would not do: it is not
// deterministic, and every node must have the same key.
func derivePair(algorithm Algorithm, derive func(counter byte) ([]byte, error)) (*keyPair, error) {
	if algorithm == EdDSA {
		seed, err := derive(0)
		if err != nil {
			return nil, err
		}
		private := ed25519.NewKeyFromSeed(seed)
		return &keyPair{private: private, public: private.Public()}, nil
	}
	for counter := range 256 {
		scalar, err := derive(byte(counter))
		if err != nil {
			return nil, err
		}
		if private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), scalar); err == nil {
			return &keyPair{private: private, public: &private.PublicKey}, nil
		}
	}
	return nil, fmt.Errorf("no scalar in 256 tries")
}

// AccessKey returns the public half of the key that kid names, if the ring
// accepts it at time now and the algorithm is one of those configured. ctx
// bounds the reload that an unknown key id causes.
func (a *AccessTokens) AccessKey(ctx context.Context, now time.Time, kid string, algorithm Algorithm) (crypto.PublicKey, error) {
	id, named, err := parseKid(kid)
	if err != nil {
		return nil, err
	}
	if named != algorithm || !a.signs(algorithm) {
		return nil, errAlgorithm
	}
	key, err := a.ring.Key(ctx, id, now)
	if err != nil {
		return nil, err
	}
	p, err := pair(key, pairOf{algorithm, a.realm})
	if err != nil {
		return nil, err
	}
	return p.public, nil
}

// parseKid takes a key id of ours apart. What is none names no key of the ring;
// that needs no reload to know.
func parseKid(kid string) (id keyring.ID, algorithm Algorithm, err error) {
	head, tail, _ := strings.Cut(kid, "-")
	var b [2 * keyIDSize]byte
	if len(head) != len(b) || Algorithm(tail).method() == nil {
		return id, "", keyring.ErrUnknown
	}
	if _, err := hex.Decode(id[:], []byte(head)); err != nil || string(hex.AppendEncode(b[:0], id[:])) != head {
		return id, "", keyring.ErrUnknown
	}
	return id, Algorithm(tail), nil
}
