// Package bearer decides whether an access token is good: authentic, within its
// times, and not revoked.
package bearer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Revocations decides whether a token is revoked: a [revocation.Replica] or a
// [revocation.Cache].
type Revocations interface {
	Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (revocation.Verdict, error)
}

// Observer receives what operators should know.
type Observer interface {
	Refused(session store.ID, reason string, err error)
	Unavailable(session store.ID, err error)
	Alarm(session store.ID, at store.Position, reason string, err error)
}

// Judge decides about access tokens. Set its fields before the first use; it is
// then safe for concurrent use.
type Judge struct {
	Verifier *codec.AccessVerifier
	Verified *Cache // nil caches nothing
	// Keys returns a value that identifies the current set of keys. A token that
	// was verified under another set is verified again.
	Keys func() any
	// Revocations is nil if the service knows no revocations.
	Revocations Revocations
	Now         func() time.Time
	Observer    Observer
}

// Token verifies an access token and returns its content. The error matches
// sentinel.ErrNoSession or sentinel.ErrUnavailable. With the latter, Token
// returns the content too if the token is authentic.
func (j *Judge) Token(ctx context.Context, token string) (*codec.AccessToken, error) {
	if len(token) > codec.MaxAccessToken { // before all of it is hashed
		j.Observer.Refused(store.ID{}, "access token not valid", codec.ErrLength)
		return nil, sentinel.ErrNoSession
	}
	hash := hashToken(token)
	for {
		keys := j.Keys()
		t, err := j.verify(ctx, hash, keys, token)
		if err != nil {
			return nil, err
		}
		if err = j.notRevoked(ctx, t); errors.Is(err, sentinel.ErrUnavailable) {
			return t, err
		} else if err != nil {
			return nil, err
		}
		// An answer of the store may have reloaded the keys. A leaked key signs
		// any position, so the token must verify after the reload too.
		if j.Keys() == keys {
			return t, nil
		}
	}
}

// verify returns the content of a token that is authentic and within its times.
func (j *Judge) verify(ctx context.Context, hash tokenHash, keys any, token string) (*codec.AccessToken, error) {
	now := j.Now()
	if t := j.Verified.get(hash, keys); t != nil {
		if !now.Before(t.Expires) {
			j.Observer.Refused(store.ID(t.Session), "access token past its expiry", nil)
			return nil, sentinel.ErrNoSession
		}
		return t, nil
	}
	t, err := j.Verifier.Verify(ctx, now, token)
	if errors.Is(err, sentinel.ErrUnavailable) {
		if !errors.Is(err, context.Canceled) { // a client that hung up is no outage
			j.Observer.Unavailable(store.ID{}, err)
		}
		return nil, err
	}
	if err != nil {
		j.Observer.Refused(store.ID{}, "access token not valid", err)
		return nil, sentinel.ErrNoSession
	}
	j.Verified.put(hash, keys, &t, t.Expires.Sub(now))
	return &t, nil
}

// notRevoked makes the two comparisons that a cookie gets too.
func (j *Judge) notRevoked(ctx context.Context, t *codec.AccessToken) error {
	if j.Revocations == nil {
		return nil
	}
	id, at := store.ID(t.Session), store.Position(t.Position)
	verdict, err := j.Revocations.Decide(ctx, j.Now(), id, t.Subject.Text(), at)
	if actor := t.Actor.Text(); actor != "" {
		verdict, err = revocation.WithActor(verdict, err, func() (revocation.Verdict, error) {
			return j.Revocations.Decide(ctx, j.Now(), id, actor, at)
		})
	}
	if err != nil {
		if !errors.Is(err, context.Canceled) {
			j.Observer.Unavailable(id, err)
		}
		return fmt.Errorf("%w: %w", sentinel.ErrUnavailable, err)
	}
	switch verdict {
	case revocation.Good:
		return nil
	case revocation.Ahead:
		j.Observer.Alarm(id, at, "an access token is ahead of the store's log: the store went back in time", nil)
	default:
		j.Observer.Refused(id, "access token "+verdict.String(), nil)
	}
	return sentinel.ErrNoSession
}
