package revocation_test

import (
	"context"
	"encoding/binary"
	"slices"
	"sync"
	"testing"
	"time"
	"unsafe"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// double is the part of a store that a replica reads, under the test's
// control. Positions are ten apart, so that there is room for tokens between.
type double struct {
	mu       sync.Mutex
	id       store.ID
	head     store.Position
	floor    store.Position
	floorID  store.ID
	stamped  uint32        // entries that have got an id
	entries  []store.Entry // those above the floor
	dropped  []store.Entry // those below: the cutoffs of subjects and everyone outlive them
	appended chan struct{}
	most     int // how many entries an answer holds at most; 0: as asked
	queries  []sinceCall
	since    func(context.Context, sinceCall) (store.Batch, error)
	cutoffs  func(context.Context, store.ID, string) (store.Cutoffs, error)
}

// sinceCall is a call of Since.
type sinceCall struct {
	after store.Cursor
	limit int
	wait  time.Duration
	sent  time.Time
}

// newDouble returns a log that has begun, with an entry at 10.
func newDouble() *double {
	d := &double{id: store.ID{0: 0xd0}, appended: make(chan struct{})}
	d.add(everyone(0))
	return d
}

// add appends entries and returns the last one's position.
func (d *double) add(entries ...store.Entry) store.Position {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, e := range entries {
		e.Previous, e.Position = d.head, d.head+10
		d.head = e.Position
		d.entries = append(d.entries, e)
	}
	close(d.appended)
	d.appended = make(chan struct{})
	return d.head
}

// drop raises the floor and drops what is not above.
func (d *double) drop(p store.Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.stamp()
	for len(d.entries) > 0 && d.entries[0].Position <= p {
		d.dropped = append(d.dropped, d.entries[0])
		d.floor, d.floorID, d.entries = d.entries[0].Position, d.entries[0].ID, d.entries[1:]
	}
}

// stamp gives an id to each entry that has none. Tests append entries without.
func (d *double) stamp() {
	for i := range d.entries {
		if e := &d.entries[i]; e.ID.IsZero() {
			d.stamped++
			binary.BigEndian.PutUint32(e.ID[:], d.stamped)
		}
	}
}

// lose makes the log end at p again: entries above are gone.
func (d *double) lose(p store.Position) {
	d.mu.Lock()
	defer d.mu.Unlock()
	gone := func(e store.Entry) bool { return e.Position > p }
	d.entries = slices.DeleteFunc(slices.Clone(d.entries), gone)
	d.dropped = slices.DeleteFunc(d.dropped, gone)
	d.head = p
}

// regrow loses what is above p and goes on with other entries, at other
// positions, up to at least q. It returns the head.
func (d *double) regrow(p, q store.Position) store.Position {
	d.lose(p)
	d.mu.Lock()
	d.entries = append(d.entries, store.Entry{Kind: store.KindSuperseding, Session: session(99), Previous: d.head, Position: d.head + 5})
	d.head += 5
	d.mu.Unlock()
	for p < q {
		p = d.add(superseding(session(99), 0))
	}
	return p
}

// become gives the log another id.
func (d *double) become(id store.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.id = id
}

// onSince sets what answers Since; nil: the log itself.
func (d *double) onSince(f func(context.Context, sinceCall) (store.Batch, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.since = f
}

// onCutoffs does the same for Cutoffs.
func (d *double) onCutoffs(f func(context.Context, store.ID, string) (store.Cutoffs, error)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.cutoffs = f
}

// calls returns the calls so far, and forgets them.
func (d *double) calls() []sinceCall {
	d.mu.Lock()
	defer d.mu.Unlock()
	all := d.queries
	d.queries = nil
	return all
}

// Since implements [revocation.Source].
func (d *double) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	q := sinceCall{after, limit, wait, time.Now()}
	d.mu.Lock()
	d.queries = append(d.queries, q)
	f := d.since
	d.mu.Unlock()
	if f != nil {
		return f(ctx, q)
	}
	return d.honest(ctx, q)
}

// honest returns what an honest store would.
func (d *double) honest(ctx context.Context, q sinceCall) (store.Batch, error) {
	if err := store.CheckSince(q.after, q.limit); err != nil {
		return store.Batch{}, err
	}
	timeout := time.NewTimer(q.wait)
	defer timeout.Stop()
	for waited := q.wait <= 0; ; {
		b, appended := d.batch(q)
		if waited || b.Broken || len(b.Entries) > 0 {
			return b, ctx.Err()
		}
		select {
		case <-appended:
		case <-timeout.C:
			waited = true
		case <-ctx.Done():
			return store.Batch{}, ctx.Err()
		}
	}
}

// batch is the answer as it is now.
func (d *double) batch(q sinceCall) (store.Batch, <-chan struct{}) {
	d.mu.Lock()
	defer d.mu.Unlock()
	limit := q.limit
	if d.most > 0 {
		limit = min(limit, d.most)
	}
	d.stamp()
	b := store.Batch{Log: d.id, Head: d.head, HeadID: d.floorID, Floor: d.floor}
	if n := len(d.entries); n > 0 {
		b.HeadID = d.entries[n-1].ID
	}
	b.Broken = q.after != store.Cursor{} && q.after != store.Cursor{Position: d.floor, ID: d.floorID} &&
		!slices.ContainsFunc(d.entries, func(e store.Entry) bool { return e.Cursor() == q.after })
	if b.Broken {
		return b, d.appended
	}
	for _, e := range d.entries {
		if e.Position <= q.after.Position {
			continue
		}
		if len(b.Entries) == limit {
			b.More = true
			break
		}
		b.Entries = append(b.Entries, e)
	}
	return b, d.appended
}

// Cutoffs implements [revocation.Source].
func (d *double) Cutoffs(ctx context.Context, id store.ID, name string) (store.Cutoffs, error) {
	d.mu.Lock()
	f := d.cutoffs
	d.mu.Unlock()
	if f != nil {
		return f(ctx, id, name)
	}
	return d.revoked(id, name), ctx.Err()
}

// revoked returns the log's cutoffs of a session and a subject.
func (d *double) revoked(id store.ID, name string) store.Cutoffs {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := store.Cutoffs{Floor: d.floor, Head: d.head, Log: d.id}
	for i := range len(d.dropped) + len(d.entries) {
		e := d.at(i)
		switch {
		case e.Position <= d.floor && e.Kind >= store.KindSession:
		case e.Kind == store.KindEveryone:
			c.Everyone = e.Position
		case e.Kind == store.KindSubject && e.Subject == name:
			c.Subject = e.Position
		case e.Kind == store.KindSession && e.Session == id:
			c.Ending = e.Position
		case e.Kind == store.KindSuperseding && e.Session == id:
			c.Superseding = e.Position
		}
	}
	return c
}

// at returns an entry of all that there ever were.
func (d *double) at(i int) *store.Entry {
	if i < len(d.dropped) {
		return &d.dropped[i]
	}
	return &d.entries[i-len(d.dropped)]
}

// recorder keeps a replica's events; those that only say what was applied apart.
type recorder struct {
	mu      sync.Mutex
	events  []revocation.Event
	applied []revocation.Event
}

func (r *recorder) observe(e revocation.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Applied > 0 {
		r.applied = append(r.applied, e)
		return
	}
	r.events = append(r.events, e)
}

// take returns the events so far, and forgets them.
func (r *recorder) take() []revocation.Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := r.events
	r.events = nil
	return all
}

