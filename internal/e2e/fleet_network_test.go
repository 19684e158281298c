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

// What stands between the nodes of the fleet and their store. What happens to
// a call follows from the seed, from the request that makes it and from how
// many calls that request has made before; or, where no request makes it, from
// the node and its count.

// mishap is what becomes of one call.
type mishap string

const (
	nothing     mishap = ""
	lostRequest mishap = "request lost"    // never performed
	hung        mishap = "hung"            // never performed, and no answer until the caller gives up
	lostAnswer  mishap = "answer lost"     // performed
	landsLate   mishap = "performed late"  // when the caller has given up
	twice       mishap = "performed twice" // and either answer is given
	held        mishap = "answer held"     // and given late, also past the caller's patience
	cut         mishap = "outage"
)

// cutOff is an outage of one node's way to the store.
type cutOff string

const (
	noAnswer cutOff = "errors at once"
	silence  cutOff = "hangs"
	deaf     cutOff = "no news"       // Since alone fails
	sluggish cutOff = "news are late" // answers of Since sit for long
	oneWay   cutOff = "answers lost"  // writes are performed, nobody hears
)

var cutOffs = []cutOff{noAnswer, silence, deaf, sluggish, oneWay}

var errFleet = errors.New("fleet: the network lost it")

// way is one node's way to the store.
type way struct {
	store.Store
	fleet *fleet
	node  int

	mu     sync.Mutex
	cut    cutOff
	until  time.Time
	own    uint64    // calls that no request made
	ill    int       // calls of requests that a mishap befalls now
	illTil time.Time // when the last one of those ended
}

// set begins an outage.
func (w *way) set(c cutOff, d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cut, w.until = c, time.Now().Add(d)
}

func (w *way) heal() { w.set("", 0) }

func (w *way) outage() cutOff {
	w.mu.Lock()
	defer w.mu.Unlock()
	if time.Now().Before(w.until) {
		return w.cut
	}
	return ""
}

// wasIll reports whether a call of a request was hurt at or after a time.
func (w *way) wasIll(since time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.ill > 0 || !w.illTil.Before(since)
}

// requestKey finds the request in the context of a call: wafer detaches the
// contexts of its calls from the client's hang-up, and keeps their values.
type requestKey struct{}

// passage is one call on its way.
type passage struct {
	way     *way
	query   *query // nil: the node's own call
	mishap  mishap
	patient bool          // a mishap that could tell at once lets the caller wait
	there   time.Duration // latency of the question, and of the answer
	back    time.Duration
	gap     time.Duration // of what is late
}

