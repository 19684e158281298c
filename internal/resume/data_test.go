package resume

import (
	"context"
	"slices"
	"testing"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// resumes are both ways to continue a session.
var resumes = map[string]func(w *world, c *gate.Credentials) (Session, error){
	"Refresh": func(w *world, c *gate.Credentials) (Session, error) { return w.Refresh(w.t.Context(), now, c) },
	"Look":    func(w *world, c *gate.Credentials) (Session, error) { return w.Look(w.t.Context(), now, c) },
}

const (
	lost    = "refused 1: the session's data is lost: no cookie carries it, none was committed, and there is no Reload"
	doesNot = "alarm 1: the committed value does not open"
)

// The data that a session goes on with is the session cookie's, if it belongs to
// the token; else the committed value; else what Reload supplies. Without any,
// the session is refused.
func TestWhoseData(t *testing.T) {
	for name, row := range map[string]struct {
		cookie    uint32 // its generation, beside a token of generation 3; 0: none
		other     bool   // the cookie is of another family
		committed string
		spoilt    bool
		reload    bool
		asked     bool // for the family, before anything else
		data      string
		basis     store.Position
		err       error
		reports   []string
	}{
		"the cookie's":                     {cookie: 3, data: "cookie's", basis: 300},
		"a newer cookie's":                 {cookie: 4, data: "cookie's", basis: 300},
		"of the generation before":         {cookie: 2, data: "cookie's", basis: 300},
		"the cookie's, with a commit":      {cookie: 3, committed: "kept", data: "cookie's", basis: 300}, // the store judges the basis
		"the cookie's, reloaded":           {cookie: 3, reload: true, data: "fresh", basis: 300},
		"two generations old":              {cookie: 1, asked: true, err: sentinel.ErrNoSession, reports: []string{lost}},
		"two generations old, committed":   {cookie: 1, committed: "kept", asked: true, data: "kept", basis: 400},
		"of another family":                {cookie: 3, other: true, asked: true, err: sentinel.ErrNoSession, reports: []string{lost}},
		"of another family, committed":     {cookie: 3, other: true, committed: "kept", asked: true, data: "kept", basis: 400},
		"of another family, reloaded":      {cookie: 3, other: true, reload: true, asked: true, data: "fresh"},
		"no cookie":                        {asked: true, err: sentinel.ErrNoSession, reports: []string{lost}},
		"no cookie, committed":             {committed: "kept", asked: true, data: "kept", basis: 400},
		"no cookie, reloaded":              {reload: true, asked: true, data: "fresh"},
		"no cookie, committed, reloaded":   {committed: "kept", reload: true, asked: true, data: "fresh", basis: 400},
		"a commit that does not open":      {committed: "kept", spoilt: true, asked: true, err: sentinel.ErrNoSession, reports: []string{doesNot}},
		"one that does not open, reloaded": {committed: "kept", spoilt: true, reload: true, asked: true, data: "fresh", basis: 400, reports: []string{doesNot}},
	} {
		for way, resume := range resumes {
			t.Run(name+"/"+way, func(t *testing.T) {
				w := newWorld(t)
				snap := w.family(3, row.committed)
				if row.spoilt {
					snap.Family.Value[len(snap.Family.Value)-1] ^= 1
				}
				w.node.refresh, w.node.look = []refresh.Result{issued(snap)}, []refresh.Result{issued(snap)}
				var with *[]string
				if row.reload {
					with = w.reloads("fresh", nil)
				}
				c := w.credentials(row.cookie)
				if row.other {
					w.withCookie(c, codec.ID{9}, row.cookie)
				}
				s, err := resume(w, c)
				w.wantError(err, row.err)
				w.wantReports(row.reports...)
				if string(s.Data) != row.data {
					t.Errorf("it goes on with %q, want %q", s.Data, row.data)
				}
				want := []refresh.Request{{Family: id, Generation: 3, Basis: row.basis, Floor: 7}}
				if !row.asked {
					want[0].Carried = row.cookie
				} else { // the token's worth is asked for first, whatever data there is
					want = slices.Insert(want, 0, refresh.Request{Family: id, Generation: 3, Basis: store.MaxPosition, Floor: 7})
				}
				if row.err != nil {
					want = want[:1]
				}
				if !slices.Equal(w.node.requests, want) {
					t.Errorf("asked %v, want %v", w.node.requests, want)
				}
				if with == nil {
					return
				}
				// Reload sees the data that it replaces. It gets the cookie's header
				// if a refresh has not shown a newer one yet.
				old := map[string]string{"the cookie's, reloaded": "cookie's", "no cookie, committed, reloaded": "kept"}[name]
				if old == "" {
					old = "nil"
				}
				at := "alice at 500: "
				if !row.asked && way == "Refresh" {
					at = "alice at 300: "
				}
				if !slices.Equal(*with, []string{at + old}) {
					t.Errorf("Reload got %q, want %q", *with, at+old)
				}
			})
		}
	}
}

// The committed value of one family does not open as another's: a row that was
// swapped in the store changes nobody's data.
func TestPromise2_ACommittedValueOfAnotherFamily(t *testing.T) {
	w := newWorld(t)
	snap := w.family(3, "kept")
	sealed, err := w.Commits.Seal(now, codec.ID{9}, []byte("another's"))
	if err != nil {
		t.Fatal(err)
	}
	snap.Family.Value = sealed
	w.node.look = []refresh.Result{issued(snap)}
	s, err := w.Refresh(t.Context(), now, w.credentials(0))
	w.wantError(err, sentinel.ErrNoSession)
	w.wantReports(doesNot)
	w.wantOrder("look")
	if s.Data != nil {
		t.Errorf("it has %q", s.Data)
	}
}

// A session that this node ended is over, though the store has not taken that
// yet or has lost it. The store is not asked.
func TestPromise1_AnEndedSessionIsNotResumed(t *testing.T) {
	for way, resume := range resumes {
		for _, cookie := range []uint32{0, 3} {
			w := newWorld(t)
			w.reloads("fresh", nil)
			w.node.ended = true
			_, err := resume(w, w.credentials(cookie))
			if err != sentinel.ErrNoSession {
				t.Errorf("%s: %v, want no session", way, err)
			}
			w.wantReports("refused 1: " + string(refresh.ReasonEnded))
			w.wantOrder()
		}
	}
}

// An outage of the store refuses nobody.
func TestPromise5_AnOutageWhileTheDataIsSettled(t *testing.T) {
	for way, resume := range resumes {
		for _, cookie := range []uint32{0, 3} {
			w := newWorld(t)
			w.node.err = w.node.Unavailable(id, errDown)
			w.reports = nil
			_, err := resume(w, w.credentials(cookie))
			if w.wantError(err, sentinel.ErrUnavailable); err != w.node.err {
				t.Errorf("%s: %v, want the node's error", way, err)
			}
			w.wantReports() // the node has reported it
		}
	}
}

// The session may have committed since its cookie was minted. Look then goes on
// with the committed value.
func TestLookBehindACommit(t *testing.T) {
	for name, row := range map[string]struct {
		spoilt, reload bool
		data           string
		err            error
		reports        []string
	}{
		"committed":              {data: "kept"},
		"does not open":          {spoilt: true, err: sentinel.ErrNoSession, reports: []string{doesNot}},
		"does not, but reloaded": {spoilt: true, reload: true, data: "fresh", reports: []string{doesNot}},
		"reloaded":               {reload: true, data: "fresh"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			snap := w.family(3, "kept")
			if row.spoilt {
				snap.Family.Value[0] ^= 1
			}
			if row.reload {
				w.reloads("fresh", nil)
			}
			w.node.look = []refresh.Result{behind(snap)}
			s, err := w.Look(t.Context(), now, w.credentials(3))
			w.wantError(err, row.err)
			w.wantReports(row.reports...)
			if string(s.Data) != row.data {
				t.Errorf("it goes on with %q, want %q", s.Data, row.data)
			}
		})
	}
}

