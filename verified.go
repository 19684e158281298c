package wafer

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/waferkit/wafer/codec"
)

// verifiedTokens are the access tokens whose signature was found good: a cache,
// which may lose any of them at any time; nil keeps none. Nothing in it is a verdict: expiry
// and revocation are judged after every hit.
type verifiedTokens struct {
	// ristretto panics where it is used while it is being closed.
	mu    sync.RWMutex
	cache *ristretto.Cache[string, *verifiedToken]
}

// tokenHash is SHA-256 of a whole token: who could find two tokens with one
// hash could be taken for somebody else.
type tokenHash [sha256.Size]byte

func hashToken(token string) tokenHash { return sha256.Sum256([]byte(token)) }

type verifiedToken struct {
	hash  tokenHash
	keys  any // under which it was verified
	token *codec.AccessToken
}

func newVerifiedTokens(limit int) (*verifiedTokens, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[string, *verifiedToken]{
		NumCounters: 10 * int64(limit), MaxCost: int64(limit), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("wafer: the cache of %d access tokens: %w", limit, err)
	}
	return &verifiedTokens{cache: cache}, nil
}

// get returns a token that was verified under the same keys, or nil. The cache
// finds by a short hash, so the whole one is compared.
func (v *verifiedTokens) get(hash tokenHash, keys any) *codec.AccessToken {
	if v == nil {
		return nil
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	found, ok := v.cache.Get(string(hash[:]))
	if !ok || found == nil || found.hash != hash || found.keys != keys {
		return nil
	}
	return found.token
}

func (v *verifiedTokens) put(hash tokenHash, keys any, token *codec.AccessToken, life time.Duration) {
	if v == nil || life <= 0 {
		return
	}
	v.mu.RLock()
	defer v.mu.RUnlock()
	v.cache.SetWithTTL(string(hash[:]), &verifiedToken{hash, keys, token}, 1, life)
}

func (v *verifiedTokens) close() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.cache.Close()
}
