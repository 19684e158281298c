package wafer

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/clock"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

const (
	// keysTimeout bounds one fetch, with all redirects and the body.
	keysTimeout = 5 * time.Second
	// keysWait bounds how long a request waits for a fetch.
	keysWait = 3 * time.Second
	// keysEvery is the least time between the starts of two fetches that
	// requests caused; keysSoon, of those that the log caused, which nobody can
	// forge.
	keysEvery = time.Second
	keysSoon  = 100 * time.Millisecond
	// keysBackoff is the longest pause after a failure.
	keysBackoff = 30 * time.Second
	// keysRedirects is how many redirects are followed.
	keysRedirects = 3
	// keysHeader bounds the header of the answer in bytes.
	keysHeader = 64 << 10
)

// remoteKeys is the issuer's key set, as its URL showed it last. One goroutine
// fetches it, so answers come in the order of their questions.
type remoteKeys struct {
	url        string
	client     *http.Client
	algorithms []codec.Algorithm
	refresh    time.Duration
	keep       time.Duration
	now        func() time.Time
	observe    func(Event)

	held    atomic.Pointer[heldKeys]
	failing atomic.Bool // the last fetch failed

	mu   sync.Mutex
	due  *keyFetch     // what callers wait for that has not begun; nil: nobody does
	wake chan struct{} // there is a new one

	stop    context.CancelFunc
	stopped chan struct{}
}

// heldKeys is a key set as of a time.
type heldKeys struct {
	set   *codec.JWKS
	text  []byte    // the set in its one form
	sent  time.Time // when it was last asked for
	since time.Time // when the issuer is known to have said so; not after sent
}

// keyFetch is one fetch that any number of requests wait for.
type keyFetch struct {
	urgent bool
	done   chan struct{}
	err    error
}

func newRemoteKeys(c *VerifierConfig) *remoteKeys {
	// Fetches are minutes apart: no connection is kept for the next.
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: keysHeader,
	}}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = checkRedirect
	k := &remoteKeys{
		url: c.JWKSURL, client: &client, algorithms: c.Algorithms, refresh: c.Refresh, keep: c.Keep,
		now: c.Now, observe: c.Observe, wake: make(chan struct{}, 1), stopped: make(chan struct{}),
	}
	run, stop := context.WithCancel(context.Background())
	k.stop = stop
	go k.follow(run)
	return k
}

// checkRedirect keeps to the origin that was configured: another may be
// anybody's.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if from := via[0].URL; r.URL.Scheme != from.Scheme || r.URL.Host != from.Host {
		return errors.New("it redirects to another host or scheme; configure that URL itself if it is the issuer's")
	}
	if len(via) > keysRedirects {
		return fmt.Errorf("it redirects more than %d times", keysRedirects)
	}
	return nil
}

// open waits for the first set until ctx ends.
func (k *remoteKeys) open(ctx context.Context) error {
	var last error
	for {
		err := k.await(ctx, false)
		if k.held.Load() != nil {
			return nil
		}
		if ctx.Err() == nil || last == nil {
			last = err
		}
		if ctx.Err() != nil {
			return fmt.Errorf("wafer: VerifierConfig.JWKSURL: no key set before the context ended: %w", last)
		}
	}
}

func (k *remoteKeys) close() {
	k.stop()
	<-k.stopped
}

// AccessKey returns the key with that id. An unknown id makes the set be
// fetched, once and bounded. ErrUnavailable: it cannot be known whether there is
// such a key.
func (k *remoteKeys) AccessKey(ctx context.Context, now time.Time, kid string, algorithm codec.Algorithm) (crypto.PublicKey, error) {
	if set := k.usable(); set != nil {
		key, err := set.AccessKey(ctx, now, kid, algorithm)
		if !errors.Is(err, keyring.ErrUnknown) {
			return key, err
		}
	}
	failed := k.await(ctx, false)
	set := k.usable()
	if set == nil {
		return nil, fmt.Errorf("%w: the issuer's keys are older than VerifierConfig.Keep: %w", ErrUnavailable, failed)
	}
	key, err := set.AccessKey(ctx, now, kid, algorithm)
	if failed != nil && errors.Is(err, keyring.ErrUnknown) {
		return nil, fmt.Errorf("%w: a key id that may be new: %w", ErrUnavailable, failed)
	}
	return key, err
}

// usable returns the set that verifies now, or nil.
func (k *remoteKeys) usable() *codec.JWKS {
	h, now := k.held.Load(), k.now()
	if h == nil || clock.Elapsed(h.since, now) > k.keep {
		return nil
	}
	// Timers stand still while a machine sleeps.
	if !k.failing.Load() && clock.Elapsed(h.sent, now) > k.refresh {
		k.ask(false)
	}
	return h.set
}

// identity tells the set that verifies now from all others. Where none does, it
// is like no other: no token counts as verified under it.
func (k *remoteKeys) identity() any {
	if set := k.usable(); set != nil {
		return set
	}
	return new(noKeys)
}

type noKeys struct{ _ byte }

// refetch fetches the set by a request that is sent after the call.
func (k *remoteKeys) refetch(ctx context.Context) error { return k.await(ctx, true) }

// await waits for a fetch that begins after the call: only that can show what
// the caller looks for. All callers share it, and a caller of junk cannot use up
// the one that a true key id needs.
func (k *remoteKeys) await(ctx context.Context, urgent bool) error {
	f := k.ask(urgent)
	ctx, cancel := context.WithTimeout(ctx, keysWait)
	defer cancel()
	select {
	case <-f.done:
		return f.err
	case <-k.stopped:
		return errors.New("wafer: the Verifier is closed")
	case <-ctx.Done():
		return fmt.Errorf("wafer: the issuer's keys were not fetched in time: %w", ctx.Err())
	}
}

