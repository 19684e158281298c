package resume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

var instance = codec.Instance{Realm: "shop.example/test", SessionCookie: "__Host-session"}

// now is the node's time in these tests, and engine the store's.
var (
	now    = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	engine = now.Add(-time.Second)
)

// id is the family of these tests.
var id = store.ID{1}

var errDown = errors.New("down")

// fakeNode answers with what the test has put down. It records the requests, and
// the order of all calls.
type fakeNode struct {
	world    *world
	refresh  []refresh.Result // in turn; the last one again and again
	look     []refresh.Result
	err      error // of Refresh and Look
	endErr   error
	ended    bool
	dead     bool
	expired  store.Position
	requests []refresh.Request
	ends     []string
}

func (n *fakeNode) answer(call string, results *[]refresh.Result, q refresh.Request) (refresh.Result, error) {
	n.world.order = append(n.world.order, call)
	n.requests = append(n.requests, q)
	if n.err != nil {
		return refresh.Result{}, n.err
	}
	if len(*results) == 0 {
		return refresh.Result{}, fmt.Errorf("the test has no answer for %s", call)
	}
	res := (*results)[0]
	if len(*results) > 1 {
		*results = (*results)[1:]
	}
	return res, nil
}

func (n *fakeNode) Refresh(_ context.Context, q refresh.Request) (refresh.Result, error) {
	return n.answer("refresh", &n.refresh, q)
}

func (n *fakeNode) Look(_ context.Context, q refresh.Request) (refresh.Result, error) {
	return n.answer("look", &n.look, q)
}

func (n *fakeNode) End(_ context.Context, reason, actor string, ids ...store.ID) error {
	n.world.order = append(n.world.order, "end")
	n.ends = append(n.ends, fmt.Sprintf("%v by %s: %s", ids, actor, reason))
	return n.endErr
}

func (n *fakeNode) Ended(session store.ID) bool { return n.ended && session == id }

func (n *fakeNode) Dead(f *store.Family) bool { return n.dead && f.ID == id }

func (n *fakeNode) ExpiredBelow(session store.ID) store.Position {
	if session != id {
		return 0
	}
	return n.expired
}

func (n *fakeNode) Unavailable(_ store.ID, err error) error {
	n.world.report("unavailable: %v", err)
	return fmt.Errorf("%w: %w", sentinel.ErrUnavailable, err)
}

func (n *fakeNode) Outage(_ store.ID, err error) error {
	n.world.report("outage: %v", err)
	return fmt.Errorf("%w: %w", sentinel.ErrUnavailable, err)
}

// world is a Resumer over a fake node, with the codecs and the ring as they are.
type world struct {
	*Resumer
	t       *testing.T
	node    *fakeNode
	order   []string
	reports []string
	fitsErr error
	fitted  []string // the data that Fits was asked about
}

func (w *world) report(format string, args ...any) {
	w.reports = append(w.reports, fmt.Sprintf(format, args...))
}

func (w *world) Refused(session store.ID, reason string, _ error) {
	w.report("refused %d: %s", session[0], reason)
}

func (w *world) Replayed(session store.ID, reason string, at store.Position, lost int) {
	w.report("replayed %d at %d, %d lost: %s", session[0], at, lost, reason)
}

func (w *world) Alarm(session store.ID, _ store.Position, reason string, _ error) {
	w.report("alarm %d: %s", session[0], reason)
}

