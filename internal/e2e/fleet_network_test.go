package e2e_test

import (
	"context"
	"errors"
	"hash/fnv"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// The network between the nodes of the fleet and their store. What happens to a
// call follows from the seed, the request that makes the call, and the number
// of calls that the request has made before. For a call that no request makes,
// it follows from the node and its count.

// fault is what happens to one call.
type fault string

const (
	noFault     fault = ""
	lostRequest fault = "request lost"    // never performed
	hung        fault = "hung"            // never performed, and unanswered until the caller gives up
	lostAnswer  fault = "answer lost"     // performed
	landsLate   fault = "performed late"  // after the caller has given up
	twice       fault = "performed twice" // and either answer is returned
	held        fault = "answer held"     // and returned late, possibly after the caller has given up
	cut         fault = "outage"
)

// outageKind is a kind of outage of one node's link to the store.
type outageKind string

const (
	failing     outageKind = "errors at once"
	hanging     outageKind = "hangs"
	noEntries   outageKind = "no entries"       // only Since fails
	slowEntries outageKind = "entries are late" // answers of Since wait for long
	answersLost outageKind = "answers lost"     // writes are performed, but no answer arrives
)

var outageKinds = []outageKind{failing, hanging, noEntries, slowEntries, answersLost}

var errFleet = errors.New("fleet: the network lost it")

// link is one node's connection to the store.
type link struct {
	store.Store
	fleet *fleet
	node  int

	mu          sync.Mutex
	cut         outageKind
	until       time.Time
	own         uint64    // calls that no request made
	faulty      int       // calls of requests that have a fault now
	faultyUntil time.Time // when the last one of those ended
}

// set begins an outage.
func (w *link) set(c outageKind, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.until = c, time.Now().Add(d)
}

func (w *link) heal() { w.set("", 0) }

func (w *link) outage() outageKind {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.until) {
		return w.cut
	}
	return ""
}

// hadFault reports whether a call of a request had a fault at or after a time.
func (w *link) hadFault(since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.faulty > 0 || !w.faultyUntil.Before(since)
}

// requestKey is the context key of the request that makes a call. wafer
// detaches the contexts of its store calls from the client's cancellation and
// keeps their values.
type requestKey struct{}

// linkCall is one call in transit.
type linkCall struct {
	link     *link
	request  *request // nil for the node's own call
	fault    fault
	variant  bool          // the second form of the fault: it hangs where it could fail at once, and of two answers the second is returned
	outbound time.Duration // latency of the query
	inbound  time.Duration // latency of the answer
	gap      time.Duration // how late something late is
}

func (w *link) begin(ctx context.Context, method string) *linkCall {
	p := &linkCall{link: w}
	p.request, _ = ctx.Value(requestKey{}).(*request)
	h := fnv.New64a()
	var count uint64
	if p.request != nil {
		count = p.request.count(method) | 1<<63
		h.Write([]byte(p.request.key))
	} else {
		w.mu.Lock()
		w.own++
		count = w.own
		w.mu.Unlock()
		h.Write([]byte{byte(w.node)})
		w.fleet.count("calls of the node's own: " + method)
	}
	h.Write([]byte(method))
	r := rand.New(rand.NewPCG(w.fleet.salt^h.Sum64(), count))
	p.outbound, p.inbound = time.Duration(r.Int64N(int64(20*time.Millisecond))), time.Duration(r.Int64N(int64(20*time.Millisecond)))
	p.variant = r.IntN(2) == 0
	p.gap = time.Duration(r.Int64N(int64(3 * time.Second)))
	strikes := r.Int64N(10_000) < w.fleet.faultRate.Load()
	faults := []fault{lostRequest, hung, lostAnswer, held}
	switch method {
	case "Since":
		if p.gap = time.Duration(r.Int64N(int64(2 * time.Second))); r.IntN(4) == 0 {
			p.gap = time.Duration(r.Int64N(int64(45 * time.Second)))
		}
		if p.request != nil {
			p.gap /= 20 // a request waits for this call
		}
		faults = []fault{lostRequest, hung, lostAnswer, held, held, held}
	case "Create", "Advance", "Commit", "Reissue", "Revoke":
		faults = append(faults, landsLate, twice, twice)
	}
	if which := faults[r.IntN(len(faults))]; strikes {
		p.fault = which
	}
	switch c := w.outage(); {
	case c == failing, c == hanging, c == noEntries && method == "Since":
		p.fault, p.variant = cut, c == hanging
	case c == slowEntries && method == "Since":
		p.fault, p.gap = held, 15*time.Second+time.Duration(r.Int64N(int64(30*time.Second)))
		if p.request != nil {
			p.gap = time.Second
		}
	case c == answersLost && method != "Announce":
		p.fault = lostAnswer
	}
	if p.fault != noFault {
		w.fleet.count("fault: " + string(p.fault))
		if p.request != nil {
			p.request.addFault(p.fault)
			w.mu.Lock()
			w.faulty++
			w.mu.Unlock()
		}
	}
	return p
}

