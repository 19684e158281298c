package wafer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/revocation"
)

// Config configures [New]. Every field except Realm has a default, and each
// default is the safe choice. All nodes of an application must use the same
// values.
type Config[T any] struct {
	// Realm names the application and its environment, such as
	// "shop.example/production". Nothing sealed in one realm is accepted in
	// another, whatever ring they share. Required; 1 to 255 bytes without NUL.
	Realm string

	// Access is the lifetime of a session cookie: for that long it is accepted
	// without a store call. Default 5 min; at least 1 ms. Each cookie's lifetime
	// is shorter by up to a tenth at random, which spreads the refreshes.
	Access time.Duration
	// Idle ends a session that has not been used for that long. Default 30 min;
	// more than Access. A session never outlives Idle by more than Skew, and may
	// end up to one Access early.
	Idle time.Duration
	// Absolute ends a session that long after the login, however much it is
	// used. Default 12 h; at least Idle.
	Absolute time.Duration
	// MaxIdle and MaxAbsolute are the largest limits that [Limits] may give to a
	// session, for "remember me". Default Idle and Absolute. MaxAbsolute is at
	// most the ring's Life.
	MaxIdle, MaxAbsolute time.Duration

	// Grace is for how long after a refresh the previous refresh token still
	// gets the same answer, for tabs that refresh at the same time and for
	// retries. Later it gets a token of its own, since the answer was lost, until
	// one of these tokens is used. Default 30 s or an eighth of Access, whichever
	// is less; at most a quarter of Access. MaxAbsolute is at most some 2^21
	// times Grace, which is 728 days with the default.
	Grace time.Duration
	// StrictRotation treats a refresh token that comes again after Grace as
	// stolen. Then a lost answer ends the session.
	StrictRotation bool

	// MaxStaleness is the longest time until a revocation by another node is in
	// force on this one. Default 30 s; at least 1 s. A node that cannot confirm
	// its list for longer asks the store about each request.
	MaxStaleness time.Duration
	// MaxRevocations is the number of revoked sessions and subjects that the node
	// holds in memory, at some 50 bytes each plus the text of the subjects. One
	// that is revoked again, or commits again, counts once. Beyond the number the
	// node drops the oldest eighth, and older sessions are refreshed once. Default
	// 1,048,576; at least 1,024. With NoReplica it is the number of sessions whose answer
	// the node caches, at some 400 bytes each; default 32,768. In an outage of the
	// store as many logouts wait for it, each of another session.
	MaxRevocations int
	// NoReplica keeps no list of revocations on this node. It is for functions,
	// which are frozen between requests and cannot follow a log, and for very
	// small machines. New reads no log, and only the ring is read in the
	// background: the node asks the store about each session and caches the
	// answer for MaxStaleness.
	//
	// The cost is one store query per session and MaxStaleness. All sessions are
	// queried again after this node revokes a subject or everyone, and after a
	// login here ends the oldest session (EndOldest). Each live response is
	// queried once per MaxStaleness. In an outage only sessions with a cached
	// answer are served. Revocations take effect as without NoReplica: at once
	// on the node that makes them, within MaxStaleness on the others.
	NoReplica bool
	// Skew is the largest difference between the clocks of the nodes and the
	// store. Default 5 s.
	Skew time.Duration
	// StoreTimeout bounds each store call. Default 2 s; at least 1 ms.
	StoreTimeout time.Duration

	// MaxSessions is the number of sessions that a subject may have at once; 0
	// means no limit. One more login fails with [ErrLimit], or ends the oldest
	// session if EndOldest is set.
	MaxSessions int
	EndOldest   bool

	// SessionCookie and RefreshCookie name the cookies. Default
	// "__Host-session" and "__Host-refresh"; the prefix "__Host-" is required.
	//
	// Several Sessions may share a realm, a ring and a store if their
	// SessionCookies differ. None accepts another's cookies, refresh tokens or
	// committed data. So renaming the SessionCookie logs everybody out, native
	// clients included. The subjects and their sessions are the store's:
	// MaxSessions, Devices, EndOthers and Revoke cover the sessions of all.
	// Access tokens belong to the realm and the issuer.
	SessionCookie, RefreshCookie string
	// SameSiteStrict sets SameSite=Strict on the cookies, so a user who follows a
	// link from another site arrives anonymous. Default Lax.
	SameSiteStrict bool
	// InsecureHTTP drops Secure and the prefix "__Host-" from the cookies, for
	// development over plain HTTP on a host that is not localhost. Anybody on the
	// network can then copy them.
	InsecureHTTP bool
	// InsecureSameSiteNone sets SameSite=None: browsers send the cookies with
	// requests from other sites too. Every route that changes something then
	// needs protection of another kind.
	InsecureSameSiteNone bool

	// Tokens configures access tokens for APIs and native clients. Nil turns them
	// off.
	Tokens *TokenConfig[T]
	// TrustedOrigins are the origins of other sites whose requests to
	// [Sessions.Endpoints] may change something, such as "https://admin.example".
	TrustedOrigins []string
	// Recent is the largest age of an authentication for DELETE devices/{id} of
	// [Sessions.Endpoints]. Default 5 min.
	Recent time.Duration

	// Reload is called before each refresh, to read roles or settings again. The
	// result is the session's data from then on. s.Data returns the data so far,
	// or the zero T if no data could be carried over. An error that wraps
	// [ErrEnded] ends the session. Any other error is an outage: the request is
	// unavailable. Reload is called before the token is known to be good, again
	// if another request has committed meanwhile (at most 4 times in all), and for
	// upgrades. Nil keeps the data.
	Reload func(ctx context.Context, s *Session[T]) (T, error)
	// Observe receives events, possibly from several goroutines at once. It must
	// not block. Default: events are logged by [log/slog.Default].
	Observe func(Event)
	// ErrorHandler answers a request in place of the default of [Sessions.Error].
	// Refusals with one status should look the same to clients.
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)
	// Now is the clock of this node. Default [time.Now].
	Now func() time.Time
}

