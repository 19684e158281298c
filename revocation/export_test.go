package revocation

import (
	"context"
	"time"
	"unsafe"

	"github.com/waferkit/wafer/store"
)

// MaxAsking is maxAsking.
const MaxAsking = maxAsking

// Drops is drops: in how many steps a full list drops.
const Drops = drops

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

// List is what the replica holds.
func (r *Replica) List() *List { return r.list }

// Read asks the store once, as the replica's goroutine does.
func (r *Replica) Read(ctx context.Context, wait time.Duration) error {
	_, err := r.question(ctx, wait)
	return err
}

// Judge is judge: what a replica's check asks.
func (l *List) Judge(session store.ID, subject string, at store.Position) Verdict {
	return l.judge(session, subject, at)
}

// WithTag returns what tags say of eight slots: the first that has the tag.
func WithTag(of, tag uint64) (slot int, ok bool) {
	mask := tags(of).with(tag)
	return slotIn(mask), mask != 0
}

// KeepAtMost makes a cache keep fewer answers than a Config may ask for.
func (c *Cache) KeepAtMost(n int) { c.answers.kept.UpdateMaxCost(int64(n)) }

// KeepNothing makes a cache refuse every answer.
func (c *Cache) KeepNothing() { c.answers.close() }

// Settle waits until what was kept is found.
func (c *Cache) Settle() { c.answers.kept.Wait() }

// Confuse keeps the answer about one session under the hash of another, as if
// the two were the same.
func (c *Cache) Confuse(session store.ID, subject string, with store.ID, withSubject string) (found bool) {
	own := question{session, subject}
	k, found := c.answers.kept.Get(c.answers.key(own))
	if found {
		c.answers.kept.Set(c.answers.key(question{with, withSubject}), k, 1)
		c.Settle()
	}
	return found
}

// Answer is how many bytes a kept answer has, without its subject.
const Answer = unsafe.Sizeof(kept{})
