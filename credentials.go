package wafer

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// credentials are what a request brought and what of it is authentic. Nothing
// is said yet of lifetimes or revocation.
type credentials struct {
	cookie    codec.Session
	content   codec.Content
	hasCookie bool

	token    codec.RefreshToken
	hasToken bool

	// tokens are the refresh cookies that were not looked into yet.
	tokens candidates
	// reloaded: a key id was unknown, and the ring was reloaded for it. Once is
	// enough for a request: that reload has brought every true id.
	reloaded bool
}

// over is a context that has ended: opening under it waits for no reload.
var over = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// patience returns the context to open the next cookie under.
func (c *credentials) patience(ctx context.Context) context.Context {
	if c.reloaded {
		return over
	}
	return ctx
}

// note tells the observer why a cookie did not open.
func (s *Sessions[T]) note(c *credentials, reason string, err error) {
	c.reloaded = c.reloaded || errors.Is(err, keyring.ErrUnknown)
	s.config.Observe(Event{Kind: KindRefused, Reason: reason, Err: err})
}

// read opens the request's cookies. Of several under one name the first that
// opens counts.
func (s *Sessions[T]) read(ctx context.Context, now time.Time, header http.Header) *credentials {
	c := new(credentials)
	s.readCookie(ctx, now, header, c)
	s.readToken(ctx, now, c)
	return c
}

// readCookie opens the session cookie and leaves the refresh token for later.
func (s *Sessions[T]) readCookie(ctx context.Context, now time.Time, header http.Header, c *credentials) {
	var sessions candidates
	s.find(header, &sessions, &c.tokens)
	for _, value := range sessions.all() {
		var err error
		if c.content, err = s.cookies.OpenContent(c.patience(ctx), now, value, &c.cookie); err == nil {
			c.hasCookie = true
			break
		}
		c.cookie = codec.Session{}
		s.note(c, "session cookie not authentic", err)
	}
}

// readToken authenticates the refresh token, unless that was done.
func (s *Sessions[T]) readToken(ctx context.Context, now time.Time, c *credentials) {
	for _, value := range c.tokens.all() {
		var err error
		if c.token, err = s.tokens.Parse(c.patience(ctx), now, value); err == nil {
			c.hasToken = true
			break
		}
		s.note(c, "refresh token not authentic", err)
	}
	c.tokens = candidates{}
}

// ownTokens reports that every refresh cookie names the family of the session
// cookie, authentic or not. While that cookie is good they change nothing, so
// their tags can wait.
func (s *Sessions[T]) ownTokens(c *credentials) bool {
	for _, value := range c.tokens.all() {
		if !s.tokens.Names(value, c.cookie.ID) {
			return false
		}
	}
	return c.hasCookie
}

// mixed reports that the two cookies belong to different families.
func (c *credentials) mixed() bool {
	return c.hasCookie && c.hasToken && c.cookie.ID != c.token.Family
}

// families returns the families that the credentials name, at most two; the
// rest is zero.
func (c *credentials) families() (ids [2]store.ID) {
	if c.hasCookie {
		ids[0] = store.ID(c.cookie.ID)
	}
	if c.hasToken && (!c.hasCookie || c.mixed()) {
		ids[1] = store.ID(c.token.Family)
	}
	return ids
}

// position is the highest that the credentials prove.
func (c *credentials) position() store.Position { return store.Position(c.cookie.Position) }
