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

// Algorithm is a signature algorithm of access tokens: a value of `alg` (RFC
// 7518, section 3.1).
type Algorithm string

const (
	// EdDSA is Ed25519 (RFC 8037, section 3.1). It is fast and small, and
	// the default.
	EdDSA Algorithm = "EdDSA"
	// ES256 is ECDSA with P-256 and SHA-256 (RFC 7518, section 3.4). It is
	// for services that cannot verify EdDSA.
	ES256 Algorithm = "ES256"
)

// method returns the JWT library's implementation, or nil if the algorithm is
// not one of ours.
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
// only the key's Go type, and would accept a key on another curve for ES256.
func (a Algorithm) fits(key crypto.PublicKey) bool {
	switch key := key.(type) {
	case ed25519.PublicKey:
		return a == EdDSA && len(key) == ed25519.PublicKeySize
	case *ecdsa.PublicKey:
		return a == ES256 && key != nil && key.Curve == elliptic.P256()
	}
	return false
}

// checkAlgorithms refuses unknown and duplicate algorithms, and an empty list,
// which the JWT library would treat as "any".
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
// implement it; an application may have its own. An implementation must be safe
// for concurrent use.
type AccessKeys interface {
	// AccessKey returns the key with the id kid, if it verifies that
	// algorithm at time now: an ed25519.PublicKey for EdDSA, an
	// *ecdsa.PublicKey on P-256 for ES256. kid and algorithm come from a
	// token that is not authenticated yet. The error matches
	// [keyring.ErrUnknown] if no key has that id, and [ErrForged] if the
	// key is of another algorithm.
	AccessKey(ctx context.Context, now time.Time, kid string, algorithm Algorithm) (crypto.PublicKey, error)
}

// keyPair is the signing key that is derived from a key of the ring for one
// realm and algorithm.
type keyPair struct {
	private crypto.Signer
	public  crypto.PublicKey
	kid     string
	head    string // the first segment of a token, and the dot after it
}

// pairID identifies a key pair among those of one key of the ring.
type pairID struct {
	algorithm Algorithm
	realm     string
}

// keyPairs derives and keeps the pairs of one key of the ring. There are as
// many as the application has realms and algorithms.
type keyPairs struct {
	subkey [keyring.SecretSize]byte
	pairs  sync.Map // of pairID to *keyPair
}

func newKeyPairs(subkey []byte) (*keyPairs, error) {
	return &keyPairs{subkey: [keyring.SecretSize]byte(subkey)}, nil
}

// pair returns the pair of a key of the ring.
func pair(key *keyring.Key, of pairID) (*keyPair, error) {
	all, err := keyring.Derived(key, keyring.Token, newKeyPairs)
	if err != nil {
		return nil, fmt.Errorf("codec: %w", err)
	}
	if cached, found := all.pairs.Load(of); found {
		return cached.(*keyPair), nil
	}
	p, err := derivePair(of.algorithm, func(counter byte) ([]byte, error) {
		return hkdf.Expand(sha256.New, all.subkey[:], pairInfo(of, counter), 32)
	})
	if err != nil {
		return nil, fmt.Errorf("codec: derive the %s key of key %v: %w", of.algorithm, key.ID(), err)
	}
	p.kid = key.ID().String() + "-" + string(of.algorithm)
	p.head = encoding.EncodeToString(appendHeader(nil, of.algorithm, p.kid)) + "."
	cached, _ := all.pairs.LoadOrStore(of, p)
	return cached.(*keyPair), nil
}

// pairInfo returns the info input of HKDF. A token has no additional data that
// could bind it to its realm, so its key is bound to it. The realm comes last,
// after parts that are delimited, so no two realms, algorithms and counters
// have the same info.
func pairInfo(of pairID, counter byte) string {
	return keyring.Token.String() + " " + string(of.algorithm) + "\x00" + string([]byte{counter}) + of.realm
}

// derivePair makes a key pair from 32 derived bytes. For ES256 they must be a
// scalar from 1 to the order minus 1, so the first value of the counter that
// yields one is used (FIPS 186-5, appendix A.2.2). ecdsa.GenerateKey is not an
// alternative: it is not deterministic, and every node must have the same key.
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

// AccessKey returns the public half of the key with the id kid, if the ring
// accepts it at time now and the algorithm is one of those configured. ctx
// bounds the reload that an unknown key id causes. The error matches
// [ErrForged] if the algorithm is another one; otherwise it is that of
// [keyring.Ring.Key].
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
	p, err := pair(key, pairID{algorithm, a.realm})
	if err != nil {
		return nil, err
	}
	return p.public, nil
}

// parseKid splits a key id into the id of a ring's key and the algorithm. If
// the key id has another form, the error is ErrUnknown, and the ring need not
// reload.
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
