package revocation

import (
	"hash/maphash"
	"strings"
	"sync"
	"time"

	"github.com/dgraph-io/ristretto/v2"
)

// answers keeps what the store said, in ristretto: it may lose any of them at
// any time, and take none, which costs a question.
type answers struct {
	seeds [2]maphash.Seed
	keep  time.Duration

	// ristretto panics where it is used while it is being closed. Afterwards it
	// holds nothing and takes nothing.
	mu   sync.RWMutex
	kept *ristretto.Cache[uint64, *kept]
}

// kept is an answer with its question: ristretto finds it by a hash alone.
type kept struct {
	question
	answer
}

func newAnswers(limit int, keep time.Duration) (*answers, error) {
	cache, err := ristretto.NewCache(&ristretto.Config[uint64, *kept]{
		NumCounters:        10 * int64(limit), // as its documentation advises
		MaxCost:            int64(limit),      // each answer counts as 1
		BufferItems:        64,
		IgnoreInternalCost: true,
	})
	return &answers{seeds: [2]maphash.Seed{maphash.MakeSeed(), maphash.MakeSeed()}, keep: keep, kept: cache}, err
}

// key is a hash that nobody outside the process can foresee.
func (a *answers) key(q question) uint64 {
	return maphash.Bytes(a.seeds[0], q.session[:]) ^ maphash.String(a.seeds[1], q.subject)
}

// get returns the answer that is kept for a question.
func (a *answers) get(q question) (answer, bool) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	k, found := a.kept.Get(a.key(q))
	if !found || k.question != q {
		return answer{}, false
	}
	return k.answer, true
}

// put keeps an answer, if there is room for it. ristretto drops it by the wall
// clock once it is of no use; how old it is, its reader judges.
func (a *answers) put(q question, said answer) {
	// The subject may be a part of something large.
	q.subject = strings.Clone(q.subject)
	a.mu.RLock()
	defer a.mu.RUnlock()
	a.kept.SetWithTTL(a.key(q), &kept{q, said}, 1, a.keep)
}

func (a *answers) len() int { return int(a.kept.MaxCost() - a.kept.RemainingCost()) }

func (a *answers) close() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.kept.Close()
}
