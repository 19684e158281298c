package refresh_test

import (
	"math"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

const (
	access = 5 * time.Minute
	half   = access / 2
	grace  = 30 * time.Second
	ms     = time.Millisecond
)

var (
	issued = time.UnixMilli(1_700_000_000_000)
	lax    = refresh.Policy{Access: access, Grace: grace}
	strict = refresh.Policy{Access: access, Grace: grace, Strict: true}
)

// living returns a family at generation 7, issued that long ago.
func living(age time.Duration) store.Snapshot {
	return store.Snapshot{
		State: store.Alive, Now: issued.Add(age), Head: 1000, Floor: 50,
		Family: store.Family{
			ID: store.ID{1}, Subject: "alice", Birth: 60, Position: 100, Generation: 7,
			Started: issued.Add(-time.Hour), Authenticated: issued.Add(-time.Hour), Issued: issued,
			Idle: 30 * time.Minute, Absolute: issued.Add(11 * time.Hour),
		},
	}
}

// The table of section 8 of the design, with its boundaries.
func TestJudge(t *testing.T) {
	with := func(s store.Snapshot, edit func(*store.Snapshot)) store.Snapshot {
		edit(&s)
		return s
	}
	forgiven := func(age time.Duration, g uint32) store.Snapshot {
		return with(living(age), func(s *store.Snapshot) { s.Family.Forgiven = g })
	}
	committed := func(age time.Duration, at store.Position) store.Snapshot {
		return with(living(age), func(s *store.Snapshot) { s.Family.LastCommit = at })
	}
	request := func(g uint32) refresh.Request { return refresh.Request{Family: store.ID{1}, Generation: g, Basis: 100} }
	basis := func(g uint32, p store.Position) refresh.Request {
		return refresh.Request{Family: store.ID{1}, Generation: g, Basis: p}
	}
	native := request(7)
	native.Native = true
	floor := func(g uint32, p store.Position) refresh.Request {
		r := request(g)
		r.Floor = p
		return r
	}

	for _, test := range []struct {
		name    string
		policy  refresh.Policy
		request refresh.Request
		snap    store.Snapshot
		want    refresh.Verdict
		reason  refresh.Reason
	}{
		// Family absent, ended, cut off, past a limit, at any generation.
		{"absent", lax, request(7), store.Snapshot{Now: issued}, refresh.Refuse, refresh.ReasonAbsent},
		{"ended", lax, request(7), with(living(0), func(s *store.Snapshot) { s.State = store.Ended }), refresh.Refuse, refresh.ReasonEnded},
		{"ended, replayed", lax, request(1), with(living(0), func(s *store.Snapshot) { s.State = store.Ended }), refresh.Refuse, refresh.ReasonEnded},
		{"cut off", lax, request(7), with(living(0), func(s *store.Snapshot) { s.State = store.CutOff }), refresh.Refuse, refresh.ReasonCutOff},
		{"cut off, ahead", lax, request(9), with(living(0), func(s *store.Snapshot) { s.State = store.CutOff }), refresh.Refuse, refresh.ReasonCutOff},
		{"idle, 1 ms left", lax, request(7), living(30*time.Minute - ms), refresh.Advance, ""},
		{"idle, exactly", lax, request(7), living(30 * time.Minute), refresh.Refuse, refresh.ReasonIdle},
		{"idle, replayed", lax, request(3), living(30 * time.Minute), refresh.Refuse, refresh.ReasonIdle},
		{"absolute, 1 ms left", lax, request(7), with(living(0), func(s *store.Snapshot) { s.Family.Absolute = issued.Add(ms) }), refresh.Issue, ""},
		{"absolute, exactly", lax, request(7), with(living(0), func(s *store.Snapshot) { s.Family.Absolute = issued }), refresh.Refuse, refresh.ReasonAbsolute},
		{"at the other door", lax, native, living(0), refresh.Refuse, refresh.ReasonKind},
		{"at its own door", lax, native, with(living(0), func(s *store.Snapshot) { s.Family.Native = true }), refresh.Issue, ""},
		{"a native client's at the browser's", lax, request(7), with(living(0), func(s *store.Snapshot) { s.Family.Native = true }), refresh.Refuse, refresh.ReasonKind},

		// g = n.
		{"n, just issued", lax, request(7), living(0), refresh.Issue, ""},
		{"n, 1 ms before half", lax, request(7), living(half - ms), refresh.Issue, ""},
		{"n, exactly half", lax, request(7), living(half), refresh.Advance, ""},
		{"n, 1 ms after half", lax, request(7), living(half + ms), refresh.Advance, ""},
		{"n, an engine's clock that went back", lax, request(7), living(-time.Hour), refresh.Issue, ""},
		{"n, strict", strict, request(7), living(half), refresh.Advance, ""},

		// g = n−1.
		{"n-1, at once", lax, request(6), living(0), refresh.Issue, ""},
		{"n-1, 1 ms before the grace", lax, request(6), living(grace - ms), refresh.Issue, ""},
		{"n-1, 1 ms before the grace, strict", strict, request(6), living(grace - ms), refresh.Issue, ""},
		{"n-1, exactly the grace", lax, request(6), living(grace), refresh.Forgive, ""},
		{"n-1, exactly the grace, strict", strict, request(6), living(grace), refresh.Replay, refresh.ReasonReplay},
		{"n-1, 1 ms after the grace", lax, request(6), living(grace + ms), refresh.Forgive, ""},
		{"n-1, much later", lax, request(6), living(29 * time.Minute), refresh.Forgive, ""},
		{"n-1, forgiven before, the second tab", lax, request(6), forgiven(grace, 6), refresh.Issue, ""},
		{"n-1, forgiven before, much later", lax, request(6), forgiven(half+time.Minute, 6), refresh.Issue, ""},
		{"n-1, another was forgiven", lax, request(6), forgiven(grace, 2), refresh.Replay, refresh.ReasonReplay},
		{"n-1, another was forgiven, within the grace", lax, request(6), forgiven(grace-ms, 2), refresh.Issue, ""},

		// g < n otherwise.
		{"n-2, at once", lax, request(5), living(0), refresh.Replay, refresh.ReasonReplay},
		{"n-2, later", lax, request(5), living(half), refresh.Replay, refresh.ReasonReplay},
		{"n-2, that was forgiven once", lax, request(5), forgiven(0, 5), refresh.Replay, refresh.ReasonReplay},
		{"the first", lax, request(1), living(0), refresh.Replay, refresh.ReasonReplay},
		{"the first, strict", strict, request(1), living(0), refresh.Replay, refresh.ReasonReplay},

		// g > n.
		{"n+1", lax, request(8), living(0), refresh.Ahead, refresh.ReasonAhead},
		{"far ahead", lax, request(math.MaxUint32), living(half), refresh.Ahead, refresh.ReasonAhead},

		// The condition on the data applies only if the family would be served.
		{"n, of the last commit", lax, basis(7, 90), committed(0, 90), refresh.Issue, ""},
		{"n, just below it", lax, basis(7, 89), committed(0, 90), refresh.Behind, ""},
		{"n, due and below it", lax, basis(7, 89), committed(half, 90), refresh.Behind, ""},
		{"n-1, below it", lax, basis(6, 89), committed(0, 90), refresh.Behind, ""},
		{"no data, none committed", lax, basis(7, 0), living(0), refresh.Issue, ""},
		{"no data, some committed", lax, basis(7, 0), committed(0, 90), refresh.Behind, ""},
		{"replayed, and below it", lax, basis(5, 0), committed(0, 90), refresh.Replay, refresh.ReasonReplay},
		{"ahead, and below it", lax, basis(8, 0), committed(0, 90), refresh.Ahead, refresh.ReasonAhead},

		// A position that would make the cookie expired at once is raised; an
		// advance raises it anyway.
		{"at the store's floor", lax, request(7), with(living(0), func(s *store.Snapshot) { s.Floor = 100 }), refresh.Issue, ""},
		{"below the store's floor", lax, request(7), with(living(0), func(s *store.Snapshot) { s.Floor = 101 }), refresh.Raise, ""},
		{"at the caller's floor", lax, floor(7, 100), living(0), refresh.Issue, ""},
		{"below the caller's floor", lax, floor(7, 101), living(0), refresh.Raise, ""},
		{"below it, due", lax, floor(7, 101), living(half), refresh.Advance, ""},
		{"below it, n-1", lax, floor(6, 101), living(0), refresh.Raise, ""},
		{"below it, late", lax, floor(6, 101), living(grace), refresh.Forgive, ""},
		{"below it, replayed", lax, floor(5, 101), living(0), refresh.Replay, refresh.ReasonReplay},

		// Generations start at 1; 0 belongs to no one, forgiven or not.
		{"generation 0", lax, request(0), with(living(0), func(s *store.Snapshot) { s.Family.Generation = 1 }), refresh.Replay, refresh.ReasonReplay},
		{"generation 0, late", lax, request(0), with(living(grace), func(s *store.Snapshot) { s.Family.Generation = 1 }), refresh.Replay, refresh.ReasonReplay},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason := test.policy.Judge(test.request, test.snap)
			if test.request.Generation == 0 && (got == refresh.Refuse || got == refresh.Replay) {
				return // either will do
			}
			if got != test.want || reason != test.reason {
				t.Errorf("%v, %q; want %v, %q", got, reason, test.want, test.reason)
			}
		})
	}
}

