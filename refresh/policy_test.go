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

// family describes a family by what section 8 of the design counts: the
// generation n, its newest copy k, and the copy a of the generation before that
// was used. It was issued age ago.
func familyAt(n uint32, k, a uint16, age time.Duration) store.Snapshot {
	return store.Snapshot{
		State: store.Alive, Now: issued.Add(age), Head: 1000, Floor: 50,
		Family: store.Family{
			ID: store.ID{1}, Subject: "alice", Birth: 60, Position: 100, Generation: n, Copy: k, Used: a,
			Started: issued.Add(-time.Hour), Authenticated: issued.Add(-time.Hour), Issued: issued,
			Idle: 30 * time.Minute, Absolute: 12 * time.Hour,
		},
	}
}

// living returns a family at generation 7 that has lost no answer.
func living(age time.Duration) store.Snapshot { return familyAt(7, 0, 0, age) }

// presents returns a request with a token, and with data that is new enough.
func presents(g uint32, i uint16) refresh.Request {
	return refresh.Request{Family: store.ID{1}, Generation: g, Copy: i, Basis: 100}
}

// The table of section 8 of the design, row for row, with its boundaries.
func TestJudge(t *testing.T) {
	with := func(s store.Snapshot, edit func(*store.Snapshot)) store.Snapshot {
		edit(&s)
		return s
	}
	committed := func(s store.Snapshot, at store.Position) store.Snapshot {
		s.Family.LastCommit = at
		return s
	}
	basis := func(r refresh.Request, at store.Position) refresh.Request {
		r.Basis = at
		return r
	}
	floor := func(r refresh.Request, at store.Position) refresh.Request {
		r.Floor = at
		return r
	}
	native := presents(7, 0)
	native.Native = true
	const most = store.MaxCopy
	skewed := refresh.Policy{Access: access, Grace: grace, Skew: 5 * time.Second}

	for _, test := range []struct {
		name    string
		policy  refresh.Policy
		request refresh.Request
		snap    store.Snapshot
		want    refresh.Verdict
		reason  refresh.Reason
	}{
		// The family is absent, ended, cut off, past a limit, or of the other kind.
		{"absent", lax, presents(7, 0), store.Snapshot{Now: issued}, refresh.Refuse, refresh.ReasonAbsent},
		{"ended", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.State = store.Ended }), refresh.Refuse, refresh.ReasonEnded},
		{"ended, replayed", lax, presents(1, 0), with(living(0), func(s *store.Snapshot) { s.State = store.Ended }), refresh.Refuse, refresh.ReasonEnded},
		{"cut off", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.State = store.CutOff }), refresh.Refuse, refresh.ReasonCutOff},
		{"cut off, ahead", lax, presents(9, 0), with(living(0), func(s *store.Snapshot) { s.State = store.CutOff }), refresh.Refuse, refresh.ReasonCutOff},
		{"idle, 1 ms left", lax, presents(7, 0), living(30*time.Minute - ms), refresh.Advance, ""},
		{"idle, exactly", lax, presents(7, 0), living(30 * time.Minute), refresh.Refuse, refresh.ReasonIdle},
		{"idle, replayed", lax, presents(3, 0), living(30 * time.Minute), refresh.Refuse, refresh.ReasonIdle},
		{"absolute, 1 ms left", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.Family.Absolute = time.Hour + ms }), refresh.Issue, ""},
		{"absolute, exactly", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.Family.Absolute = time.Hour }), refresh.Refuse, refresh.ReasonAbsolute},
		{"at the other door", lax, native, living(0), refresh.Refuse, refresh.ReasonKind},
		{"at its own door", lax, native, with(living(0), func(s *store.Snapshot) { s.Family.Native = true }), refresh.Issue, ""},
		{"a native client's at the browser's", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.Family.Native = true }), refresh.Refuse, refresh.ReasonKind},

		// g > n, or g = n and i > k: the store went back in time.
		{"n+1", lax, presents(8, 0), living(0), refresh.Ahead, refresh.ReasonAhead},
		{"n+1, due", lax, presents(8, 0), living(half), refresh.Ahead, refresh.ReasonAhead},
		{"far ahead", lax, presents(math.MaxUint32, 0), living(half), refresh.Ahead, refresh.ReasonAhead},
		{"n, a copy ahead", lax, presents(7, 3), familyAt(7, 2, 0, 0), refresh.Ahead, refresh.ReasonAhead},
		{"n, a copy ahead, due", lax, presents(7, 1), living(half), refresh.Ahead, refresh.ReasonAhead},
		{"n, the last copy ahead", lax, presents(7, most), living(0), refresh.Ahead, refresh.ReasonAhead},

		// g = n, and due by time.
		{"n, exactly half", lax, presents(7, 0), living(half), refresh.Advance, ""},
		{"n, 1 ms after half", lax, presents(7, 0), living(half + ms), refresh.Advance, ""},
		{"n, strict", strict, presents(7, 0), living(half), refresh.Advance, ""},
		{"n, an older copy, due", lax, presents(7, 1), familyAt(7, 2, 0, half), refresh.Advance, ""},
		{"n, its newest copy, due", lax, presents(7, 2), familyAt(7, 2, 0, half), refresh.Advance, ""},

		// g = n, and three copies or more behind.
		{"n, 3 copies behind", lax, presents(7, 0), familyAt(7, 3, 0, 0), refresh.Advance, ""},
		{"n, 3 copies behind, not the first", lax, presents(7, 5), familyAt(7, 8, 0, 0), refresh.Advance, ""},
		{"n, 4 copies behind", lax, presents(7, 0), familyAt(7, 4, 0, 0), refresh.Advance, ""},
		{"n, as far behind as there are copies", lax, presents(7, 0), familyAt(7, most, 0, 0), refresh.Advance, ""},
		{"n, 2 copies behind", lax, presents(7, 0), familyAt(7, 2, 0, half-ms), refresh.Issue, ""},
		{"n, 3 copies, and not behind", lax, presents(7, 3), familyAt(7, 3, 0, half-ms), refresh.Issue, ""},

		// g = n otherwise.
		{"n, just issued", lax, presents(7, 0), living(0), refresh.Issue, ""},
		{"n, 1 ms before half", lax, presents(7, 0), living(half - ms), refresh.Issue, ""},
		{"n, an older copy", lax, presents(7, 1), familyAt(7, 3, 0, half-ms), refresh.Issue, ""},

		// A t that is beyond the skew ahead of the engine's clock counts as long ago.
		{"n, ahead by the skew", skewed, presents(7, 0), living(-5 * time.Second), refresh.Issue, ""},
		{"n, ahead by more than the skew", skewed, presents(7, 0), living(-5*time.Second - ms), refresh.Advance, ""},
		{"n, ahead, and no skew", lax, presents(7, 0), living(-ms), refresh.Advance, ""},
		{"n-1, ahead by the skew", skewed, presents(6, 0), living(-5 * time.Second), refresh.Issue, ""},
		{"n-1, ahead by more than the skew", skewed, presents(6, 0), living(-5*time.Second - ms), refresh.Reissue, ""},
		{"n-1, ahead by an hour", skewed, presents(6, 0), living(-time.Hour), refresh.Reissue, ""},
		{"n-1, another copy, ahead by an hour", skewed, presents(6, 1), living(-time.Hour), refresh.Replay, refresh.ReasonReplay},
		{"past the absolute limit, ahead by an hour", skewed, presents(7, 0), with(living(-time.Hour), func(s *store.Snapshot) { s.Family.Absolute = 0 }), refresh.Refuse, refresh.ReasonAbsolute},

		// g = n-1, i = a, within the grace.
		{"n-1, at once", lax, presents(6, 0), living(0), refresh.Issue, ""},
		{"n-1, 1 ms before the grace", lax, presents(6, 0), living(grace - ms), refresh.Issue, ""},
		{"n-1, 1 ms before the grace, strict", strict, presents(6, 0), living(grace - ms), refresh.Issue, ""},
		{"n-1, the copy that was used", lax, presents(6, 2), familyAt(7, 0, 2, grace-ms), refresh.Issue, ""},
		{"n-1, within the grace of a copy", lax, presents(6, 2), familyAt(7, 9, 2, grace-ms), refresh.Issue, ""},
		{"n-1, within the grace, copies used up", lax, presents(6, 2), familyAt(7, most, 2, grace-ms), refresh.Issue, ""},

		// g = n-1, i = a, later; any number of times.
		{"n-1, exactly the grace", lax, presents(6, 0), living(grace), refresh.Reissue, ""},
		{"n-1, 1 ms after the grace", lax, presents(6, 0), living(grace + ms), refresh.Reissue, ""},
		{"n-1, much later", lax, presents(6, 0), living(29 * time.Minute), refresh.Reissue, ""},
		{"n-1, the copy that was used, later", lax, presents(6, 2), familyAt(7, 0, 2, grace), refresh.Reissue, ""},
		{"n-1, after many copies", lax, presents(6, 0), familyAt(7, 77, 0, grace), refresh.Reissue, ""},
		{"n-1, one copy left", lax, presents(6, 0), familyAt(7, most-1, 0, grace), refresh.Reissue, ""},
		{"n-1, copies used up", lax, presents(6, 0), familyAt(7, most, 0, grace), refresh.Refuse, refresh.ReasonBroken},
		{"n-1, exactly the grace, strict", strict, presents(6, 0), living(grace), refresh.Replay, refresh.ReasonReplay},
		{"n-1, copies used up, strict", strict, presents(6, 0), familyAt(7, most, 0, grace), refresh.Replay, refresh.ReasonReplay},

		// Anything else.
		{"n-1, another copy, at once", lax, presents(6, 1), living(0), refresh.Replay, refresh.ReasonReplay},
		{"n-1, an older copy, at once", lax, presents(6, 1), familyAt(7, 0, 2, 0), refresh.Replay, refresh.ReasonReplay},
		{"n-1, another copy, later", lax, presents(6, 3), familyAt(7, 0, 2, grace), refresh.Replay, refresh.ReasonReplay},
		{"n-1, another copy, due", lax, presents(6, 1), familyAt(7, 3, 0, half), refresh.Replay, refresh.ReasonReplay},
		{"n-2, at once", lax, presents(5, 0), living(0), refresh.Replay, refresh.ReasonReplay},
		{"n-2, later", lax, presents(5, 0), living(half), refresh.Replay, refresh.ReasonReplay},
		{"n-2, of the number that was used", lax, presents(5, 2), familyAt(7, 0, 2, 0), refresh.Replay, refresh.ReasonReplay},
		{"the first", lax, presents(1, 0), living(0), refresh.Replay, refresh.ReasonReplay},
		{"the first, strict", strict, presents(1, 0), living(0), refresh.Replay, refresh.ReasonReplay},

		// Generations start at 1; 0 belongs to no one.
		{"generation 0", lax, presents(0, 0), familyAt(1, 0, 0, 0), refresh.Refuse, refresh.ReasonZero},
		{"generation 0, late", lax, presents(0, 0), familyAt(1, 0, 0, grace), refresh.Refuse, refresh.ReasonZero},

		// The condition on the data applies only if the family would be served.
		{"n, of the last commit", lax, basis(presents(7, 0), 90), committed(living(0), 90), refresh.Issue, ""},
		{"n, just below it", lax, basis(presents(7, 0), 89), committed(living(0), 90), refresh.Behind, ""},
		{"n, due and below it", lax, basis(presents(7, 0), 89), committed(living(half), 90), refresh.Behind, ""},
		{"n-1, below it", lax, basis(presents(6, 0), 89), committed(living(0), 90), refresh.Behind, ""},
		{"n-1, late and below it", lax, basis(presents(6, 0), 89), committed(living(grace), 90), refresh.Behind, ""},
		{"no data, none committed", lax, basis(presents(7, 0), 0), living(0), refresh.Issue, ""},
		{"no data, some committed", lax, basis(presents(7, 0), 0), committed(living(0), 90), refresh.Behind, ""},
		{"replayed, and below it", lax, basis(presents(5, 0), 0), committed(living(0), 90), refresh.Replay, refresh.ReasonReplay},
		{"another copy, and below it", lax, basis(presents(6, 1), 0), committed(living(0), 90), refresh.Replay, refresh.ReasonReplay},
		{"ahead, and below it", lax, basis(presents(8, 0), 0), committed(living(0), 90), refresh.Ahead, refresh.ReasonAhead},
		{"copies used up, and below it", lax, basis(presents(6, 0), 0), committed(familyAt(7, most, 0, grace), 90), refresh.Refuse, refresh.ReasonBroken},

		// A position that would make the cookie expired at once is raised; an
		// advance and a copy raise it anyway.
		{"at the store's floor", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.Floor = 100 }), refresh.Issue, ""},
		{"below the store's floor", lax, presents(7, 0), with(living(0), func(s *store.Snapshot) { s.Floor = 101 }), refresh.Raise, ""},
		{"at the caller's floor", lax, floor(presents(7, 0), 100), living(0), refresh.Issue, ""},
		{"below the caller's floor", lax, floor(presents(7, 0), 101), living(0), refresh.Raise, ""},
		{"below it, due", lax, floor(presents(7, 0), 101), living(half), refresh.Advance, ""},
		{"below it, n-1", lax, floor(presents(6, 0), 101), living(0), refresh.Raise, ""},
		{"below it, late", lax, floor(presents(6, 0), 101), living(grace), refresh.Reissue, ""},
		{"below it, replayed", lax, floor(presents(5, 0), 101), living(0), refresh.Replay, refresh.ReasonReplay},
		{"below it, behind a commit", lax, floor(basis(presents(7, 0), 89), 101), committed(living(0), 90), refresh.Behind, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason := test.policy.Judge(test.request, test.snap)
			if got != test.want || reason != test.reason {
				t.Errorf("%v, %q; want %v, %q", got, reason, test.want, test.reason)
			}
		})
	}
}

