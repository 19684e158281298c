package remotekeys

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
)

const (
	refreshEvery = 10 * time.Minute
	keep         = time.Hour
)

var errDown = errors.New("down")

// issuer answers fetches as the test wants, and records when they came.
type issuer struct {
	mu      sync.Mutex
	text    string
	age     time.Duration
	err     error
	slow    time.Duration
	fetches []time.Time
	outages int
}

func (i *issuer) fetch(ctx context.Context) (*codec.JWKS, time.Duration, error) {
	i.mu.Lock()
	i.fetches = append(i.fetches, time.Now())
	text, age, err, slow := i.text, i.age, i.err, i.slow
	i.mu.Unlock()
	select {
	case <-time.After(slow):
	case <-ctx.Done():
		return nil, 0, ctx.Err()
	}
	if err != nil {
		return nil, 0, err
	}
	set, err := codec.ParseJWKS([]byte(text))
	return set, age, err
}

// set changes how the issuer answers.
func (i *issuer) set(change func(i *issuer)) {
	i.mu.Lock()
	defer i.mu.Unlock()
	change(i)
}

// made returns when the fetches since the last call came.
func (i *issuer) made() []time.Time {
	i.mu.Lock()
	defer i.mu.Unlock()
	made := i.fetches
	i.fetches = nil
	return made
}

// newKeys returns keys that an issuer publishes, from the first fetch on. Call it
// in a bubble.
func newKeys(t *testing.T, change func(i *issuer)) (*Keys, *issuer) {
	t.Helper()
	i := &issuer{text: oneKey}
	if change != nil {
		change(i)
	}
	k := New(Config{
		Fetch: i.fetch, Name: "https://shop.example/keys", Refresh: refreshEvery, Keep: keep, Now: time.Now,
		Outage: func(error) { i.set(func(i *issuer) { i.outages++ }) },
	})
	t.Cleanup(k.Close)
	return k, i
}

// heldKeys returns keys after their first fetch, which was just now.
func heldKeys(t *testing.T) (*Keys, *issuer) {
	t.Helper()
	k, i := newKeys(t, nil)
	synctest.Wait()
	if k.held.Load() == nil || len(i.made()) != 1 {
		t.Fatal("no key set after the first fetch")
	}
	return k, i
}

// reported returns how many outages were reported.
func (i *issuer) reported() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.outages
}
