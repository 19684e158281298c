package keywatch

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// begin is the time at which the key sets of these tests were made. The first
// key seals from then on.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

const seals = 8 * 24 * time.Hour

// source is a key set's source that fails as the test wants.
type source struct {
	keyring.Source
	mu     sync.Mutex
	answer func(ctx context.Context) (version uint64, document []byte, err error) // nil: as it is
	reads  []time.Time
}

func (s *source) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	s.mu.Lock()
	s.reads = append(s.reads, time.Now())
	answer := s.answer
	s.mu.Unlock()
	if answer != nil {
		return answer(ctx)
	}
	return s.Source.LoadKeys(ctx)
}

func (s *source) answers(answer func(ctx context.Context) (uint64, []byte, error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.answer = answer
}

// world is a watch over a node's ring, with the operator's ring beside it.
type world struct {
	*Watch
	t        *testing.T
	source   *source
	operator *keyring.Ring
	now      time.Time

	mu      sync.Mutex
	notices []string
}

// newWorld returns a watch that has looked at its ring once, without its
// goroutine: the test calls reload and compare.
func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, source: &source{Source: memory.New(memory.Options{})}, now: begin}
	keeper, err := keyring.NewKeeper(strings.Repeat("5a", keyring.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	schedule := keyring.Schedule{Seals: seals, Life: 4 * 24 * time.Hour}
	if w.operator, err = keyring.Create(t.Context(), w.source, keeper, begin, schedule); err != nil {
		t.Fatal(err)
	}
	ring, err := keyring.Open(t.Context(), w.source, keeper)
	if err != nil {
		t.Fatal(err)
	}
	w.Watch = New(ring, func() time.Time { return w.now }, func(n Notice) {
		text := n.Reason
		if n.Alarm {
			text = "alarm: " + text
		}
		if n.Err != nil {
			text += " (" + n.Err.Error() + ")"
		}
		w.mu.Lock()
		defer w.mu.Unlock()
		w.notices = append(w.notices, text)
	})
	w.set = ring.Set()
	w.primary = w.primaryKey().ID()
	w.source.reads = nil
	return w
}

// reads reloads the ring and compares it, as the goroutine does once a minute.
func (w *world) reads() {
	w.t.Helper()
	w.reload(w.t.Context())
	w.compare()
}

// primaryKey returns the operator's key that seals now.
func (w *world) primaryKey() *keyring.Key {
	w.t.Helper()
	k, err := w.operator.Primary(w.now)
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

// next returns the operator's published next key.
func (w *world) next() *keyring.Key {
	w.t.Helper()
	for _, k := range w.operator.Set().Keys() {
		if _, revoked := k.Revocation(); !revoked && k.Activates().After(w.now) {
			return k
		}
	}
	w.t.Fatal("no next key is published")
	return nil
}

// did fails the test unless the operator changed the ring.
func (w *world) did(changed bool, err error) {
	w.t.Helper()
	if err != nil || !changed {
		w.t.Fatal(changed, err)
	}
}

// want compares the notices since the last call.
func (w *world) want(when string, want ...string) {
	w.t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if !slices.Equal(w.notices, want) {
		w.t.Errorf("%s: notices %q, want %q", when, w.notices, want)
	}
	w.notices = nil
}
