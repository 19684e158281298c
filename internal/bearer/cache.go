package bearer

import (
	"crypto/sha256"
	"fmt"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/waferkit/wafer/codec"
)

// Cache holds access tokens whose signature was verified. It may lose any of
// them at any time. A cache entry is no verdict: expiry and revocation are judged
// after every hit. A nil Cache holds nothing. It is safe for concurrent use.
type Cache struct {
	// ristretto panics if it is used while it is being closed.
	mu    sync.RWMutex
	cache *ristretto.Cache[string, *verifiedToken]
}

// tokenHash is the SHA-256 of a whole token. With a weaker hash, two tokens could
// be made to collide, and one subject be mistaken for another.
type tokenHash [sha256.Size]byte

func hashToken(token string) tokenHash { return sha256.Sum256([]byte(token)) }

type verifiedToken struct {
	hash  tokenHash
	keys  any // under which it was verified
	token *codec.AccessToken
}

// NewCache returns a cache of at most limit tokens. The caller closes it.
func NewCache(limit int) (*Cache, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[string, *verifiedToken]{
		NumCounters: 10 * int64(limit), MaxCost: int64(limit), BufferItems: 64, IgnoreInternalCost: true,
	})
	if err != nil {
		return nil, fmt.Errorf("wafer: the cache of %d access tokens: %w", limit, err)
	}
	return &Cache{cache: cache}, nil
}

// get returns a token that was verified under the same keys, or nil. ristretto
// finds entries by a short hash, so get compares the whole one.
func (c *Cache) get(hash tokenHash, keys any) *codec.AccessToken {
	if c == nil {
		return nil
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	found, ok := c.cache.Get(string(hash[:]))
	if !ok || found == nil || found.hash != hash || found.keys != keys {
		return nil
	}
	return found.token
}

func (c *Cache) put(hash tokenHash, keys any, token *codec.AccessToken, life time.Duration) {
	if c == nil || life <= 0 {
		return
	}
	c.mu.RLock()
	defer c.mu.RUnlock()
	c.cache.SetWithTTL(string(hash[:]), &verifiedToken{hash, keys, token}, 1, life)
}

// Close stops the cache's goroutines. It must not be used afterwards.
func (c *Cache) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cache.Close()
}
