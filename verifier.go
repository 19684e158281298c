package wafer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"slices"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/bearer"
	"github.com/waferkit/wafer/internal/remotekeys"
	"github.com/waferkit/wafer/revocation"
)

// Verifier verifies access tokens in a service that has neither the ring nor any
// other secret. It uses the issuer's public keys and its log of revocations
// ([VerifierConfig.Log]), and decides as [Sessions.Bearer] does. It is safe for
// concurrent use.
type Verifier struct {
	config  VerifierConfig
	bearer  *bearer.Judge
	keys    *remotekeys.Keys    // nil with a Document
	replica *revocation.Replica // nil without a Log
}

// NewVerifier returns a verifier once it has fetched the issuer's keys and has read
// the log. It tries both again until they succeed or ctx ends;
// [VerifierConfig.Observe] receives the failures. A configuration whose fields
// contradict each other is an error at once. The caller closes the verifier.
func NewVerifier(ctx context.Context, config VerifierConfig) (*Verifier, error) {
	config, err := config.withDefaults()
	if err != nil {
		return nil, err
	}
	v := &Verifier{config: config, bearer: &bearer.Judge{Now: config.Now, Observer: observer(config.Observe)}}
	var keys codec.AccessKeys
	if config.JWKSURL == "" {
		set, err := readKeys(config.Document, config.Algorithms)
		if err != nil {
			return nil, fmt.Errorf("wafer: VerifierConfig.Document: %w", err)
		}
		keys, v.bearer.Keys = set, func() any { return set }
	} else {
		v.keys = remotekeys.New(remotekeys.Config{
			Fetch: newKeyFetcher(&config).fetch, Name: config.JWKSURL, Refresh: config.Refresh, Keep: config.Keep, Now: config.Now,
			Outage: func(err error) {
				config.Observe(Event{Kind: KindUnavailable, Reason: "the issuer's keys cannot be fetched", Err: err})
			},
		})
		keys, v.bearer.Keys = v.keys, v.keys.Identity
	}
	v.bearer.Verifier, err = codec.NewAccessVerifier(codec.AccessVerifierConfig{
		Keys: keys, Algorithms: config.Algorithms, Issuer: config.Issuer, Audiences: config.Audiences, Leeway: 2 * config.Skew,
	})
	if err != nil {
		err = fmt.Errorf("wafer: VerifierConfig: %w", err)
	} else if v.bearer.Verified, err = bearer.NewCache(config.CachedTokens); err == nil {
		err = v.open(ctx)
	}
	if err != nil {
		v.Close()
		return nil, err
	}
	return v, nil
}

// open waits for the keys and then reads the log, which may have the keys fetched
// again.
func (v *Verifier) open(ctx context.Context) error {
	if v.keys != nil {
		if err := v.keys.Open(ctx); err != nil {
			return err
		}
	}
	if v.config.Log == nil {
		v.config.Observe(Event{Kind: KindInsecure, Reason: "VerifierConfig.InsecureWithoutRevocations: " +
			"this service cannot know of a logout or a revocation; it accepts each token until that expires"})
		return nil
	}
	source, config := v.config.Log, revocation.Config{
		MaxStaleness: v.config.MaxStaleness,
		Limit:        v.config.MaxRevocations,
		Timeout:      v.config.StoreTimeout,
		Now:          v.config.Now,
		Observe:      v.observeReplica,
	}
	if v.keys != nil {
		log := &remotekeys.Log{Source: source, Keys: v.keys}
		source, config.BeforeEveryone = log, log.BeforeEveryone
	}
	replica, err := revocation.Follow(ctx, source, config)
	if err != nil {
		return fmt.Errorf("wafer: VerifierConfig.Log: %w", err)
	}
	v.replica, v.bearer.Revocations = replica, replica
	return nil
}

// Close stops the verifier's goroutines and waits for them. The log stays the
// caller's. The verifier must not be used afterwards.
func (v *Verifier) Close() {
	if v.replica != nil {
		v.replica.Close()
	}
	if v.keys != nil {
		v.keys.Close()
	}
	if v.bearer.Verified != nil {
		v.bearer.Verified.Close()
	}
}

// Verify returns the session that an access token was minted from, for services
// that get tokens in another way than by HTTP. The session has its ID, Subject,
// Authenticated, Actor, Methods, Level, Scope, Claims and Position. Its Deadline is
// the token's expiry.
// The error matches [ErrNoSession] if the token is not good, whatever the reason,
// or [ErrUnavailable] if nobody can say whether it is.
func (v *Verifier) Verify(ctx context.Context, token string) (*Session[struct{}], error) {
	access, err := v.bearer.Token(ctx, token)
	if err != nil {
		return nil, err
	}
	session := new(Session[struct{}])
	bearerSession(session, access)
	return session, nil
}

