package wafer

import (
	"cmp"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
)

// VerifierConfig configures [NewVerifier]. Issuer, Audiences, the keys and the
// Log are required; each default is the safe choice.
type VerifierConfig struct {
	// Issuer is the one iss that is accepted: the application's
	// [TokenConfig.Issuer]. Required.
	Issuer string
	// Audiences are the names of this service, one of [TokenConfig.Audiences]
	// each. A token for another service is refused, and one for this and
	// another too. Required.
	Audiences []string
	// Algorithms are accepted, and no others. Default EdDSA.
	Algorithms []codec.Algorithm

	// JWKSURL is where the issuer publishes its keys, such as
	// "https://shop.example/session/jwks.json": https, or http on a loopback
	// address. Redirects are followed to the same host alone. This or Document
	// is required.
	JWKSURL string
	// Document is a JWK set, for issuers whose keys are known otherwise. It is
	// trusted for as long as the Verifier lives.
	Document []byte
	// Client fetches JWKSURL; its rules for redirects are replaced. Default: one
	// of the Verifier's own, with the proxy of the environment. A fetch takes at
	// most 5 s and reads at most [codec.MaxJWKS] bytes.
	Client *http.Client
	// Refresh is how old the keys may get before they are fetched again. A
	// revoked key is gone from here that long after, or at once where everyone
	// was revoked with it and Log is set. An unknown key id makes the keys be
	// fetched too, within a second; others wait for the same fetch. Default
	// 5 min, at most Keep, at least 1 s.
	Refresh time.Duration
	// Keep is for how long the keys are used while they cannot be fetched. Then
	// every token is unavailable: they might be signed with a revoked key.
	// Default 15 min, at least Refresh; at most [keyring.Lead], 1 h, which is
	// how long before it signs a key is published.
	Keep time.Duration

	// Log is the issuer's log of revocations: its store, of which nothing but
	// Since and Cutoffs is called. Required, but with
	// InsecureWithoutRevocations.
	Log revocation.Source
	// MaxStaleness, MaxRevocations and StoreTimeout are as in [Config], for this
	// service.
	MaxStaleness   time.Duration
	MaxRevocations int
	StoreTimeout   time.Duration
	// InsecureWithoutRevocations does without a Log. The service then cannot
	// know that a session was ended or revoked, and accepts its tokens until
	// they expire, [TokenConfig.Lifetime] at most.
	InsecureWithoutRevocations bool

	// Skew is how far apart the clocks of this service and the issuer may be.
	// It excuses a token issued in the future, never an expiry. Default 5 s, at
	// most 150 s.
	Skew time.Duration
	// CachedTokens is as in [TokenConfig]. Default 16,384.
	CachedTokens int
	// ErrorHandler answers a request in place of the default of [Verifier.Error].
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)
	// Observe is told of events, possibly by several goroutines at once. It
	// must not block. Default: log by [log/slog.Default].
	Observe func(Event)
	// Now is the clock of this service. Default [time.Now].
	Now func() time.Time
}

const (
	defaultKeysRefresh = 5 * time.Minute
	defaultKeysKeep    = 15 * time.Minute
	// maxKeysKeep is for how long a set may be kept that shows no more than the
	// keys of then: one that signs was published that long before. It also caps
	// for how long a revoked key may be trusted in an outage.
	maxKeysKeep = keyring.Lead
)