func (w *way) begin(ctx context.Context, method string) *passage {
	p := &passage{way: w}
	p.query, _ = ctx.Value(requestKey{}).(*query)
	h := fnv.New64a()
	var count uint64
	if p.query != nil {
		count = p.query.count(method) | 1<<63
		h.Write([]byte(p.query.key))
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
	p.there, p.back = time.Duration(r.Int64N(int64(20*time.Millisecond))), time.Duration(r.Int64N(int64(20*time.Millisecond)))
	p.patient = r.IntN(2) == 0
	p.gap = time.Duration(r.Int64N(int64(3 * time.Second)))
	hurts := r.Int64N(10_000) < w.fleet.storm.Load()
	mishaps := []mishap{lostRequest, hung, lostAnswer, held}
	switch method {
	case "Since":
		if p.gap = time.Duration(r.Int64N(int64(2 * time.Second))); r.IntN(4) == 0 {
			p.gap = time.Duration(r.Int64N(int64(45 * time.Second)))
		}
		if p.query != nil {
			p.gap /= 20 // a request waits for this one
		}
		mishaps = []mishap{lostRequest, hung, lostAnswer, held, held, held}
	case "Create", "Advance", "Commit", "Forgive", "Revoke":
		mishaps = append(mishaps, landsLate, twice, twice)
	}
	if which := mishaps[r.IntN(len(mishaps))]; hurts {
		p.mishap = which
	}
	switch c := w.outage(); {
	case c == noAnswer, c == silence, c == deaf && method == "Since":
		p.mishap, p.patient = cut, c == silence
	case c == sluggish && method == "Since":
		p.mishap, p.gap = held, 15*time.Second+time.Duration(r.Int64N(int64(30*time.Second)))
		if p.query != nil {
			p.gap = time.Second
		}
	case c == oneWay && method != "Announce":
		p.mishap = lostAnswer
	}
	if p.mishap != nothing {
		w.fleet.count("mishap: " + string(p.mishap))
		if p.query != nil {
			p.query.hurt(p.mishap)
			w.mu.Lock()
			w.ill++
			w.mu.Unlock()
		}
	}
	return p
}

func (p *passage) end() {
	if p.mishap != nothing && p.query != nil {
		p.way.mu.Lock()
		p.way.ill--
		p.way.illTil = time.Now()
		p.way.mu.Unlock()
	}
}

// nap sleeps, or returns the error of the context.
func nap(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// over makes a call. run performs it, and tells the observer of it.
func over[R any](w *way, ctx context.Context, method string, run func(ctx context.Context) (R, error)) (R, error) {
	var none R
	p := w.begin(ctx, method)
	defer p.end()
	if err := nap(ctx, p.there); err != nil {
		return none, err
	}
	refuse := func() (R, error) {
		if p.patient || p.mishap == hung {
			<-ctx.Done()
			return none, ctx.Err()
		}
		return none, errFleet
	}
	detached := context.WithoutCancel(ctx)
	switch p.mishap {
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
	switch p.mishap {
	case lostAnswer:
		return refuse()
	case held:
		time.Sleep(p.gap)
		return r, err
	case twice:
		time.Sleep(p.gap / 3)
		if again, errAgain := run(detached); p.patient {
			r, err = again, errAgain
		}
	}
	if err := nap(ctx, p.back); err != nil {
		return none, err
	}
	if c := w.outage(); c != "" && c != sluggish && (c != deaf || method == "Since") && p.mishap == nothing {
		// The outage began while the call was under way.
		w.fleet.count("mishap: " + string(cut))
		if p.query != nil {
			p.query.hurt(cut)
			w.mu.Lock()
			w.illTil = time.Now()
			w.mu.Unlock()
		}
		return none, errFleet
	}
	return r, err
}

// write performs a write and tells the observer of it in one step, so that
// nobody sees what the write did before the observer knows.
func write[A any](w *way, ctx context.Context, method string, a A, run func(context.Context, A) (store.Snapshot, error)) (store.Snapshot, error) {
	q, _ := ctx.Value(requestKey{}).(*query)
	return over(w, ctx, method, func(ctx context.Context) (store.Snapshot, error) {
		w.fleet.writing.Lock()
		defer w.fleet.writing.Unlock()
		snap, err := run(ctx, a)
		if err == nil {
			w.fleet.truth.performed(q, a, snap)
		}
		return snap, err
	})
}

// read performs a read. What it sees, the observer has heard of by then.
func read[R any](w *way, ctx context.Context, method string, run func(context.Context) (R, error)) (R, error) {
	return over(w, ctx, method, func(ctx context.Context) (R, error) {
		r, err := run(ctx)
		w.fleet.writing.Lock()
		defer w.fleet.writing.Unlock()
		return r, err
	})
}

func (w *way) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	return write(w, ctx, "Create", c, w.Store.Create)
}

func (w *way) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	return write(w, ctx, "Advance", a, w.Store.Advance)
}

func (w *way) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	return write(w, ctx, "Commit", c, w.Store.Commit)
}

// forgiveness is the arguments of Forgive.
type forgiveness struct {
	id         store.ID
	generation uint32
}

func (w *way) Forgive(ctx context.Context, id store.ID, generation uint32) (store.Snapshot, error) {
	return write(w, ctx, "Forgive", forgiveness{id, generation}, func(ctx context.Context, f forgiveness) (store.Snapshot, error) {
		return w.Store.Forgive(ctx, f.id, f.generation)
	})
}

func (w *way) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	return write(w, ctx, "Revoke", r, w.Store.Revoke)
}

func (w *way) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	return write(w, ctx, "Restore", r, w.Store.Restore)
}

func (w *way) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	return read(w, ctx, "Family", func(ctx context.Context) (store.Snapshot, error) { return w.Store.Family(ctx, id) })
}

func (w *way) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	return read(w, ctx, "Since", func(ctx context.Context) (store.Batch, error) { return w.Store.Since(ctx, after, limit, wait) })
}

func (w *way) Cutoffs(ctx context.Context, id store.ID, subject string) (store.Cutoffs, error) {
	return read(w, ctx, "Cutoffs", func(ctx context.Context) (store.Cutoffs, error) { return w.Store.Cutoffs(ctx, id, subject) })
}