// Bearer lets only requests with an access token pass (the header "Authorization:
// Bearer", RFC 6750 section 2.1). h gets the session by [Verifier.Get]. Bearer
// answers all other requests by [Verifier.Error], with the challenge of RFC 6750
// section 3. It ignores cookies.
func (v *Verifier) Bearer(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		a := v.attached(r.Context())
		if a == nil {
			a = v.attach(r)
			r = r.WithContext(context.WithValue(r.Context(), verifierKey{v}, a))
			w.Header().Add("Vary", "Authorization")
		}
		if a.err != nil {
			v.Error(w, r, a.err)
			return
		}
		noStore(w.Header())
		h.ServeHTTP(w, r)
	})
}

// bearerAttachment holds the session of a request that has passed Bearer, or why
// it has none.
type bearerAttachment struct {
	session *Session[struct{}]
	err     error
	bearer  bearerState
}

// verifierKey is the context key of the attachment of one Verifier.
type verifierKey struct{ owner *Verifier }

func (v *Verifier) attached(ctx context.Context) *bearerAttachment {
	a, _ := ctx.Value(verifierKey{v}).(*bearerAttachment)
	return a
}

func (v *Verifier) attach(r *http.Request) *bearerAttachment {
	token, found := bearerToken(r.Header)
	if !found {
		return &bearerAttachment{err: ErrNoSession, bearer: absentBearer}
	}
	session, err := v.Verify(r.Context(), token)
	return &bearerAttachment{session, err, presentBearer}
}

// Get returns the session of a request that has passed Bearer.
func (v *Verifier) Get(ctx context.Context) (*Session[struct{}], error) {
	a := v.attached(ctx)
	if a == nil {
		return nil, errNotVerified
	}
	return a.session, a.err
}

// errNotVerified is a programmer's mistake, as errNotAttached is.
var errNotVerified = errors.New("wafer: the request has not passed Bearer of this Verifier")

// keysRetry is the Retry-After of a 503. The keys are fetched again about as
// often.
const keysRetry = 5 * time.Second

// Error answers a request as [Sessions.Error] does: 401 with a challenge, or 503.
// [VerifierConfig.ErrorHandler] replaces the answer. The headers are set before it
// is called.
func (v *Verifier) Error(w http.ResponseWriter, r *http.Request, err error) {
	bearer := noBearer
	if a := v.attached(r.Context()); a != nil {
		bearer = a.bearer
	}
	noStore(w.Header())
	refuse(w, r, err, keysRetry, bearer, v.config.ErrorHandler)
}

// Health describes this service's copy of the revocations, for a health page and
// metrics. It makes no store call. Without a log, State is "none".
func (v *Verifier) Health() Health {
	if v.replica == nil {
		return Health{State: "none"}
	}
	return healthOf(v.replica, v.config.Now())
}

// KeysAge returns how long ago the issuer confirmed the keys. Alert if it comes
// near [VerifierConfig.Keep]. With a Document it is 0.
func (v *Verifier) KeysAge() time.Duration {
	if v.keys == nil {
		return 0
	}
	return v.keys.Age()
}

func (v *Verifier) observeReplica(e revocation.Event) {
	v.config.Observe(replicaEvent(e, "that this service holds; the nodes of the issuer write back what they hold"))
}

// Format prints the issuer and the audiences alone, for every verb.
func (v *Verifier) Format(f fmt.State, _ rune) {
	fmt.Fprintf(f, "wafer verifier of %q for %q", v.config.Issuer, v.config.Audiences)
}

// LogValue logs the issuer and the audiences alone.
func (v *Verifier) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(v)) }

// readKeys parses a JWK set. A set without a key to verify with is an error.
func readKeys(text []byte, algorithms []codec.Algorithm) (*codec.JWKS, error) {
	set, err := codec.ParseJWKS(text)
	if err != nil {
		return nil, fmt.Errorf("%d bytes are no JWK set: %w", len(text), err)
	}
	usable := func(kid string) bool {
		return slices.ContainsFunc(algorithms, func(a codec.Algorithm) bool {
			_, err := set.AccessKey(context.Background(), time.Time{}, kid, a)
			return err == nil
		})
	}
	if !slices.ContainsFunc(set.KeyIDs(), usable) {
		return nil, fmt.Errorf("a JWK set without a key for %q: nothing could be verified", algorithms)
	}
	return set, nil
}