// withDefaults fills in what is unset and reports what does not fit together.
// What the codec and the replica check is left to them.
func (c VerifierConfig) withDefaults() (VerifierConfig, error) {
	c.Keep = cmp.Or(c.Keep, defaultKeysKeep)
	c.Refresh = cmp.Or(c.Refresh, min(defaultKeysRefresh, c.Keep))
	c.MaxStaleness = cmp.Or(c.MaxStaleness, revocation.DefaultMaxStaleness)
	c.MaxRevocations = cmp.Or(c.MaxRevocations, revocation.DefaultLimit)
	c.StoreTimeout = cmp.Or(c.StoreTimeout, defaultTimeout)
	c.Skew = cmp.Or(c.Skew, defaultSkew)
	c.CachedTokens = cmp.Or(c.CachedTokens, defaultCachedTokens)
	c.Audiences = slices.Clone(c.Audiences)
	c.Algorithms = slices.Clone(c.Algorithms)
	if c.Algorithms == nil {
		c.Algorithms = []codec.Algorithm{codec.EdDSA}
	}
	if c.Observe == nil {
		c.Observe = logEvent
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c, c.check()
}

func (c *VerifierConfig) check() error {
	switch {
	case (c.JWKSURL == "") == (c.Document == nil):
		return errors.New("wafer: VerifierConfig needs JWKSURL or Document, and not both: where the issuer's public keys are")
	case c.Document != nil && c.Client != nil:
		return errors.New("wafer: VerifierConfig.Client is for JWKSURL; a Document is not fetched")
	case c.Keep < time.Second || c.Keep > maxKeysKeep:
		return fmt.Errorf("wafer: VerifierConfig.Keep is %v: want 1s to %v", c.Keep, maxKeysKeep)
	case c.Refresh < time.Second || c.Refresh > c.Keep:
		return fmt.Errorf("wafer: VerifierConfig.Refresh is %v: want 1s to Keep, %v", c.Refresh, c.Keep)
	case c.Log == nil && !c.InsecureWithoutRevocations:
		return errors.New("wafer: VerifierConfig.Log is nil: want the issuer's store, or InsecureWithoutRevocations to accept tokens of ended sessions until they expire")
	case c.Log != nil && c.InsecureWithoutRevocations:
		return errors.New("wafer: VerifierConfig.Log and InsecureWithoutRevocations exclude each other")
	case c.MaxStaleness < time.Second:
		return fmt.Errorf("wafer: VerifierConfig.MaxStaleness is %v: want at least 1s", c.MaxStaleness)
	case c.MaxRevocations < 1024:
		return fmt.Errorf("wafer: VerifierConfig.MaxRevocations is %d: want at least 1024", c.MaxRevocations)
	case c.StoreTimeout < time.Millisecond:
		return fmt.Errorf("wafer: VerifierConfig.StoreTimeout is %v: want at least 1ms", c.StoreTimeout)
	case c.Skew < 0:
		return fmt.Errorf("wafer: VerifierConfig.Skew is %v: want 0 or more", c.Skew)
	case c.CachedTokens < 1:
		return fmt.Errorf("wafer: VerifierConfig.CachedTokens is %d: want at least 1", c.CachedTokens)
	case len(c.Algorithms) == 0 || slices.ContainsFunc(c.Algorithms, func(a codec.Algorithm) bool { return a != codec.EdDSA && a != codec.ES256 }):
		return fmt.Errorf("wafer: VerifierConfig.Algorithms is %q: want %q, %q or both", c.Algorithms, codec.EdDSA, codec.ES256)
	case c.JWKSURL != "":
		return checkJWKSURL(c.JWKSURL)
	}
	return nil
}

// checkJWKSURL refuses an address at which anybody on the network could put keys
// of their own.
func checkJWKSURL(text string) error {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return fmt.Errorf("wafer: VerifierConfig.JWKSURL: %w", err)
	case u.Hostname() == "" || u.Opaque != "" || u.User != nil || u.Fragment != "":
		return errors.New("wafer: VerifierConfig.JWKSURL: want a URL with a host, and without a user or fragment, such as https://shop.example/session/jwks.json")
	case u.Scheme != "https" && !(u.Scheme == "http" && isLoopback(u.Hostname())):
		return fmt.Errorf("wafer: VerifierConfig.JWKSURL has the scheme %q: want https, or http on a loopback address: whoever can change the keys can sign any token", u.Scheme)
	}
	return nil
}

func isLoopback(host string) bool {
	address, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && address.Unmap().IsLoopback()
}