func newWorld(t *testing.T) *world {
	t.Helper()
	ring, err := keyring.Static(strings.Repeat("5a", keyring.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	commits, err := codec.NewCommits(ring, instance)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t}
	w.node = &fakeNode{world: w, expired: 7}
	w.Resumer = &Resumer{
		Node: w.node, Ring: ring, Commits: commits, Mint: mint, Observer: w,
		Fits: func(h *codec.Session, data []byte) error {
			w.order = append(w.order, "fits")
			w.fitted = append(w.fitted, h.Subject.Text()+" "+string(data))
			return w.fitsErr
		},
	}
	return w
}

// mint makes a header that says which snapshot it is from.
func mint(_ time.Time, snap store.Snapshot) codec.Session {
	return codec.Session{
		ID: codec.ID(snap.Family.ID), Subject: codec.Hide(snap.Family.Subject), Position: uint64(snap.Family.Position), Generation: snap.Family.Generation,
	}
}

// sameHeader compares what mint sets.
func sameHeader(a, b codec.Session) bool {
	return a.ID == b.ID && a.Subject.Text() == b.Subject.Text() && a.Position == b.Position && a.Generation == b.Generation
}

// reloads makes Reload return what the test puts down, after a record of what it
// was called with: the header's subject and position, and the data.
func (w *world) reloads(data string, err error) (with *[]string) {
	with = new([]string)
	w.Reload = func(_ context.Context, h codec.Session, old []byte) ([]byte, error) {
		w.order = append(w.order, "reload")
		was := "nil"
		if old != nil {
			was = string(old)
		}
		*with = append(*with, fmt.Sprintf("%s at %d: %s", h.Subject.Text(), h.Position, was))
		return []byte(data), err
	}
	return with
}

// family is the snapshot of a living family, of a generation and with a
// committed value, if there is one.
func (w *world) family(generation uint32, committed string) store.Snapshot {
	w.t.Helper()
	snap := store.Snapshot{State: store.Alive, Now: engine, Head: 900, Family: store.Family{
		ID: id, Subject: "alice", Position: 500, Generation: generation,
	}}
	if committed != "" {
		sealed, err := w.Commits.Seal(now, codec.ID(id), []byte(committed))
		if err != nil {
			w.t.Fatal(err)
		}
		snap.Family.Value, snap.Family.LastCommit = sealed, 400
	}
	return snap
}

// credentials are a refresh token of generation 3 and, unless it is 0, a session
// cookie of the generation given, at position 300.
func (w *world) credentials(generation uint32) *gate.Credentials {
	w.t.Helper()
	c := &gate.Credentials{Token: codec.RefreshToken{Family: codec.ID(id), Generation: 3}, HasToken: true}
	if generation == 0 {
		return c
	}
	return w.withCookie(c, codec.ID(id), generation)
}

// withCookie adds a session cookie of a family.
func (w *world) withCookie(c *gate.Credentials, family codec.ID, generation uint32) *gate.Credentials {
	w.t.Helper()
	cookies, err := codec.NewCookies(w.Ring, instance.Realm, "session")
	if err != nil {
		w.t.Fatal(err)
	}
	s := codec.Session{ID: family, Subject: codec.Hide("alice"), Position: 300, Generation: generation}
	for _, t := range []*time.Time{&s.Issued, &s.Access, &s.Idle, &s.Absolute, &s.Started, &s.Authenticated} {
		*t = now
	}
	value, err := cookies.Seal(now, &s, []byte("cookie's"))
	if err != nil {
		w.t.Fatal(err)
	}
	if c.Content, err = cookies.OpenContent(w.t.Context(), now, value, &c.Cookie); err != nil {
		w.t.Fatal(err)
	}
	c.HasCookie = true
	return c
}

func issued(snap store.Snapshot) refresh.Result {
	return refresh.Result{Verdict: refresh.Issue, Snapshot: snap}
}

func behind(snap store.Snapshot) refresh.Result {
	return refresh.Result{Verdict: refresh.Behind, Snapshot: snap}
}

func refused(reason refresh.Reason) refresh.Result {
	return refresh.Result{Verdict: refresh.Refuse, Reason: reason}
}

func (w *world) wantReports(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.reports, want) {
		w.t.Errorf("reports %q, want %q", w.reports, want)
	}
	w.reports = nil
}

func (w *world) wantOrder(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.order, want) {
		w.t.Errorf("order %q, want %q", w.order, want)
	}
	w.order = nil
}

// wantError compares an error with what it should match; nil is none.
func (w *world) wantError(err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		w.t.Errorf("%v, want %v", err, want)
	}
}
