// Package keywatch keeps a node's ring in step with its source and reports what
// happens to the keys.
package keywatch

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/keyring"
)

const (
	// poll is the longest interval between two reads of the ring's source. It
	// must stay far below keyring.Lead: a key seals that long after its
	// publication, and every node has to have read it by then.
	poll = time.Minute
	// timeout bounds one read. The keeper may be a remote service.
	timeout = 10 * time.Second
	// remindEvery is the shortest interval between two reports of one condition.
	remindEvery = time.Hour
)

// Notice is one report. Its Reason is for operators.
type Notice struct {
	Alarm  bool // an operator should look
	Reason string
	Err    error
}

// Watch reloads the ring from its source about once a minute and reports key
// changes. Nodes do not coordinate. A static ring never changes, so it has no
// goroutine; any other ring has one.
type Watch struct {
	ring    *keyring.Ring
	now     func() time.Time
	report  func(Notice)
	unknown atomic.Uint64 // credentials under an unknown key id since the last report

	// The last reports. Only the goroutine uses these fields.
	set                 *keyring.Set
	primary             keyring.ID
	failing             time.Time // since when the source cannot be read; zero if it can
	rolledBack          bool      // the source holds less than this node
	overdue, unreadable reminder
	unknownKeys         reminder

	stop context.CancelFunc
	done chan struct{}
}

// New returns a watch that has not started. Its goroutine calls report.
func New(ring *keyring.Ring, now func() time.Time, report func(Notice)) *Watch {
	return &Watch{ring: ring, now: now, report: report}
}

// Start starts the goroutine if the ring has a source.
func (w *Watch) Start() {
	if w.set = w.ring.Set(); w.set.Version() == 0 {
		return // only a set that was read from a source has a version
	}
	if primary, err := w.set.Primary(w.now()); err == nil {
		w.primary = primary.ID()
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.done = make(chan struct{})
	go w.run(ctx)
}

// Close stops the goroutine and waits for it.
func (w *Watch) Close() {
	if w.stop != nil {
		w.stop()
		<-w.done
	}
}

// Unknown counts a credential under a key id that the ring does not have. It is
// safe for concurrent use.
func (w *Watch) Unknown() { w.unknown.Add(1) }

func (w *Watch) run(ctx context.Context) {
	defer close(w.done)
	w.compare()
	// The spread keeps the nodes of a fleet from reading all at once.
	timer := time.NewTimer(rand.N(poll))
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		w.reload(ctx)
		if ctx.Err() != nil {
			return
		}
		w.compare()
		timer.Reset(poll - rand.N(poll/10))
	}
}

// reload reads the source. It reports the first failure, and the first success
// after one.
func (w *Watch) reload(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	err := w.ring.Reload(bounded)
	if ctx.Err() != nil {
		return // a read that Close cut short is no failure
	}
	now := w.now()
	if err == nil {
		if !w.failing.IsZero() {
			w.inform("the ring is read again", nil)
		}
		w.failing, w.rolledBack, w.unreadable = time.Time{}, false, reminder{}
		return
	}
	rolledBack := errors.Is(err, keyring.ErrRollback) || errors.Is(err, keyring.ErrAbsent)
	first := w.failing.IsZero()
	if first {
		w.failing = now
	}
	switch {
	case rolledBack && !w.rolledBack:
		w.alarm("the ring's source has lost a key set that this node holds and goes on with", err)
	case first:
		w.inform("the ring could not be read; this node goes on with the keys that it has", err)
	}
	w.rolledBack = rolledBack
	// A key that is published now may seal elsewhere before this node has read it.
	if since := now.Sub(w.failing); since >= keyring.Lead/2 && w.unreadable.due(now) {
		w.alarm(fmt.Sprintf("the ring could not be read for %v: users with cookies under a newer key are anonymous here", since.Round(time.Minute)), err)
	}
}

// compare reports what has changed since the last call, whoever reloaded the
// ring.
func (w *Watch) compare() {
	now, set := w.now(), w.ring.Set()
	if set != w.set {
		w.compareSets(w.set, set, now)
		w.set = set
	}
	if n := w.unknown.Load(); n > 0 && w.unknownKeys.due(now) {
		w.unknown.Add(-n)
		w.inform(fmt.Sprintf("%d credentials named a key that the ring does not have", n), keyring.ErrUnknown)
	}
	primary, err := set.Primary(now)
	if err != nil {
		if w.overdue.due(now) {
			w.alarm("nothing can be sealed: no login and no refresh succeeds", err)
		}
		return
	}
	if id := primary.ID(); id != w.primary {
		w.primary = id
		w.inform(fmt.Sprintf("key %v seals now", id), nil)
	}
	w.remind(set, primary, now)
}

// compareSets reports how a set differs from the one before.
func (w *Watch) compareSets(before, after *keyring.Set, now time.Time) {
	known := make(map[keyring.ID]*keyring.Key)
	for _, k := range before.Keys() {
		known[k.ID()] = k
	}
	for _, k := range after.Keys() {
		was := known[k.ID()]
		var wasRevoked bool
		if was != nil {
			_, wasRevoked = was.Revocation()
		}
		r, revoked := k.Revocation()
		activates := k.Activates().UTC().Format(time.RFC3339)
		switch {
		case revoked:
			if !wasRevoked {
				w.inform(fmt.Sprintf("key %v is revoked: %s", k.ID(), r.Reason), nil)
			}
		case was == nil:
			w.inform(fmt.Sprintf("key %v is published, to seal from %s", k.ID(), activates), nil)
		case !was.Activates().Equal(k.Activates()) && k.Activates().After(now):
			w.inform(fmt.Sprintf("key %v is to seal from %s, which was changed", k.ID(), activates), nil)
		}
	}
}

// remind raises an alarm if the primary is in the last quarter of its time to
// seal and no key is published to take over.
func (w *Watch) remind(set *keyring.Set, primary *keyring.Key, now time.Time) {
	seals := set.Schedule().Seals
	left := primary.Activates().Add(seals).Sub(now)
	if left > seals/4 || hasNext(set, now) {
		w.overdue = reminder{}
		return
	}
	if !w.overdue.due(now) {
		return
	}
	when := fmt.Sprintf("should hand over in %v", left.Round(time.Minute))
	if left <= 0 {
		when = fmt.Sprintf("should have handed over %v ago", -left.Round(time.Minute))
	}
	w.alarm(fmt.Sprintf("no next key is published, and key %v %s: nothing rotates the ring", primary.ID(), when), nil)
}

// hasNext reports whether a key is published that will take over.
func hasNext(set *keyring.Set, now time.Time) bool {
	for _, k := range set.Keys() {
		if _, revoked := k.Revocation(); !revoked && k.Activates().After(now) {
			return true
		}
	}
	return false
}

func (w *Watch) inform(reason string, err error) { w.report(Notice{Reason: reason, Err: err}) }

func (w *Watch) alarm(reason string, err error) {
	w.report(Notice{Alarm: true, Reason: reason, Err: err})
}

// reminder holds when a condition was last reported. The zero value is due.
type reminder struct{ last time.Time }

// due reports whether the condition is to be reported now, and notes that it
// was.
func (r *reminder) due(now time.Time) bool {
	// A clock that was set back must not silence the reminder.
	if !r.last.IsZero() && !now.Before(r.last) && now.Sub(r.last) < remindEvery {
		return false
	}
	r.last = now
	return true
}
