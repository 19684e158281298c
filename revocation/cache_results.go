package revocation

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// resultCache holds query results in ristretto. ristretto may refuse or evict
// any of them at any time, which costs a query.
type resultCache struct {
	seeds [2]maphash.Seed
	ttl   time.Duration

	// ristretto panics if it is used while it is being closed. Once closed it
	// is empty and ignores writes.
	mu    sync.RWMutex
	cache *ristretto.Cache[uint64, *cached]
}

// cached is a result with its query, since ristretto finds entries by hash
// alone.
type cached struct {
	query
	result
}

func newResultCache(limit int, ttl time.Duration) (*resultCache, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *cached]{
		NumCounters:        10 * int64(limit), // as its documentation advises
		MaxCost:            int64(limit),      // each result counts as 1
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
	return &resultCache{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, ttl: ttl, cache: cache}, err
}

// key returns a hash of a query that cannot be predicted outside the process.
func (rc *resultCache) key(q query) uint64 {
	return maphash.Bytes(rc.seeds[0], q.session[:]) ^ maphash.String(rc.seeds[1], q.subject)
}

// get returns the cached result of a query.
func (rc *resultCache) get(q query) (result, bool) {
	rc.mu.RLock()
	defer rc.mu.RUnlock()
	k, found := rc.cache.Get(rc.key(q))
	if !found || k.query != q {
		return result{}, false
	}
	return k.result, true
}

// put caches a result if there is room for it. ristretto evicts it by the wall
// clock once it is useless; the reader of the result checks its age.
func (rc *resultCache) put(q query, res result) {
	// The subject may be a substring of something large.
	q.subject = strings.Clone(q.subject)
	rc.mu.RLock()
	defer rc.mu.RUnlock()
	rc.cache.SetWithTTL(rc.key(q), &cached{q, res}, 1, rc.ttl)
}

func (rc *resultCache) len() int { return int(rc.cache.MaxCost() - rc.cache.RemainingCost()) }

func (rc *resultCache) close() {
	rc.mu.Lock()
	defer rc.mu.Unlock()
	rc.cache.Close()
}