// A family that advances as often as the policy lets it does not run out of
// generations before its absolute limit. Only a token below the highest generation
// can be presented.
func TestLongestAbsolute(t *testing.T) {
	for _, p := range []refresh.Policy{lax, {Access: 4 * grace, Grace: grace}, {Access: 4, Grace: 1}} {
		atLeastApart := min(p.Access/2, 3*p.Grace) // by time, or by three copies
		advances := int64((p.LongestAbsolute() - 1) / atLeastApart)
		if last := 1 + advances; last >= store.MaxGeneration {
			t.Errorf("%+v: a family of %v reaches generation %d", p, p.LongestAbsolute(), last)
		}
	}
	for _, p := range []refresh.Policy{{Access: math.MaxInt64, Grace: math.MaxInt64 / 4}, {Access: 1 << 60, Grace: 1 << 50}} {
		if got := p.LongestAbsolute(); got != math.MaxInt64 {
			t.Errorf("%+v: %v, want the longest duration there is", p, got)
		}
	}
	if got := lax.LongestAbsolute(); got < 365*24*time.Hour {
		t.Errorf("with the defaults: %v, want years", got)
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
		{refresh.Policy{Access: access, Grace: grace, Skew: grace}, true},
		{refresh.Policy{Access: access, Grace: grace, Skew: -1}, false},
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
