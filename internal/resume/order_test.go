package resume

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/node"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// The order of a refresh is a rule: the data is settled, Reload is called, the
// answer is known to fit and to be sealed, and then alone the family is advanced.
// A family that is advanced without an answer leaves its browser behind.
func TestPromise9_NothingIsAdvancedThatCannotBeAnswered(t *testing.T) {
	large := errors.New("too large")
	before := time.Unix(0, 0) // before any key seals
	for name, row := range map[string]struct {
		cookie  uint32
		at      time.Time
		look    refresh.Result
		reload  error
		fits    error
		want    error // besides ErrUnavailable, which it stands for
		order   []string
		reports []string
	}{
		"all is well":             {cookie: 3, order: []string{"reload", "fits", "refresh"}},
		"all is well, no cookie":  {order: []string{"look", "reload", "fits", "refresh"}},
		"the token is no good":    {look: refused(refresh.ReasonIdle), want: sentinel.ErrNoSession, order: []string{"look"}, reports: []string{"refused 1: " + string(refresh.ReasonIdle)}},
		"Reload fails":            {cookie: 3, reload: errDown, want: errDown, order: []string{"reload"}, reports: []string{"outage: down"}},
		"Reload hangs up":         {cookie: 3, reload: context.Canceled, want: context.Canceled, order: []string{"reload"}, reports: []string{"outage: context canceled"}},
		"Reload ends the session": {cookie: 3, reload: sentinel.ErrEnded, want: sentinel.ErrNoSession, order: []string{"reload", "end"}},
		"the answer does not fit": {cookie: 3, fits: large, want: large, order: []string{"reload", "fits"}, reports: []string{"unavailable: a refresh cannot be answered: too large"}},
		"no key may seal":         {cookie: 3, at: before, want: keyring.ErrNoPrimary, order: []string{"reload", "fits"}, reports: []string{"unavailable: a refresh cannot be answered: " + keyring.ErrNoPrimary.Error()}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.reloads("fresh", row.reload)
			w.fitsErr = row.fits
			w.node.refresh = []refresh.Result{issued(w.family(4, ""))}
			w.node.look = []refresh.Result{issued(w.family(3, ""))}
			if row.look.Reason != "" {
				w.node.look = []refresh.Result{row.look}
			}
			at := now
			if !row.at.IsZero() {
				at = row.at
			}
			_, err := w.Refresh(t.Context(), at, w.credentials(row.cookie))
			w.wantError(err, row.want)
			if out := row.want != nil && row.want != sentinel.ErrNoSession; errors.Is(err, sentinel.ErrUnavailable) != out {
				t.Errorf("%v: unavailable is %v, want %v", err, !out, out)
			}
			w.wantOrder(row.order...)
			w.wantReports(row.reports...)
		})
	}
}

// The answer's size is judged with the data that it will have.
func TestWhatHasToFit(t *testing.T) {
	w := newWorld(t)
	w.node.refresh = []refresh.Result{issued(w.family(4, ""))}
	w.reloads("fresh", nil)
	if _, err := w.Refresh(t.Context(), now, w.credentials(3)); err != nil || !slices.Equal(w.fitted, []string{"alice fresh"}) {
		t.Errorf("asked about %q, %v", w.fitted, err)
	}
}

// An error of Reload that wraps ErrEnded ends the session, at the position that
// its header proves. If the store does not take the end, that is an outage: the
// session is not known to be over everywhere. Any other error is an outage.
func TestReloadsErrors(t *testing.T) {
	out := fmt.Errorf("%w: the store is down", sentinel.ErrUnavailable)
	for name, row := range map[string]struct {
		reload, end, want, not error
		ends                   int
		reports                []string
	}{
		"it ends":            {sentinel.ErrEnded, nil, sentinel.ErrNoSession, sentinel.ErrUnavailable, 1, nil},
		"it ends, wrapped":   {fmt.Errorf("alice is gone: %w", sentinel.ErrEnded), nil, sentinel.ErrNoSession, sentinel.ErrUnavailable, 1, nil},
		"the store is down":  {sentinel.ErrEnded, out, out, sentinel.ErrNoSession, 1, nil},
		"any other":          {errDown, nil, sentinel.ErrUnavailable, sentinel.ErrNoSession, 0, []string{"outage: down"}},
		"no session is none": {sentinel.ErrNoSession, nil, sentinel.ErrUnavailable, sentinel.ErrEnded, 0, []string{"outage: " + sentinel.ErrNoSession.Error()}},
	} {
		for way, resume := range resumes {
			t.Run(name+"/"+way, func(t *testing.T) {
				w := newWorld(t)
				w.reloads("", row.reload)
				w.node.endErr = row.end
				w.node.look = []refresh.Result{issued(w.family(3, ""))}
				s, err := resume(w, w.credentials(3))
				w.wantError(err, row.want)
				if errors.Is(err, row.not) || s.Data != nil {
					t.Errorf("%v with %q", err, s.Data)
				}
				w.wantReports(row.reports...)
				want := []string{fmt.Sprintf("[%v] by alice: ended by Reload", id)}
				if !slices.Equal(w.node.ends, want[:row.ends]) {
					t.Errorf("ends %q, want %q", w.node.ends, want[:row.ends])
				}
			})
		}
	}
}