// Look answers with the family's own header, and advances nothing.
func TestLook(t *testing.T) {
	w := newWorld(t)
	w.node.look = []refresh.Result{issued(w.family(4, ""))}
	s, err := w.Look(t.Context(), now, w.credentials(3))
	if err != nil || !sameHeader(s.Header, mint(now, w.family(4, ""))) || !s.At.Equal(engine) || s.Token != (codec.RefreshToken{}) {
		t.Errorf("%+v, %v", s, err)
	}
	w.wantOrder("look")
	w.wantReports()
}

// Look holds the store's answer against what the node knows to be revoked.
func TestPromise1_LookOfAFamilyKnownDead(t *testing.T) {
	for name, answer := range map[string]func(store.Snapshot) refresh.Result{"issued": issued, "behind": behind} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reloads("fresh", nil)
			w.node.dead = true
			w.node.look = []refresh.Result{answer(w.family(3, "kept"))}
			_, err := w.Look(t.Context(), now, w.credentials(3))
			w.wantError(err, sentinel.ErrNoSession)
			w.wantReports("alarm 1: revoked, though the store has lost that")
			w.wantOrder("look")
		})
	}
}

// Reload gets the request's context.
func TestReloadsContext(t *testing.T) {
	type key struct{}
	for way := range resumes {
		w := newWorld(t)
		w.node.refresh, w.node.look = []refresh.Result{issued(w.family(3, ""))}, []refresh.Result{issued(w.family(3, ""))}
		got := any(nil)
		w.Reload = func(ctx context.Context, _ codec.Session, data []byte) ([]byte, error) {
			got = ctx.Value(key{})
			return data, nil
		}
		resume := w.Refresh
		if way == "Look" {
			resume = w.Look
		}
		if _, err := resume(context.WithValue(t.Context(), key{}, "request"), now, w.credentials(3)); err != nil || got != "request" {
			t.Errorf("%s: %v, %v", way, got, err)
		}
	}
}
