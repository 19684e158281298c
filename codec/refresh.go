package codec

import (
	"context"
	"crypto/hmac"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waferkit/wafer/keyring"
)

const (
	// RefreshPrefix is the prefix of every refresh token. It lets scanners
	// for leaked secrets find one.
	RefreshPrefix = "wfr1_"

	refreshClaims = keyIDSize + len(ID{}) + 4
	refreshBody   = refreshClaims + tagSize

	generationBits = 20
	// MaxGeneration and MaxCopy are the highest generation and copy that a
	// refresh token can name.
	MaxGeneration = 1<<generationBits - 1
	MaxCopy       = 1<<(32-generationBits) - 1
)

// RefreshSize is the length of every refresh token in bytes.
var RefreshSize = len(RefreshPrefix) + encoding.EncodedLen(refreshBody)

// RefreshToken is the content of a refresh token: a family, a generation of it
// and a copy of that. It is not a secret of the store: nothing that the store holds
// can be turned back into a token.
type RefreshToken struct {
	Family     ID
	Generation uint32 // 1 to MaxGeneration
	Copy       uint16 // at most MaxCopy
}

// RefreshTokens mints and parses the refresh tokens of one instance (refresh
// token, version 1). A token of another instance is not authentic.
type RefreshTokens struct {
	ring     *keyring.Ring
	instance string
}

// NewRefreshTokens returns the codec of an instance's refresh tokens.
func NewRefreshTokens(ring *keyring.Ring, instance Instance) (*RefreshTokens, error) {
	if ring == nil {
		return nil, errors.New("codec: no ring given")
	}
	if err := instance.check(); err != nil {
		return nil, err
	}
	return &RefreshTokens{ring, instance.text()}, nil
}

// Mint returns the token of a copy of a family's generation, authenticated under the key
// that is primary at time now.
func (r *RefreshTokens) Mint(now time.Time, t RefreshToken) (string, error) {
	if t.Generation == 0 || t.Generation > MaxGeneration || t.Copy > MaxCopy {
		return "", fmt.Errorf("codec: a refresh token of generation %d and copy %d: want 1 to %d, and at most %d", t.Generation, t.Copy, MaxGeneration, MaxCopy)
	}
	key, err := r.ring.Primary(now)
	if err != nil {
		return "", err
	}
	id := key.ID()
	b := make([]byte, 0, refreshBody)
	b = append(b, id[:]...)
	b = append(b, t.Family[:]...)
	b = binary.BigEndian.AppendUint32(b, uint32(t.Copy)<<generationBits|t.Generation)
	if b, err = r.appendTag(b, key, b); err != nil {
		return "", err
	}
	return RefreshPrefix + encoding.EncodeToString(b), nil
}

// Parse authenticates a token and returns its content. It needs no store, so
// forged tokens cause no queries. ctx bounds the reload that an unknown key id
// causes.
func (r *RefreshTokens) Parse(ctx context.Context, now time.Time, token string) (RefreshToken, error) {
	b, err := decodeRefresh(token)
	if err != nil {
		return RefreshToken{}, err
	}
	key, err := r.ring.Key(ctx, keyring.ID(b[:keyIDSize]), now)
	if err != nil {
		return RefreshToken{}, err
	}
	var tag [tagSize]byte
	want, err := r.appendTag(tag[:0], key, b[:refreshClaims])
	if err != nil {
		return RefreshToken{}, err
	}
	if !hmac.Equal(want, b[refreshClaims:]) {
		return RefreshToken{}, ErrForged
	}
	counts := binary.BigEndian.Uint32(b[keyIDSize+len(ID{}):])
	t := RefreshToken{Family: ID(b[keyIDSize:]), Generation: counts & MaxGeneration, Copy: uint16(counts >> generationBits)}
	if t.Generation == 0 {
		return RefreshToken{}, ErrContent
	}
	return t, nil
}

// Names reports whether a token, authentic or not, names that family. It is a
// cheap check for a request that has a good session cookie, which a token of
// the same family does not affect.
func (r *RefreshTokens) Names(token string, family ID) bool {
	if len(token) != RefreshSize || !strings.HasPrefix(token, RefreshPrefix) {
		return false
	}
	var b [refreshBody]byte
	return decodeInto(b[:], token[len(RefreshPrefix):]) && ID(b[keyIDSize:]) == family
}

func decodeRefresh(token string) ([]byte, error) {
	if len(token) != RefreshSize {
		return nil, ErrLength
	}
	if !strings.HasPrefix(token, RefreshPrefix) {
		return nil, ErrEncoding
	}
	return decode(token[len(RefreshPrefix):], 0)
}

// appendTag appends the tag over claims and instance.
func (r *RefreshTokens) appendTag(dst []byte, key *keyring.Key, claims []byte) ([]byte, error) {
	mac, err := newMAC(key, keyring.Refresh)
	if err != nil {
		return nil, err
	}
	mac.Write([]byte(RefreshPrefix))
	mac.Write(claims)
	mac.Write([]byte(r.instance))
	return appendTag(dst, mac), nil
}
