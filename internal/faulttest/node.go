package faulttest

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// tally is the session data: the login that owns it, and how often it was written.
type tally struct {
	Login   int64 `cbor:"1,keyasint"`
	Commits int   `cbor:"2,keyasint"`
	Saves   int   `cbor:"3,keyasint"`
}

const (
	sessionCookie = "__Host-session"
	refreshCookie = "__Host-refresh"
)

// node is one node over all of its lives. A restart begins a new life.
type node struct {
	world  *World
	number int

	mu       sync.RWMutex // held for reading by requests, for writing by a restart
	sessions *wafer.Sessions[tally]
	handler  http.Handler
	engine   io.Closer
	wire     *wire
	life     int
	born     time.Time // a moment before this life read the log
}

// start begins a life. The caller holds the lock, or has not shared n yet.
func (n *node) start() error {
	n.stop()
	n.born = time.Now()
	c := n.world.config
	db, engine, err := c.Open(n.number)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), c.Recovery)
	defer cancel()
	wire := &wire{db}
	sessions, err := wafer.New(ctx, n.world.ring, wire, wafer.Config[tally]{
		Realm: "faulttest.example", Access: c.Access, Grace: c.Grace, Idle: c.Idle, Absolute: time.Hour,
		MaxStaleness: c.MaxStaleness, StoreTimeout: c.StoreTimeout, Skew: 100 * time.Millisecond,
		Observe: n.observe,
	})
	if err != nil {
		if engine != nil {
			engine.Close()
		}
		return err
	}
	n.sessions, n.engine, n.wire = sessions, engine, wire
	n.handler = sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Context().Value(requestKey{}).(*request).act(w, r)
	}))
	n.life++
	return nil
}

// stop ends a life as a crash does: the engine goes first.
func (n *node) stop() {
	if n.sessions == nil {
		return
	}
	if n.engine != nil {
		n.engine.Close()
	}
	n.sessions.Close()
	n.sessions = nil
}

// Restart ends a node and starts it again. If the store is unavailable, Restart tries
// again for at most Config.Recovery. The node is down for requests meanwhile. A node
// that does not start fails the test.
func (w *World) Restart(number int) {
	w.t.Helper()
	n := w.nodes[number]
	n.mu.Lock()
	defer n.mu.Unlock()
	began := time.Now()
	for {
		err := n.start()
		if err == nil {
			w.Note("node %d is restarted", number)
			return
		}
		if time.Since(began) > w.config.Recovery {
			w.mu.Lock()
			w.broken(nil, nil, "node %d does not start: %v", number, err)
			w.mu.Unlock()
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// state returns the state of the node's revocation list, or "down".
func (n *node) state() string {
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.sessions == nil {
		return "down"
	}
	return n.sessions.Health().State
}

// observe records the node's events in the stories. Of all checks, only that for
// false reports of theft depends on them.
func (n *node) observe(e wafer.Event) {
	w := n.world
	w.mu.Lock()
	defer w.mu.Unlock()
	what := "event: " + string(e.Kind)
	if e.Kind == wafer.KindRefreshed {
		what += ", " + e.Reason
	}
	w.counts[what]++
	text := fmt.Sprintf("node %d says: %s %s", n.number, e.Kind, e.Reason)
	if e.Err != nil {
		text += ": " + e.Err.Error()
	}
	if l := w.logins[e.Session]; l != nil {
		l.note(w, "%s", text)
		if e.Kind == wafer.KindReplayed {
			w.reported(l)
		}
	} else if e.Kind == wafer.KindAlarm || e.Kind == wafer.KindReplica {
		w.note("%s", text)
	}
}

type requestKey struct{}

// request is a request to a node.
type request struct {
	node    *node
	begin   time.Time
	browser *Browser // nil for a thief
	what    string
	subject string // of a login
	owner   *login // the login whose credentials it has, or nil
	jar     jar
	expect  tally   // the data must be this,
	maybe   []tally // or one of these
	old     tally   // the data of a cookie that was put back
	keptBy  ack     // of the commit after that cookie
	act     func(http.ResponseWriter, *http.Request)
	calls   atomic.Int64 // calls of the store
}

func (q *request) context() context.Context {
	return context.WithValue(context.Background(), requestKey{}, q)
}

func (q *request) http() *http.Request {
	r := httptest.NewRequestWithContext(q.context(), http.MethodPost, "https://faulttest.example/", nil)
	if q.jar.session != "" {
		r.Header.Add("Cookie", sessionCookie+"="+q.jar.session)
	}
	if q.jar.refresh != "" {
		r.Header.Add("Cookie", refreshCookie+"="+q.jar.refresh)
	}
	return r
}

// wire stands between a node and its engine. It counts the calls that requests make.
type wire struct{ store.Store }

func count(ctx context.Context) {
	if q, ok := ctx.Value(requestKey{}).(*request); ok {
		q.calls.Add(1)
	}
}

func (x *wire) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	count(ctx)
	return x.Store.Create(ctx, c)
}

func (x *wire) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	count(ctx)
	return x.Store.Advance(ctx, a)
}

func (x *wire) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	count(ctx)
	return x.Store.Commit(ctx, c)
}

func (x *wire) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	count(ctx)
	return x.Store.Reissue(ctx, r)
}

func (x *wire) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	count(ctx)
	return x.Store.Family(ctx, id)
}

func (x *wire) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	count(ctx)
	return x.Store.Revoke(ctx, r)
}

func (x *wire) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	count(ctx)
	return x.Store.Since(ctx, after, limit, wait)
}

func (x *wire) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	count(ctx)
	return x.Store.Cutoffs(ctx, session, subject)
}
