package wafer

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
	// ringPoll is the longest between two reads of the ring's source. It must
	// stay far below keyring.Lead: a key seals that long after its publication,
	// and every node has to know it by then.
	ringPoll = time.Minute
	// ringTimeout bounds one of them; the keeper may be a service far away.
	ringTimeout = 10 * time.Second
	// ringRemind is the least time between two alarms about the same.
	ringRemind = time.Hour
)

// ringWatch keeps a node's ring in step with its source, without a word to
// other nodes, and tells operators what became of the keys. It has one
// goroutine, or none for a static ring, which never changes.
type ringWatch struct {
	ring    *keyring.Ring
	now     func() time.Time
	observe func(Event)
	unknown atomic.Uint64 // credentials under an unknown key id that were not told of yet

	// What was told so far; the goroutine's own.
	set          *keyring.Set
	primary      keyring.ID
	failing      time.Time // since when the source is not read; zero: it is
	wentBack     bool      // and it holds less than this node knows
	late, silent reminder
	strangers    reminder

	stop context.CancelFunc
	done chan struct{}
}

func newRingWatch(ring *keyring.Ring, now func() time.Time, observe func(Event)) *ringWatch {
	return &ringWatch{ring: ring, now: now, observe: observe}
}

// start begins to watch. A set that was read from a source has a version.
func (w *ringWatch) start() {
	if w.set = w.ring.Set(); w.set.Version() == 0 {
		return
	}
	if primary, err := w.set.Primary(w.now()); err == nil {
		w.primary = primary.ID()
	}
	var ctx context.Context
	ctx, w.stop = context.WithCancel(context.Background())
	w.done = make(chan struct{})
	go w.run(ctx)
}

func (w *ringWatch) close() {
	if w.stop != nil {
		w.stop()
		<-w.done
	}
}

// hear passes an event on and counts the unknown key ids.
func (w *ringWatch) hear(e Event) {
	if e.Kind == KindRefused && e.Err != nil && errors.Is(e.Err, keyring.ErrUnknown) {
		w.unknown.Add(1)
	}
	w.observe(e)
}

func (w *ringWatch) run(ctx context.Context) {
	defer close(w.done)
	w.look()
	// A little spread keeps the nodes of a fleet from reading all at once.
	timer := time.NewTimer(rand.N(ringPoll))
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
		w.look()
		timer.Reset(ringPoll - rand.N(ringPoll/10))
	}
}

// reload reads the source, and tells when that begins to fail and when it is
// well again.
func (w *ringWatch) reload(ctx context.Context) {
	bounded, cancel := context.WithTimeout(ctx, ringTimeout)
	defer cancel()
	err := w.ring.Reload(bounded)
	if ctx.Err() != nil {
		return // what Close cut short is no failure
	}
	now := w.now()
	if err == nil {
		if !w.failing.IsZero() {
			w.tell("the ring is read again", nil)
		}
		w.failing, w.wentBack, w.silent = time.Time{}, false, reminder{}
		return
	}
	wentBack := errors.Is(err, keyring.ErrWentBack) || errors.Is(err, keyring.ErrAbsent)
	began := w.failing.IsZero()
	if began {
		w.failing = now
	}
	switch {
	case wentBack && !w.wentBack:
		w.alarm("the ring's source has lost a key set that this node holds and goes on with", err)
	case began:
		w.tell("the ring could not be read; this node goes on with the keys that it has", err)
	}
	w.wentBack = wentBack
	// A key that is published now may seal elsewhere before this node knows it.
	if since := now.Sub(w.failing); since >= keyring.Lead/2 && w.silent.due(now) {
		w.alarm(fmt.Sprintf("the ring could not be read for %v: users with cookies under a newer key are anonymous here", since.Round(time.Minute)), err)
	}
}

// look tells what has changed since it looked last, whoever reloaded the ring.
func (w *ringWatch) look() {
	now, set := w.now(), w.ring.Set()
	if set != w.set {
		w.compare(w.set, set, now)
		w.set = set
	}
	if n := w.unknown.Load(); n > 0 && w.strangers.due(now) {
		w.unknown.Add(-n)
		w.tell(fmt.Sprintf("%d credentials named a key that the ring does not have", n), keyring.ErrUnknown)
	}
	primary, err := set.Primary(now)
	if err != nil {
		if w.late.due(now) {
			w.alarm("nothing can be sealed: no login and no refresh succeeds", err)
		}
		return
	}
	if id := primary.ID(); id != w.primary {
		w.primary = id
		w.tell(fmt.Sprintf("key %v seals now", id), nil)
	}
	w.remind(set, primary, now)
}

// compare tells how a set differs from the one before.
func (w *ringWatch) compare(before, after *keyring.Set, now time.Time) {
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
				w.tell(fmt.Sprintf("key %v is revoked: %s", k.ID(), r.Reason), nil)
			}
		case was == nil:
			w.tell(fmt.Sprintf("key %v is published, to seal from %s", k.ID(), activates), nil)
		case !was.Activates().Equal(k.Activates()) && k.Activates().After(now):
			w.tell(fmt.Sprintf("key %v is to seal from %s, which was changed", k.ID(), activates), nil)
		}
	}
}

// remind raises an alarm where no key is published that will take over from
// the primary, though the last quarter of its time to seal has begun.
func (w *ringWatch) remind(set *keyring.Set, primary *keyring.Key, now time.Time) {
	seals := set.Schedule().Seals
	left := primary.Activates().Add(seals).Sub(now)
	if left > seals/4 || hasNext(set, now) {
		w.late = reminder{}
		return
	}
	if !w.late.due(now) {
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

func (w *ringWatch) tell(reason string, err error) {
	w.observe(Event{Kind: KindKeys, Reason: reason, Err: err})
}

func (w *ringWatch) alarm(reason string, err error) {
	w.observe(Event{Kind: KindAlarm, Reason: reason, Err: err})
}

// reminder is when something was told last. Its zero value is due.
type reminder struct{ last time.Time }

// due reports whether it is to be told now, and takes it as told.
func (r *reminder) due(now time.Time) bool {
	// A clock that was set back must not silence it.
	if !r.last.IsZero() && !now.Before(r.last) && now.Sub(r.last) < ringRemind {
		return false
	}
	r.last = now
	return true
}
