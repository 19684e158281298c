package revocation

import (
	"slices"
	"sync"

	"github.com/waferkit/wafer/store"
)

// maxAcknowledged bounds how many positions are remembered. Beyond it, the
// newest replaces the one before it.
const maxAcknowledged = 256

// acknowledged holds heads of the log that came back from writes and that this
// node has not read yet. The log must have an entry at each of them. A log that
// continues without one has lost what the store had acknowledged.
type acknowledged struct {
	mu sync.Mutex
	at []store.Position
}

func (a *acknowledged) add(p store.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if slices.Contains(a.at, p) {
		return
	}
	if len(a.at) == maxAcknowledged {
		a.at = a.at[:maxAcknowledged-1]
	}
	a.at = append(a.at, p)
}

// highest returns the highest of the positions, or 0.
func (a *acknowledged) highest() store.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.at) == 0 {
		return 0
	}
	return slices.Max(a.at)
}

// missing returns a position that should be among the entries, which continue
// from a given position, and is not. It returns 0 if there is no such position.
func (a *acknowledged) missing(from store.Position, entries []store.Entry, floor store.Position) store.Position {
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(entries) == 0 {
		return 0
	}
	last := entries[len(entries)-1].Position
	for _, p := range a.at {
		if p <= max(from, floor) || p > last {
			continue
		}
		if _, found := slices.BinarySearchFunc(entries, p, func(e store.Entry, p store.Position) int { return int(int64(e.Position) - int64(p)) }); !found {
			return p
		}
	}
	return 0
}

// forget removes the positions up to p.
func (a *acknowledged) forget(p store.Position) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at = slices.DeleteFunc(a.at, func(q store.Position) bool { return q <= p })
}
