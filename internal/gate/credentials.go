package gate

import (
	"context"
	"errors"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// MaxDuplicates bounds the cookies of one name that are tried.
const MaxDuplicates = 4

// Cookies holds the values of a request's session and refresh cookies.
type Cookies struct{ Session, Refresh Values }

// None reports whether the request has neither cookie.
func (c *Cookies) None() bool { return c.Session.n+c.Refresh.n == 0 }

// Values holds the first values of one cookie name, in the request's order, at
// most MaxDuplicates.
type Values struct {
	values [MaxDuplicates]string
	n      int
}

// Add adds a value unless there are MaxDuplicates already.
func (v *Values) Add(value string) {
	if v.n < MaxDuplicates {
		v.values[v.n] = value
		v.n++
	}
}

// All returns the values in the request's order.
func (v *Values) All() []string { return v.values[:v.n] }

// Credentials holds a request's authentic credentials. It says nothing about
// their lifetimes or revocation.
type Credentials struct {
	Cookie    codec.Session
	Content   codec.Content
	HasCookie bool

	Token    codec.RefreshToken
	HasToken bool

	// refreshValues are the refresh cookies that were not opened yet.
	refreshValues Values
	// reloaded is set after an unknown key id made the ring reload. One reload is
	// enough for a request: it brings every key that there is.
	reloaded bool
}

// canceledCtx makes opening a cookie skip the wait for a reload.
var canceledCtx = func() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}()

// openCtx returns the context to open the next cookie with.
func (c *Credentials) openCtx(ctx context.Context) context.Context {
	if c.reloaded {
		return canceledCtx
	}
	return ctx
}

// Read opens a request's cookies. The first value of each name that opens
// counts.
func (g *Gate) Read(ctx context.Context, now time.Time, cookies *Cookies) *Credentials {
	c := new(Credentials)
	g.readCookie(ctx, now, cookies, c)
	g.readToken(ctx, now, c)
	return c
}

// readCookie opens the session cookie and leaves the refresh token for later.
func (g *Gate) readCookie(ctx context.Context, now time.Time, cookies *Cookies, c *Credentials) {
	c.refreshValues = cookies.Refresh
	for _, value := range cookies.Session.All() {
		var err error
		if c.Content, err = g.Cookies.OpenContent(c.openCtx(ctx), now, value, &c.Cookie); err == nil {
			c.HasCookie = true
			break
		}
		c.Cookie = codec.Session{}
		g.notAuthentic(c, "session cookie not authentic", err)
	}
}

// readToken authenticates the refresh token, if that was not done before.
func (g *Gate) readToken(ctx context.Context, now time.Time, c *Credentials) {
	for _, value := range c.refreshValues.All() {
		var err error
		if c.Token, err = g.RefreshTokens.Parse(c.openCtx(ctx), now, value); err == nil {
			c.HasToken = true
			break
		}
		g.notAuthentic(c, "refresh token not authentic", err)
	}
	c.refreshValues = Values{}
}

// notAuthentic reports a cookie that did not open.
func (g *Gate) notAuthentic(c *Credentials, reason string, err error) {
	c.reloaded = c.reloaded || errors.Is(err, keyring.ErrUnknown)
	g.Observer.Refused(store.ID{}, reason, err)
}

// ownTokens reports whether every refresh cookie names the family of the session
// cookie, authentic or not. Such tokens change nothing while the session cookie
// is good, so authenticating them can wait.
func (g *Gate) ownTokens(c *Credentials) bool {
	for _, value := range c.refreshValues.All() {
		if !g.RefreshTokens.Names(value, c.Cookie.ID) {
			return false
		}
	}
	return c.HasCookie
}

// mixed reports whether the two cookies belong to different families.
func (c *Credentials) mixed() bool {
	return c.HasCookie && c.HasToken && c.Cookie.ID != c.Token.Family
}

// Families returns the ids of the families that the credentials name, at most
// two. The rest is zero.
func (c *Credentials) Families() (ids [2]store.ID) {
	if c.HasCookie {
		ids[0] = store.ID(c.Cookie.ID)
	}
	if c.HasToken && (!c.HasCookie || c.mixed()) {
		ids[1] = store.ID(c.Token.Family)
	}
	return ids
}
