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
func (a *resultCache) key(q query) uint64 {
	return maphash.Bytes(a.seeds[0], q.session[:]) ^ maphash.String(a.seeds[1], q.subject)
}

// get returns the cached result of a query.
func (a *resultCache) get(q query) (result, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	k, found := a.cache.Get(a.key(q))
	if !found || k.query != q {
		return result{}, false
	}
	return k.result, true
}

// put caches a result if there is room for it. ristretto evicts it by the wall
// clock once it is useless; the reader of the result checks its age.
func (a *resultCache) put(q query, res result) {
	// The subject may be a substring of something large.
	q.subject = strings.Clone(q.subject)
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.cache.SetWithTTL(a.key(q), &cached{q, res}, 1, a.ttl)
}

func (a *resultCache) len() int { return int(a.cache.MaxCost() - a.cache.RemainingCost()) }

func (a *resultCache) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.cache.Close()
}