const (
	defaultAccess   = 5 * time.Minute
	defaultIdle     = 30 * time.Minute
	defaultAbsolute = 12 * time.Hour
	defaultGrace    = 30 * time.Second
	defaultSkew     = 5 * time.Second
	defaultTimeout  = 2 * time.Second
	defaultRecent   = 5 * time.Minute

	hostPrefix = "__Host-"
)

// withDefaults returns c with its defaults, and an error if fields contradict
// each other.
func (c Config[T]) withDefaults(ring *keyring.Ring) (Config[T], error) {
	c.Access = cmp.Or(c.Access, defaultAccess)
	c.Idle = cmp.Or(c.Idle, defaultIdle)
	c.Absolute = cmp.Or(c.Absolute, defaultAbsolute)
	c.MaxIdle = cmp.Or(c.MaxIdle, c.Idle)
	c.MaxAbsolute = cmp.Or(c.MaxAbsolute, c.Absolute)
	c.Grace = cmp.Or(c.Grace, min(defaultGrace, c.Access/8))
	c.MaxStaleness = cmp.Or(c.MaxStaleness, revocation.DefaultMaxStaleness)
	if c.NoReplica {
		c.MaxRevocations = cmp.Or(c.MaxRevocations, revocation.DefaultAnswers)
	}
	c.MaxRevocations = cmp.Or(c.MaxRevocations, revocation.DefaultLimit)
	c.Skew = cmp.Or(c.Skew, defaultSkew)
	c.StoreTimeout = cmp.Or(c.StoreTimeout, defaultTimeout)
	c.Recent = cmp.Or(c.Recent, defaultRecent)
	c.Tokens = c.Tokens.withDefaults(c.Access)
	prefix := hostPrefix
	if c.InsecureHTTP {
		prefix = ""
	}
	c.SessionCookie = cmp.Or(c.SessionCookie, prefix+"session")
	c.RefreshCookie = cmp.Or(c.RefreshCookie, prefix+"refresh")
	if c.Observe == nil {
		c.Observe = logEvent
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.check(ring)
}

func (c *Config[T]) check(ring *keyring.Ring) error {
	for _, d := range []struct {
		name  string
		value time.Duration
	}{
		{"Access", c.Access}, {"Idle", c.Idle}, {"Absolute", c.Absolute}, {"MaxIdle", c.MaxIdle},
		{"MaxAbsolute", c.MaxAbsolute}, {"Grace", c.Grace}, {"StoreTimeout", c.StoreTimeout}, {"Recent", c.Recent},
	} {
		if d.value < time.Millisecond {
			return fmt.Errorf("wafer: Config.%s is %v: want at least 1ms", d.name, d.value)
		}
	}
	switch {
	case c.Idle <= c.Access:
		return fmt.Errorf("wafer: Config.Idle (%v) must be more than Access (%v), or sessions end before they can be refreshed", c.Idle, c.Access)
	case c.Absolute < c.Idle:
		return fmt.Errorf("wafer: Config.Absolute (%v) is less than Idle (%v)", c.Absolute, c.Idle)
	case c.MaxIdle < c.Idle || c.MaxAbsolute < c.Absolute:
		return fmt.Errorf("wafer: Config.MaxIdle (%v) and MaxAbsolute (%v) must be at least Idle (%v) and Absolute (%v)", c.MaxIdle, c.MaxAbsolute, c.Idle, c.Absolute)
	case c.MaxAbsolute > ring.Life():
		return fmt.Errorf("wafer: Config.MaxAbsolute (%v) is more than the ring's Life (%v): keys would expire under living sessions", c.MaxAbsolute, ring.Life())
	case c.MaxStaleness < time.Second:
		return fmt.Errorf("wafer: Config.MaxStaleness is %v: want at least 1s", c.MaxStaleness)
	case c.MaxRevocations < 1024:
		return fmt.Errorf("wafer: Config.MaxRevocations is %d: want at least 1024", c.MaxRevocations)
	case c.Skew < 0:
		return fmt.Errorf("wafer: Config.Skew is %v: want 0 or more", c.Skew)
	case c.MaxSessions < 0:
		return fmt.Errorf("wafer: Config.MaxSessions is %d: want 0 (no limit) or more", c.MaxSessions)
	case c.EndOldest && c.MaxSessions == 0:
		return errors.New("wafer: Config.EndOldest needs MaxSessions")
	case c.SameSiteStrict && c.InsecureSameSiteNone:
		return errors.New("wafer: Config.SameSiteStrict and InsecureSameSiteNone exclude each other")
	case c.InsecureHTTP && c.InsecureSameSiteNone:
		return errors.New("wafer: Config.InsecureSameSiteNone needs Secure cookies, which InsecureHTTP drops; browsers refuse both together")
	}
	if err := c.policy().Check(); err != nil {
		return fmt.Errorf("wafer: Config.Access (%v) and Grace (%v): %w", c.Access, c.Grace, err)
	}
	if longest := c.policy().LongestAbsolute(); c.MaxAbsolute > longest {
		return fmt.Errorf("wafer: Config.MaxAbsolute (%v) is more than %v, for which the generations of a refresh token last with Grace (%v); lengthen the grace", c.MaxAbsolute, longest, c.Grace)
	}
	if err := c.Tokens.check(); err != nil {
		return err
	}
	return c.checkCookies()
}

func (c *Config[T]) checkCookies() error {
	for _, cookie := range []struct{ field, name string }{
		{"SessionCookie", c.SessionCookie}, {"RefreshCookie", c.RefreshCookie},
	} {
		field, name := "wafer: Config."+cookie.field, cookie.name
		// Browsers compare these prefixes without case (RFC 6265bis section 5.4).
		host := strings.HasPrefix(name, hostPrefix)
		promises := hasPrefixFold(name, hostPrefix) || hasPrefixFold(name, "__Secure-") || hasPrefixFold(name, "__Http-")
		switch err := (&http.Cookie{Name: name, Value: "v"}).Valid(); {
		case err != nil:
			return fmt.Errorf("%s is %q: %w", field, name, err)
		case len(name) > maxCookieName:
			return fmt.Errorf("%s has %d bytes: want at most %d, since the name counts against the %d bytes of a cookie", field, len(name), maxCookieName, maxCookie)
		case !c.InsecureHTTP && !host:
			return fmt.Errorf("%s is %q: it must begin with %q, or a sibling domain can plant the cookie", field, name, hostPrefix)
		case c.InsecureHTTP && promises:
			return fmt.Errorf("%s is %q: its prefix promises Secure, which Config.InsecureHTTP drops, and browsers would refuse it", field, name)
		}
	}
	if c.SessionCookie == c.RefreshCookie {
		return fmt.Errorf("wafer: Config.SessionCookie and RefreshCookie are both %q", c.SessionCookie)
	}
	return nil
}

// maxCookieName bounds the names of the cookies in bytes.
const maxCookieName = 128

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func (c *Config[T]) policy() refresh.Policy {
	return refresh.Policy{Access: c.Access, Grace: c.Grace, Skew: c.Skew, Strict: c.StrictRotation}
}

// leeway is the tolerance for times in the future. Expiries get none.
func (c *Config[T]) leeway() time.Duration { return 2 * c.Skew }

// warn reports each setting that weakens security.
func (c *Config[T]) warn() {
	if c.InsecureHTTP {
		c.Observe(Event{Kind: KindInsecure, Reason: "Config.InsecureHTTP: cookies go over plain HTTP"})
	}
	if c.InsecureSameSiteNone {
		c.Observe(Event{Kind: KindInsecure, Reason: "Config.InsecureSameSiteNone: cookies go with requests from other sites"})
	}
}