func (p *linkCall) end() {
	if p.fault != noFault && p.request != nil {
		p.link.mu.Lock()
		p.link.faulty--
		p.link.faultyUntil = time.Now()
		p.link.mu.Unlock()
	}
}

// delay sleeps for d, or returns the context's error.
func delay(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// transmit makes a call. run performs it and reports it to the oracle.
func transmit[R any](w *link, ctx context.Context, method string, run func(ctx context.Context) (R, error)) (R, error) {
	var none R
	p := w.begin(ctx, method)
	defer p.end()
	if err := delay(ctx, p.outbound); err != nil {
		return none, err
	}
	refuse := func() (R, error) {
		if p.variant || p.fault == hung {
			<-ctx.Done()
			return none, ctx.Err()
		}
		return none, errFleet
	}
	detached := context.WithoutCancel(ctx)
	switch p.fault {
	case lostRequest, hung, cut:
		return refuse()
	case landsLate:
		w.fleet.late.Go(func() {
			time.Sleep(3*time.Second + 2*p.gap)
			_, _ = run(detached)
		})
		return refuse()
	}
	r, err := run(ctx)
	switch p.fault {
	case lostAnswer:
		return refuse()
	case held:
		time.Sleep(p.gap)
		return r, err
	case twice:
		time.Sleep(p.gap / 3)
		if again, errAgain := run(detached); p.variant {
			r, err = again, errAgain
		}
	}
	if err := delay(ctx, p.inbound); err != nil {
		return none, err
	}
	if c := w.outage(); c != "" && c != slowEntries && (c != noEntries || method == "Since") && p.fault == noFault {
		// The outage began during the call.
		w.fleet.count("fault: " + string(cut))
		if p.request != nil {
			p.request.addFault(cut)
			w.mu.Lock()
			w.faultyUntil = time.Now()
			w.mu.Unlock()
		}
		return none, errFleet
	}
	return r, err
}

// write performs a write and reports it to the oracle in one step, so that
// nobody can see the effect of a write before the oracle has recorded it.
func write[A any](w *link, ctx context.Context, method string, a A, run func(context.Context, A) (store.Snapshot, error)) (store.Snapshot, error) {
	q, _ := ctx.Value(requestKey{}).(*request)
	return transmit(w, ctx, method, func(ctx context.Context) (store.Snapshot, error) {
		w.fleet.writing.Lock()
		defer w.fleet.writing.Unlock()
		snap, err := run(ctx, a)
		if err == nil {
			w.fleet.oracle.performed(q, a, snap)
		}
		return snap, err
	})
}

// read performs a read. The oracle has recorded everything that the read can
// see.
func read[R any](w *link, ctx context.Context, method string, run func(context.Context) (R, error)) (R, error) {
	return transmit(w, ctx, method, func(ctx context.Context) (R, error) {
		r, err := run(ctx)
		w.fleet.writing.Lock()
		defer w.fleet.writing.Unlock()
		return r, err
	})
}

func (w *link) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return write(w, ctx, "Create", c, w.Store.Create)
}

func (w *link) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return write(w, ctx, "Advance", a, w.Store.Advance)
}

func (w *link) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return write(w, ctx, "Commit", c, w.Store.Commit)
}

func (w *link) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	return write(w, ctx, "Reissue", r, w.Store.Reissue)
}

func (w *link) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return write(w, ctx, "Revoke", r, w.Store.Revoke)
}

func (w *link) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return write(w, ctx, "Restore", r, w.Store.Restore)
}

func (w *link) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return read(w, ctx, "Family", func(ctx context.Context) (store.Snapshot, error) { return w.Store.Family(ctx, id) })
}

func (w *link) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	return read(w, ctx, "Since", func(ctx context.Context) (store.Batch, error) { return w.Store.Since(ctx, after, limit, wait) })
}

func (w *link) Cutoffs(ctx context.Context, id store.ID, subject string) (store.Cutoffs, error) {
	return read(w, ctx, "Cutoffs", func(ctx context.Context) (store.Cutoffs, error) { return w.Store.Cutoffs(ctx, id, subject) })
}