func TestPolicyCheck(t *testing.T) {
	for _, test := range []struct {
		policy refresh.Policy
		good   bool
	}{
		{refresh.Policy{}, false},
		{refresh.Policy{Access: access}, false},
		{refresh.Policy{Grace: grace}, false},
		{refresh.Policy{Access: -access, Grace: grace}, false},
		{refresh.Policy{Access: access, Grace: grace}, true},
		{refresh.Policy{Access: 4 * grace, Grace: grace}, true},
		{refresh.Policy{Access: 4*grace - 2, Grace: grace}, false},
	} {
		if err := test.policy.Check(); (err == nil) != test.good {
			t.Errorf("%+v: %v", test.policy, err)
		}
		if _, err := refresh.New(nil, test.policy, time.Second); (err == nil) != test.good {
			t.Errorf("New with %+v: %v", test.policy, err)
		}
	}
	if _, err := refresh.New(nil, lax, 0); err == nil {
		t.Errorf("New without a timeout is no error")
	}
}

func TestCarries(t *testing.T) {
	a, b := codec.ID{1}, codec.ID{2}
	for _, test := range []struct {
		name         string
		cookie       codec.ID
		cookieAt, at uint32
		want         bool
	}{
		{"the same generation", a, 7, 7, true},
		{"one behind", a, 6, 7, true},
		{"two behind", a, 5, 7, false},
		{"ahead of the token", a, 8, 7, true},
		{"at the end of generations", a, math.MaxUint32, math.MaxUint32, true},
		{"far ahead", a, math.MaxUint32, 1, true},
		{"another family", b, 7, 7, false},
	} {
		got := refresh.Carries(codec.Session{ID: test.cookie, Generation: test.cookieAt}, codec.RefreshToken{Family: a, Generation: test.at})
		if got != test.want {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}

func TestVerdictsHaveNames(t *testing.T) {
	seen := make(map[string]bool)
	for v := refresh.Refuse; v <= refresh.Advance; v++ {
		if name := v.String(); name == "" || seen[name] {
			t.Errorf("verdict %d is called %q", v, name)
		} else {
			seen[name] = true
		}
	}
}