// ask returns the next fetch to begin.
func (k *remoteKeys) ask(urgent bool) *keyFetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.due == nil {
		k.due = &keyFetch{done: make(chan struct{})}
	} else if k.due.urgent || !urgent {
		return k.due
	}
	k.due.urgent = urgent
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return k.due
}

// follow fetches the set whenever that is due, until ctx ends.
func (k *remoteKeys) follow(ctx context.Context) {
	defer close(k.stopped)
	var last time.Time
	pause, failed := time.Duration(0), 0
	for k.rest(ctx, last, pause) {
		k.mu.Lock()
		// From here on, callers need the fetch after this.
		f := k.due
		k.due = nil
		k.mu.Unlock()

		last = time.Now()
		err := k.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		k.failing.Store(err != nil)
		if err == nil {
			// Early by some, so that a fleet does not come at once.
			pause, failed = k.refresh-rand.N(k.refresh/10+1), 0
		} else {
			if failed == 0 {
				k.observe(Event{Kind: KindUnavailable, Reason: "the issuer's keys cannot be fetched", Err: err})
			}
			pause = min(keysEvery<<min(failed, 10), keysBackoff)
			pause -= rand.N(pause/4 + 1)
			failed++
		}
		if f != nil {
			f.err = err
			close(f.done)
		}
	}
}

// rest waits until the next fetch is to begin: after the pause since the last
// one or, where somebody waits for it, as soon as it may. It reports false if
// ctx ended.
func (k *remoteKeys) rest(ctx context.Context, last time.Time, pause time.Duration) bool {
	timer := time.NewTimer(time.Until(last.Add(pause)))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return false
		case <-timer.C:
			return true
		case <-k.wake:
		}
		k.mu.Lock()
		f := k.due
		gap := keysEvery
		if f != nil && f.urgent {
			gap = keysSoon
		}
		k.mu.Unlock()
		if f != nil && gap < pause {
			timer.Reset(time.Until(last.Add(gap)))
		}
	}
}

// fetch asks for the set and holds it.
func (k *remoteKeys) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, keysTimeout)
	defer cancel()
	sent := k.now()
	set, age, err := k.read(ctx)
	if err != nil {
		return fmt.Errorf("wafer: fetch %s: %w", k.url, err)
	}
	if age > k.keep {
		return fmt.Errorf("wafer: fetch %s: an HTTP cache answered with a set of %v ago, older than VerifierConfig.Keep; let it pass this address", k.url, age)
	}
	text, err := set.MarshalJSON()
	if err != nil {
		return err
	}
	h := &heldKeys{set, text, sent, sent.Add(-age)}
	if old := k.held.Load(); old != nil {
		if age > 0 && h.since.Before(old.since) && !old.since.After(sent) {
			return fmt.Errorf("wafer: fetch %s: an HTTP cache answered with a set of %v ago, and a later one is held", k.url, age)
		}
		if bytes.Equal(old.text, text) {
			h.set = old.set // and with it what was verified
		}
	}
	k.held.Store(h)
	return nil
}

// read gets the set. age is how old it was when the answer came, according to
// HTTP caches on the way.
func (k *remoteKeys) read(ctx context.Context) (set *codec.JWKS, age time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, k.url, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	r.Header.Set("Cache-Control", "no-cache") // RFC 9111 section 5.2.1.4: ask the issuer itself
	resp, err := k.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("it answered %d, want 200", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, codec.MaxJWKS+1))
	if err != nil {
		return nil, 0, err
	}
	if set, err = readKeys(text, k.algorithms); err != nil {
		return nil, 0, err
	}
	seconds, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31) // RFC 9111 section 5.1
	if err != nil {
		seconds = 0
	}
	return set, time.Duration(seconds) * time.Second, nil
}

// keyedLog is the log of a service without the ring. Where it says that everyone
// was revoked, the keys are fetched before that counts: a key may have been
// revoked with them, and whoever has it signs any position.
type keyedLog struct {
	revocation.Source
	keys *remoteKeys
	seen atomic.Uint64 // up to where the log may have revoked everyone, as far as it was read
	done atomic.Uint64 // up to where the keys were fetched after that
}

func (l *keyedLog) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	b, err := l.Source.Since(ctx, after, limit, wait)
	if err == nil {
		raise(&l.seen, b.Floor)
		for i := range b.Entries {
			if e := &b.Entries[i]; e.Kind == store.KindEveryone {
				raise(&l.seen, e.Position)
			}
		}
	}
	return b, err
}

// beforeEveryone is called before an entry of Since is applied.
func (l *keyedLog) beforeEveryone(ctx context.Context) error {
	seen := store.Position(l.seen.Load())
	if err := l.keys.refetch(ctx); err != nil {
		return err
	}
	raise(&l.done, seen)
	return nil
}

// Cutoffs is what the store is asked where the entries are not at hand.
func (l *keyedLog) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	c, err := l.Source.Cutoffs(ctx, session, subject)
	if err != nil || uint64(c.Everyone) <= l.done.Load() {
		return c, err
	}
	if err := l.keys.refetch(ctx); err != nil {
		return store.Cutoffs{}, fmt.Errorf("before everyone is revoked: %w", err)
	}
	raise(&l.done, c.Everyone)
	return c, nil
}

// raise sets v to p unless it is higher.
func raise(v *atomic.Uint64, p store.Position) {
	for {
		old := v.Load()
		if uint64(p) <= old || v.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}
