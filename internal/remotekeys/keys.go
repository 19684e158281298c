// Package remotekeys holds an issuer's public keys for a service that does not
// have the ring: it decides when to fetch them and how long to trust them.
package remotekeys

import (
	"bytes"
	"context"
	"crypto"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/clock"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
)

const (
	// fetchTimeout bounds one fetch, with all redirects and the body.
	fetchTimeout = 5 * time.Second
	// maxWait bounds how long a request waits for a fetch.
	maxWait = 3 * time.Second
	// minInterval is the shortest interval between the starts of two fetches that
	// requests caused. minIntervalUrgent is that of fetches that the log caused,
	// which nobody can forge.
	minInterval       = time.Second
	minIntervalUrgent = 100 * time.Millisecond
	// maxBackoff is the longest pause after a failure.
	maxBackoff = 30 * time.Second
)

// Config configures [New]. All fields are required.
type Config struct {
	// Fetch gets the key set from the issuer. age is the age of the answer, if
	// an HTTP cache gave it.
	Fetch func(ctx context.Context) (set *codec.JWKS, age time.Duration, err error)
	// Name names the source in errors.
	Name string
	// Refresh is the interval between two fetches, Keep the age beyond which a
	// set is not used any more.
	Refresh, Keep time.Duration
	Now           func() time.Time
	// Outage is called once when fetching begins to fail.
	Outage func(err error)
}

// Keys is the issuer's key set as it was last fetched. One goroutine fetches it,
// so answers arrive in the order of their requests. Keys is safe for concurrent
// use.
type Keys struct {
	config  Config
	held    atomic.Pointer[snapshot]
	failure atomic.Pointer[error] // of the last fetch; nil if it succeeded

	mu   sync.Mutex
	next *fetch        // that callers wait for and that has not begun; nil if none do
	wake chan struct{} // next is set

	stop    context.CancelFunc
	stopped chan struct{}
}

// snapshot is a key set as of a time.
type snapshot struct {
	set   *codec.JWKS
	text  []byte    // the set's canonical form
	sent  time.Time // when it was last requested
	since time.Time // when the issuer is known to have published it; not after sent
}

// fetch is one fetch that any number of requests wait for.
type fetch struct {
	urgent bool
	done   chan struct{}
	err    error
}

// New starts fetching the keys. The caller closes them.
func New(c Config) *Keys {
	k := &Keys{config: c, wake: make(chan struct{}, 1), stopped: make(chan struct{})}
	run, stop := context.WithCancel(context.Background())
	k.stop = stop
	go k.run(run)
	return k
}

// Open waits for the first key set until ctx ends.
func (k *Keys) Open(ctx context.Context) error {
	for {
		err := k.await(ctx, false)
		if k.held.Load() != nil {
			return nil
		}
		if ctx.Err() != nil {
			// The reason why the last fetch failed says more than a timeout.
			if failure := k.failure.Load(); failure != nil {
				err = *failure
			}
			return fmt.Errorf("wafer: VerifierConfig.JWKSURL: no key set before the context ended: %w", err)
		}
	}
}

// Close stops fetching and waits for the goroutine.
func (k *Keys) Close() {
	k.stop()
	<-k.stopped
}

// AccessKey returns the key with that id. An unknown id causes one bounded fetch.
// The error matches sentinel.ErrUnavailable if nobody can say whether there is
// such a key.
func (k *Keys) AccessKey(ctx context.Context, now time.Time, kid string, algorithm codec.Algorithm) (crypto.PublicKey, error) {
	if set := k.usable(); set != nil {
		key, err := set.AccessKey(ctx, now, kid, algorithm)
		if !errors.Is(err, keyring.ErrUnknown) {
			return key, err
		}
	}
	failed := k.await(ctx, false)
	set := k.usable()
	if set == nil {
		return nil, fmt.Errorf("%w: the issuer's keys are older than VerifierConfig.Keep: %w", sentinel.ErrUnavailable, failed)
	}
	key, err := set.AccessKey(ctx, now, kid, algorithm)
	if failed != nil && errors.Is(err, keyring.ErrUnknown) {
		return nil, fmt.Errorf("%w: a key id that may be new: %w", sentinel.ErrUnavailable, failed)
	}
	return key, err
}

