package main

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"fmt"
	"runtime"
	"sync"

	"golang.org/x/crypto/argon2"

	"github.com/waferkit/wafer"
)

// users are the accounts of the shop. A real shop keeps them in its database;
// here they are new at each start.
type users struct {
	cost cost

	mu     sync.Mutex
	byName map[string]*password
	// nobody is checked in place of an unknown user, so that the time of an
	// answer does not reveal who has an account.
	nobody *password
	// slots bounds the number of concurrent hashes. Each uses much memory on
	// purpose, and a flood of logins must not use all of it.
	slots chan struct{}
}

// password is a salted Argon2id hash (RFC 9106).
type password struct {
	cost cost
	salt [16]byte
	hash [32]byte
}

// cost is the cost of one guess for a thief of the hashes.
type cost struct {
	time   uint32
	memory uint32 // KiB
}

// safeCost is what OWASP's password storage cheat sheet gives for 19 MiB.
var safeCost = cost{time: 2, memory: 19 << 10}

func newPassword(c cost, text string) *password {
	p := &password{cost: c}
	rand.Read(p.salt[:])
	copy(p.hash[:], p.derive(text))
	return p
}

func (p *password) derive(text string) []byte {
	return argon2.IDKey([]byte(text), p.salt[:], p.cost.time, p.cost.memory, 1, uint32(len(p.hash)))
}

func (p *password) is(text string) bool {
	return subtle.ConstantTimeCompare(p.derive(text), p.hash[:]) == 1
}

// newUsers returns users who all have the same first password.
func newUsers(c cost, first string, names ...string) *users {
	u := &users{
		cost:   c,
		byName: make(map[string]*password, len(names)),
		nobody: newPassword(c, rand.Text()),
		slots:  make(chan struct{}, max(2, runtime.GOMAXPROCS(0))),
	}
	for _, name := range names {
		u.byName[name] = newPassword(c, first)
	}
	return u
}

// slot waits until a hash may be computed. An error is an outage.
func (u *users) slot(ctx context.Context) (done func(), err error) {
	select {
	case u.slots <- struct{}{}:
		return func() { <-u.slots }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("%w: gave up waiting to check a password: %w", wafer.ErrUnavailable, ctx.Err())
	}
}

// verify reports whether text is the password of the user. It takes the same
// time for an unknown user. An error is an outage.
func (u *users) verify(ctx context.Context, name, text string) (bool, error) {
	_, ok, err := u.check(ctx, name, text)
	return ok, err
}

func (u *users) check(ctx context.Context, name, text string) (*password, bool, error) {
	done, err := u.slot(ctx)
	if err != nil {
		return nil, false, err
	}
	defer done()
	u.mu.Lock()
	p, known := u.byName[name]
	u.mu.Unlock()
	if !known {
		p = u.nobody
	}
	right := p.is(text)
	return p, right && known, nil
}

// change replaces a password by another. It reports false if old is wrong, or
// no longer right when the new hash has been computed: of two concurrent
// changes one wins.
func (u *users) change(ctx context.Context, name, old, text string) (bool, error) {
	before, ok, err := u.check(ctx, name, old)
	if !ok || err != nil {
		return false, err
	}
	done, err := u.slot(ctx)
	if err != nil {
		return false, err
	}
	after := newPassword(u.cost, text)
	done()
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.byName[name] != before {
		return false, nil
	}
	u.byName[name] = after
	return true, nil
}
