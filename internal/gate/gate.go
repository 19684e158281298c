// Package gate decides what a request's cookies are worth: whether they are a
// session, may become one by a refresh, or are nothing. It writes nothing and
// does not know HTTP.
package gate

import (
	"context"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Revocations decides whether a cookie is revoked: a [revocation.Replica] or a
// [revocation.Cache].
type Revocations interface {
	Decide(ctx context.Context, now time.Time, session store.ID, subject string, at store.Position) (revocation.Verdict, error)
}

// Node is the part of a node that the gate asks.
type Node interface {
	Family(ctx context.Context, id store.ID) (store.Snapshot, error)
	Unavailable(id store.ID, err error) error
}

// Observer receives what operators should know.
type Observer interface {
	Refused(session store.ID, reason string, err error)
	Alarm(session store.ID, at store.Position, reason string, err error)
}

// Gate judges requests. Set its fields before the first use; it is then safe for
// concurrent use.
type Gate struct {
	Ring          *keyring.Ring
	Cookies       *codec.Cookies
	RefreshTokens *codec.RefreshTokens
	Revocations   Revocations
	Node          Node
	Access        time.Duration // the access lifetime that is configured now
	Leeway        time.Duration
	Now           func() time.Time
	Observer      Observer
}

// Finding is the gate's decision about a request.
type Finding uint8

const (
	// Anonymous: there is no session, and no refresh would change that.
	Anonymous Finding = iota
	// Valid: the session cookie is good.
	Valid
	// Refreshable: the session cookie is not good, and the refresh token decides.
	Refreshable
)

// Judge decides what a request's cookies are worth, and fills in c. It asks the
// store only if the replica cannot decide, or if the cookies belong to two
// families. An error is an outage.
func (g *Gate) Judge(ctx context.Context, now time.Time, cookies *Cookies, c *Credentials) (Finding, error) {
	keys := g.Ring.Set()
	g.readCookie(ctx, now, cookies, c)
	if !g.ownTokens(c) {
		g.readToken(ctx, now, c)
	}
	if c.mixed() {
		alive, err := g.alive(ctx, store.ID(c.Cookie.ID))
		if err != nil {
			return Anonymous, err
		}
		if alive {
			// Somebody put a second living session into the jar. To pick either
			// would silently change the user.
			g.Observer.Refused(store.ID(c.Token.Family), ReasonMixed, nil)
			return Anonymous, nil
		}
		// The cookie is a late answer from before a login or Renew.
		c.HasCookie = false
		return Refreshable, nil
	}
	if c.HasCookie {
		if c.reloaded || g.Ring.Set() != keys {
			now = g.Now() // after a wait, the replica may have grown stale
		}
		good, err := g.good(ctx, now, &c.Cookie)
		if err != nil {
			return Anonymous, err
		}
		if good && g.opensStill(ctx, now, keys, cookies, c) {
			return Valid, nil
		}
	}
	g.readToken(ctx, now, c)
	if !c.HasToken {
		return Anonymous, nil
	}
	// The refresh may go on with the cookie's data, and seal it under another key.
	g.opensStill(ctx, now, keys, cookies, c)
	return Refreshable, nil
}

// opensStill reports whether the session cookie opens, and drops it if not. It
// opens the cookie again if the ring has changed since keys. A leaked key seals
// any position and any data, and the ring is reloaded before an entry that
// revokes everyone is applied. If that happened since the cookie was opened, the
// cookie must open after it too.
func (g *Gate) opensStill(ctx context.Context, now time.Time, keys *keyring.Set, cookies *Cookies, c *Credentials) bool {
	if !c.HasCookie || g.Ring.Set() == keys {
		return c.HasCookie
	}
	again := Credentials{reloaded: true} // its key was known, so a reload brings nothing
	g.readCookie(ctx, now, cookies, &again)
	if !again.HasCookie || !again.Content.Equal(c.Content) {
		c.Cookie, c.Content, c.HasCookie = codec.Session{}, codec.Content{}, false
	}
	return c.HasCookie
}

// ReasonMixed is the reason of a refusal that operators should see.
const ReasonMixed = "cookies of two living sessions"

// good reports whether an authentic session cookie is good now. An error is an
// outage.
func (g *Gate) good(ctx context.Context, now time.Time, c *codec.Session) (bool, error) {
	id, at := store.ID(c.ID), store.Position(c.Position)
	if reason := g.outOfTime(now, c); reason != "" {
		g.Observer.Refused(id, reason, nil)
		return false, nil
	}
	verdict, err := g.Revocations.Decide(ctx, now, id, c.Subject.Text(), at)
	if actor := c.Actor.Text(); actor != "" {
		verdict, err = revocation.WithActor(verdict, err, func() (revocation.Verdict, error) {
			return g.Revocations.Decide(ctx, g.Now(), id, actor, at) // now: the first decision may have waited
		})
	}
	if err != nil {
		return false, g.Node.Unavailable(id, err)
	}
	switch verdict {
	case revocation.Good:
		return true, nil
	case revocation.Ahead:
		g.Observer.Alarm(id, at, "a cookie is ahead of the store's log: the store went back in time", nil)
	default:
		g.Observer.Refused(id, verdict.String(), nil)
	}
	return false, nil
}

// outOfTime returns which limit of time a session cookie is past, or "".
func (g *Gate) outOfTime(now time.Time, c *codec.Session) string {
	switch {
	case c.Issued.After(now.Add(g.Leeway)):
		return "issued in the future"
	case now.Before(c.Expires(g.Access)):
		return ""
	case !now.Before(c.Deadline()):
		return "past the session's limits"
	}
	return "past the access lifetime"
}

// alive asks the store whether a family is alive and within its limits.
func (g *Gate) alive(ctx context.Context, id store.ID) (bool, error) {
	snap, err := g.Node.Family(ctx, id)
	if err != nil {
		return false, err
	}
	return snap.State == store.Alive && !snap.Family.Past(snap.Now), nil
}