// If another request committed meanwhile, the refresh starts again from the
// committed value, with Reload and all. It does so a bounded number of times.
func TestBehindStartsAgain(t *testing.T) {
	for name, row := range map[string]struct {
		behind int // how many answers are
		spoilt bool
		reload bool
		err    error
		data   string
		turns  int
		report string
	}{
		"never":                   {turns: 1, data: "cookie's"},
		"once":                    {behind: 1, turns: 2, data: "kept"},
		"almost too often":        {behind: maxTurns - 1, turns: maxTurns, data: "kept"},
		"too often":               {behind: maxTurns, turns: maxTurns, err: sentinel.ErrUnavailable, report: "unavailable: others keep committing to the session"},
		"with Reload":             {behind: 1, reload: true, turns: 2, data: "fresh"},
		"does not open":           {behind: 1, spoilt: true, turns: 1, err: sentinel.ErrNoSession, report: doesNot},
		"does not open, reloaded": {behind: 1, spoilt: true, reload: true, turns: 2, data: "fresh", report: doesNot},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			var with *[]string
			if row.reload {
				with = w.reloads("fresh", nil)
			}
			w.node.refresh = nil
			for range row.behind {
				snap := w.family(3, "kept")
				if row.spoilt {
					snap.Family.Value[0] ^= 1
				}
				w.node.refresh = append(w.node.refresh, behind(snap))
			}
			w.node.refresh = append(w.node.refresh, issued(w.family(4, "kept")))
			s, err := w.Refresh(t.Context(), now, w.credentials(3))
			w.wantError(err, row.err)
			if string(s.Data) != row.data {
				t.Errorf("it goes on with %q, want %q", s.Data, row.data)
			}
			if len(w.node.requests) != row.turns {
				t.Fatalf("%d turns, want %d", len(w.node.requests), row.turns)
			}
			for i, q := range w.node.requests {
				want := refresh.Request{Family: id, Generation: 3, Basis: 300, Carried: 3, Floor: 7}
				if i > 0 {
					want.Basis, want.Carried = 400, 0
				}
				if q != want {
					t.Errorf("turn %d asked %v, want %v", i, q, want)
				}
			}
			if with != nil {
				old := "kept"
				if row.spoilt {
					old = "nil"
				}
				if want := []string{"alice at 300: cookie's", "alice at 500: " + old}; !slices.Equal(*with, want) {
					t.Errorf("Reload got %q, want %q", *with, want)
				}
			}
			var want []string
			if row.report != "" {
				want = append(want, row.report)
			}
			w.wantReports(want...)
		})
	}
}

// A proven browser's data may be too old for its family although nothing was
// committed. Then only Reload can supply it.
func TestBehindWithoutACommit(t *testing.T) {
	for way, resume := range resumes {
		for _, reload := range []bool{false, true} {
			w := newWorld(t)
			stale := behind(w.family(9, ""))
			w.node.refresh, w.node.look = []refresh.Result{stale, issued(w.family(10, ""))}, []refresh.Result{stale}
			var wantErr error
			want, reports := "fresh", []string(nil)
			if reload {
				w.reloads("fresh", nil)
			} else {
				wantErr, want, reports = sentinel.ErrNoSession, "", []string{lost}
			}
			s, err := resume(w, w.credentials(3))
			w.wantError(err, wantErr)
			w.wantReports(reports...)
			if string(s.Data) != want {
				t.Errorf("%s, Reload %v: it goes on with %q, want %q", way, reload, s.Data, want)
			}
			for i, q := range w.node.requests {
				if i > 0 && (q.Basis != 0 || q.Carried != 0) {
					t.Errorf("%s: turn %d asked %v", way, i, q)
				}
			}
		}
	}
}

