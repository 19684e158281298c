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

// VerifierConfig configures [NewVerifier]. Issuer, Audiences, the keys and the Log
// are required. Each default is the safe choice.
type VerifierConfig struct {
	// Issuer is the only iss that is accepted: the application's
	// [TokenConfig.Issuer]. Required.
	Issuer string
	// Audiences are the names of this service, each of them one of
	// [TokenConfig.Audiences]. A token for another service is refused, and so is a
	// token for this service and another. Required.
	Audiences []string
	// Algorithms are the only ones that are accepted. Default EdDSA.
	Algorithms []codec.Algorithm

	// JWKSURL is where the issuer publishes its keys, such as
	// "https://shop.example/session/jwks.json". The scheme is https, or http on a
	// loopback address. Redirects are followed only to the same host. JWKSURL or
	// Document is required.
	JWKSURL string
	// Document is a JWK set, for an issuer whose keys reach this service in another
	// way. It is trusted for as long as the Verifier is used.
	Document []byte
	// Client fetches JWKSURL. Its CheckRedirect is replaced. Default: a client of
	// the Verifier's own, with the proxy of the environment. A fetch takes at most
	// 5 s and reads at most [codec.MaxJWKS] bytes.
	Client *http.Client
	// Refresh is the age at which the keys are fetched again. A revoked key is no
	// longer accepted that long after its revocation, or at once if everyone was
	// revoked with it and Log is set. An unknown key id causes a fetch within a
	// second too; concurrent requests share it. Default 5 min; at least 1 s, at most
	// Keep.
	Refresh time.Duration
	// Keep is for how long the keys are used while they cannot be fetched. After
	// that every token is answered as unavailable, since its key may be revoked.
	// Default 15 min; at least Refresh, at most [keyring.Lead], 1 h, which is how
	// long before its first signature a key is published.
	Keep time.Duration

	// Log is the issuer's log of revocations, that is, its store. Only Since and
	// Cutoffs are called. Required unless InsecureWithoutRevocations is set.
	Log revocation.Source
	// MaxStaleness, MaxRevocations and StoreTimeout have the meaning and the
	// defaults that they have in [Config], for this service.
	MaxStaleness   time.Duration
	MaxRevocations int
	StoreTimeout   time.Duration
	// InsecureWithoutRevocations makes the Verifier work without a Log. It then
	// accepts the tokens of ended and revoked sessions until they expire,
	// [TokenConfig.Lifetime] at most.
	InsecureWithoutRevocations bool

	// Skew is the largest difference between the clocks of this service and the
	// issuer. It allows for tokens issued in the future, never for an expiry.
	// Default 5 s; at most 150 s.
	Skew time.Duration
	// CachedTokens has the meaning that it has in [TokenConfig]. Default 16,384.
	CachedTokens int
	// ErrorHandler answers a request in place of the default of [Verifier.Error].
	ErrorHandler func(w http.ResponseWriter, r *http.Request, err error)
	// Observe receives events, possibly from several goroutines at once. It must
	// not block. Default: events are logged by [log/slog.Default].
	Observe func(Event)
	// Now is the clock of this service. Default [time.Now].
	Now func() time.Time
}

const (
	defaultKeysRefresh = 5 * time.Minute
	defaultKeysKeep    = 15 * time.Minute
	// maxKeysKeep bounds Keep. A key is published that long before it signs, so a
	// set that is not older has every key that signs. It also bounds for how long a
	// revoked key is trusted in an outage.
	maxKeysKeep = keyring.Lead
)

// withDefaults returns c with its defaults, and an error if fields contradict each
// other. The codec and the replica check the rest.
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

// checkJWKSURL refuses an address at which anybody on the network could serve their
// own keys.
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