// usable returns the set to verify with, or nil if it is older than Keep.
func (k *Keys) usable() *codec.JWKS {
	h, now := k.held.Load(), k.config.Now()
	if h == nil || clock.Elapsed(h.since, now) > k.config.Keep {
		return nil
	}
	// Timers stand still while a machine sleeps.
	if k.failure.Load() == nil && clock.Elapsed(h.sent, now) > k.config.Refresh {
		k.request(false)
	}
	return h.set
}

// Identity returns a value that is equal for as long as the same key set is in
// use. Without a usable set it returns a new value each time, so no cached token
// matches.
func (k *Keys) Identity() any {
	if set := k.usable(); set != nil {
		return set
	}
	return new(noSet)
}

// noSet has a size, so that new returns distinct addresses.
type noSet struct{ _ byte }

// Age returns how long ago the issuer confirmed the keys. Call it after Open.
func (k *Keys) Age() time.Duration { return clock.Elapsed(k.held.Load().since, k.config.Now()) }

// Refetch fetches the set by a request that is sent after the call.
func (k *Keys) Refetch(ctx context.Context) error { return k.await(ctx, true) }

// await waits for a fetch that begins after the call: an earlier one may miss the
// key that the caller looks for. All callers share it, so tokens with junk key
// ids cannot use up the fetch that a true one needs.
func (k *Keys) await(ctx context.Context, urgent bool) error {
	f := k.request(urgent)
	ctx, cancel := context.WithTimeout(ctx, maxWait)
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

// request returns the next fetch to begin.
func (k *Keys) request(urgent bool) *fetch {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.next == nil {
		k.next = &fetch{done: make(chan struct{})}
	} else if k.next.urgent || !urgent {
		return k.next
	}
	k.next.urgent = urgent
	select {
	case k.wake <- struct{}{}:
	default:
	}
	return k.next
}

// run fetches the set whenever that is due, until ctx ends.
func (k *Keys) run(ctx context.Context) {
	defer close(k.stopped)
	var last time.Time
	pause, failed := time.Duration(0), 0
	for k.sleep(ctx, last, pause) {
		k.mu.Lock()
		// Callers from here on need the fetch after this one.
		f := k.next
		k.next = nil
		k.mu.Unlock()

		last = time.Now()
		err := k.fetch(ctx)
		if ctx.Err() != nil {
			return
		}
		if err == nil {
			k.failure.Store(nil)
			// A fleet's fetches are spread.
			pause, failed = k.config.Refresh-rand.N(k.config.Refresh/10+1), 0
		} else {
			k.failure.Store(&err)
			if failed == 0 {
				k.config.Outage(err)
			}
			pause = min(minInterval<<min(failed, 10), maxBackoff)
			pause -= rand.N(pause/4 + 1)
			failed++
		}
		if f != nil {
			f.err = err
			close(f.done)
		}
	}
}

// sleep waits until the next fetch is to begin: after the pause since the last
// one or, if somebody waits for it, after the shortest interval. It returns false
// if ctx ended.
func (k *Keys) sleep(ctx context.Context, last time.Time, pause time.Duration) bool {
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
		f := k.next
		interval := minInterval
		if f != nil && f.urgent {
			interval = minIntervalUrgent
		}
		k.mu.Unlock()
		if f != nil && interval < pause {
			timer.Reset(time.Until(last.Add(interval)))
		}
	}
}

// fetch gets the set and holds it.
func (k *Keys) fetch(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchTimeout)
	defer cancel()
	sent := k.config.Now()
	set, age, err := k.config.Fetch(ctx)
	if err != nil {
		return fmt.Errorf("wafer: fetch %s: %w", k.config.Name, err)
	}
	if age > k.config.Keep {
		return fmt.Errorf("wafer: fetch %s: an HTTP cache answered with a set of %v ago, older than VerifierConfig.Keep; let it pass this address", k.config.Name, age)
	}
	text, err := set.MarshalJSON()
	if err != nil {
		return err
	}
	h := &snapshot{set, text, sent, sent.Add(-age)}
	if old := k.held.Load(); old != nil {
		if age > 0 && h.since.Before(old.since) && !old.since.After(sent) {
			return fmt.Errorf("wafer: fetch %s: an HTTP cache answered with a set of %v ago, and a later one is held", k.config.Name, age)
		}
		if bytes.Equal(old.text, text) {
			h.set = old.set // the same identity, so verified tokens stay valid
		}
	}
	k.held.Store(h)
	return nil
}