// Each answer of the node has its report. The client gets one error for all
// refusals.
func TestPromise6_RefusalsAndTheirReports(t *testing.T) {
	for name, row := range map[string]struct {
		res    refresh.Result
		report string
	}{
		"absent":   {refused(refresh.ReasonAbsent), "refused 1: no such family"},
		"ended":    {refused(refresh.ReasonEnded), "refused 1: family ended"},
		"cut off":  {refused(refresh.ReasonCutOff), "refused 1: subject or everyone revoked"},
		"idle":     {refused(refresh.ReasonIdle), "refused 1: past the idle limit"},
		"absolute": {refused(refresh.ReasonAbsolute), "refused 1: past the absolute limit"},
		"kind":     {refused(refresh.ReasonKind), "refused 1: family of the other kind of client"},
		"lost":     {refused(node.ReasonLost), "alarm 1: revoked, though the store has lost that"},
		"replay":   {refresh.Result{Verdict: refresh.Replay, Reason: refresh.ReasonReplay, Entry: 77, Snapshot: store.Snapshot{Family: store.Family{Copy: 2}}}, "replayed 1 at 77, 2 lost: refresh token replayed"},
		"broken":   {refused(refresh.ReasonBroken), "refused 1: more answers lost than a working client loses"},
		"ahead":    {refresh.Result{Verdict: refresh.Ahead, Reason: refresh.ReasonAhead}, "alarm 1: store went back in time"},
	} {
		for way, resume := range resumes {
			for _, cookie := range []uint32{0, 3} {
				w := newWorld(t)
				w.node.refresh, w.node.look = []refresh.Result{row.res}, []refresh.Result{row.res}
				if _, err := resume(w, w.credentials(cookie)); err != sentinel.ErrNoSession {
					t.Errorf("%s, %s: %v, want exactly no session", name, way, err)
				}
				w.wantReports(row.report)
			}
		}
	}
}

// A presented token is not issued again. Its late answer would put it back over a
// newer one, and its browser would look like a thief. Any other answer brings the
// family's newest token.
func TestPromise3_ATokenIsWrittenOnlyIfItIsAnother(t *testing.T) {
	presented := codec.RefreshToken{Family: codec.ID(id), Generation: 3, Copy: 1}
	token := func(generation uint32, copied uint16) codec.RefreshToken {
		return codec.RefreshToken{Family: codec.ID(id), Generation: generation, Copy: copied}
	}
	for name, row := range map[string]struct {
		newest             codec.RefreshToken // of the family, after the request
		advanced, reissued bool
		token              codec.RefreshToken
		how                string
		lost               int
	}{
		"it is the newest":          {newest: token(3, 1), how: "the same token", lost: 1},
		"there are newer copies":    {newest: token(3, 4), how: "the same token", lost: 4},
		"it is advanced":            {newest: token(4, 0), advanced: true, token: token(4, 0), how: "advanced"},
		"another tab has done it":   {newest: token(4, 0), token: token(4, 0), how: "the same successor"},
		"its answer was lost":       {newest: token(4, 5), reissued: true, token: token(4, 5), how: "a copy for a lost answer", lost: 5},
		"and another tab saw to it": {newest: token(4, 5), token: token(4, 5), how: "the same successor", lost: 5},
	} {
		w := newWorld(t)
		snap := w.family(row.newest.Generation, "")
		snap.Family.Copy = row.newest.Copy
		w.node.refresh = []refresh.Result{{Verdict: refresh.Issue, Snapshot: snap, Advanced: row.advanced, Reissued: row.reissued}}
		c := w.credentials(3)
		c.Token = presented
		s, err := w.Refresh(t.Context(), now, c)
		if err != nil || s.Token != row.token || s.How != row.how || s.Lost != row.lost {
			t.Errorf("%s: token %v, %q, %d lost, %v; want %v, %q, %d", name, s.Token, s.How, s.Lost, err, row.token, row.how, row.lost)
		}
		if !sameHeader(s.Header, mint(now, snap)) || !s.At.Equal(engine) || string(s.Data) != "cookie's" {
			t.Errorf("%s: %+v, want the header and the time of the answer", name, s)
		}
		if want := (refresh.Request{Family: id, Generation: 3, Copy: 1, Basis: 300, Carried: 3, Floor: 7}); w.node.requests[0] != want {
			t.Errorf("%s: asked %v, want %v", name, w.node.requests[0], want)
		}
	}
}