// follow returns a replica that lives as long as the test.
func follow(t testing.TB, source revocation.Source, c revocation.Config) *revocation.Replica {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	r, err := revocation.Follow(ctx, source, c)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.Close)
	return r
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Unix(1_800_000_000, 0)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// split moves the wall time and the monotonic time by different durations, as
// when a machine sleeps or its clock is set. Package time offers no such thing:
// this reaches into a Time as it is, and checks that it worked.
func (c *clock) split(t testing.TB, wall, monotonic time.Duration) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	next := c.now.Add(wall)
	(*struct {
		wall uint64
		ext  int64
		loc  *time.Location
	})(unsafe.Pointer(&next)).ext += int64(monotonic - wall)
	if next.Sub(c.now) != monotonic || next.Round(0).Sub(c.now.Round(0)) != wall {
		t.Fatalf("a Time is not what it was: %v and %v: want %v and %v", next.Sub(c.now), next.Round(0).Sub(c.now.Round(0)), monotonic, wall)
	}
	c.now = next
}

// newSplitClock returns a clock with a monotonic reading. It must be made
// outside a synctest bubble.
func newSplitClock() *clock { return &clock{now: time.Now()} }

// check fails the test unless the replica's verdict is the wanted one.
func check(t testing.TB, r *revocation.Replica, now time.Time, n int, at store.Position, want revocation.Verdict) {
	t.Helper()
	if got := r.Check(now, session(n), subject(n), at); got != want {
		t.Errorf("session %d at %d is %v: want %v", n, at, got, want)
	}
}
