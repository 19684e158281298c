package revocation

import (
	"context"
	"time"
	"unsafe"

	"github.com/waferkit/wafer/store"
)

// MaxQueries is maxQueries.
const MaxQueries = maxQueries

// HoldWriters takes the lock of a list's writers until it is released.
func (l *List) HoldWriters() (release func()) {
	l.mu.Lock()
	return l.mu.Unlock
}

// Slots returns how many slots the tables have.
func (l *List) Slots() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, x := range []*index{&l.sessions, &l.subjects} {
		for i := range x {
			if t := x[i].Load(); t != nil {
				n += len(t.slots)
			}
		}
	}
	return n
}

// List returns the replica's list.
func (r *Replica) List() *List { return r.list }

// Read queries the log once, as the replica's goroutine does.
func (r *Replica) Read(ctx context.Context, wait time.Duration) error {
	_, err := r.query(ctx, wait)
	return err
}

// Judge is judge, which a replica's Check calls.
func (l *List) Judge(session store.ID, subject string, at store.Position) Verdict {
	return l.judge(session, subject, at)
}

// WithTag returns the first of eight slots that has the tag.
func WithTag(of, tag uint64) (slot int, ok bool) {
	mask := tags(of).match(tag)
	return slotOf(mask), mask != 0
}

// KeepAtMost makes a cache hold fewer results than a Config allows.
func (c *Cache) KeepAtMost(n int) { c.results.cache.UpdateMaxCost(int64(n)) }

// KeepNothing makes a cache refuse every result.
func (c *Cache) KeepNothing() { c.results.close() }

// Settle waits until cached results can be found.
func (c *Cache) Settle() { c.results.cache.Wait() }

// Confuse stores the result for one session under the hash of another, as if
// the hashes collided.
func (c *Cache) Confuse(session store.ID, subject string, with store.ID, withSubject string) (found bool) {
	q := query{session, subject}
	k, found := c.results.cache.Get(c.results.key(q))
	if found {
		c.results.cache.Set(c.results.key(query{with, withSubject}), k, 1)
		c.Settle()
	}
	return found
}

// ResultSize is the size of a cached result in bytes, without its subject.
const ResultSize = unsafe.Sizeof(cached{})

// Held returns how many names a list believes to hold, and at how many it looks
// for room.
func (l *List) Held() (held, due int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held, l.due
}

// Held returns the list of what a cache holds itself.
func (c *Cache) Held() *List { return c.held }

// DeadBy is deadBy.
func DeadBy(l *List, f *store.Family) bool { return deadBy(l, f) }
