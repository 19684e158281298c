package refresh_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

var (
	deviceKey  = store.Key{1}
	anotherKey = store.Key{2}
)

// boundTo returns the family of a snapshot as bound to the device's key.
func boundTo(s store.Snapshot, counts, native bool) store.Snapshot {
	s.Family.Key, s.Family.Counts, s.Family.Native = deviceKey, counts, native
	return s
}

func proves(r refresh.Request, k store.Key) refresh.Request {
	r.Key = k
	return r
}

// The rows of section 8's table that are about bound families.
func TestJudge_BoundFamilies(t *testing.T) {
	native := func(r refresh.Request) refresh.Request { r.Native = true; return r }
	carries := func(r refresh.Request, generation uint32) refresh.Request { r.Carried = generation; return r }
	floor := func(r refresh.Request) refresh.Request { r.Floor = 101; return r }
	proven := func(g uint32, i uint16) refresh.Request { return proves(presents(g, i), deviceKey) }
	counting := func(s store.Snapshot) store.Snapshot { return boundTo(s, true, false) }
	unproven, replay := refresh.ReasonUnproven, refresh.ReasonReplay
	committed := counting(living(0))
	committed.Family.LastCommit = 101
	dead := counting(living(0))
	dead.State = store.Ended
	const most = store.MaxCopy

	for _, test := range []struct {
		name    string
		request refresh.Request
		snap    store.Snapshot
		want    refresh.Verdict
		reason  refresh.Reason
	}{
		// Without a proof by its key, a bound family is refused, whatever is presented.
		{"no proof", presents(7, 0), counting(living(0)), refresh.Refuse, unproven},
		{"no proof, due", presents(7, 0), counting(living(half)), refresh.Refuse, unproven},
		{"no proof, replayed", presents(3, 0), counting(living(0)), refresh.Refuse, unproven},
		{"no proof, ahead", presents(8, 0), counting(living(0)), refresh.Refuse, unproven},
		{"no proof, no token", presents(0, 0), counting(living(0)), refresh.Refuse, unproven},
		{"no proof, late", presents(6, 0), counting(living(grace)), refresh.Refuse, unproven},
		{"a proof by another key", proves(presents(7, 0), anotherKey), counting(living(0)), refresh.Refuse, unproven},
		{"another's, replayed", proves(presents(3, 0), anotherKey), counting(living(0)), refresh.Refuse, unproven},
		{"dead comes first", presents(7, 0), dead, refresh.Refuse, refresh.ReasonEnded},
		{"a limit comes first", presents(7, 0), counting(living(30 * time.Minute)), refresh.Refuse, refresh.ReasonIdle},
		{"a proof revives nothing", proven(7, 0), dead, refresh.Refuse, refresh.ReasonEnded},
		{"nor gets past a limit", proven(7, 0), counting(living(30 * time.Minute)), refresh.Refuse, refresh.ReasonIdle},
		{"the other door", native(proven(7, 0)), counting(living(0)), refresh.Refuse, refresh.ReasonKind},

		// With one, a browser is served as if it had presented (n, k).
		{"n", proven(7, 0), counting(living(half - ms)), refresh.Issue, ""},
		{"n, due", proven(7, 0), counting(living(half)), refresh.Advance, ""},
		{"n-1, within the grace", proven(6, 0), counting(living(grace - ms)), refresh.Issue, ""},
		{"n-1, late", proven(6, 0), counting(living(grace)), refresh.Issue, ""},
		{"n-1, due", proven(6, 0), counting(living(half)), refresh.Advance, ""},
		{"n-1, another copy", proven(6, 3), counting(familyAt(7, 0, 2, grace)), refresh.Issue, ""},
		{"n-1, copies used up", proven(6, 0), counting(familyAt(7, most, 0, grace)), refresh.Issue, ""},
		{"long ago", proven(1, 0), counting(living(0)), refresh.Issue, ""},
		{"long ago, due", proven(1, 9), counting(living(half)), refresh.Advance, ""},
		{"n, 3 copies behind", proven(7, 0), counting(familyAt(7, 3, 0, 0)), refresh.Issue, ""},
		{"n, a copy ahead", proven(7, 3), counting(living(0)), refresh.Issue, ""},
		{"ahead", proven(9, 0), counting(living(0)), refresh.Issue, ""},
		{"no token", proven(0, 0), counting(living(0)), refresh.Issue, ""},
		{"no token, due", proven(0, 0), counting(living(half)), refresh.Advance, ""},
		{"below the floor", floor(proven(1, 0)), counting(living(0)), refresh.Raise, ""},
		{"behind a commit", proven(1, 0), committed, refresh.Behind, ""},

		// Data that is older than a token could bring does not go on.
		{"data of this generation", carries(proven(7, 0), 7), counting(living(0)), refresh.Issue, ""},
		{"data of the one before the last", carries(proven(1, 0), 5), counting(living(0)), refresh.Issue, ""},
		{"older data", carries(proven(7, 0), 4), counting(living(0)), refresh.Behind, ""},
		{"older data, below the floor", floor(carries(proven(7, 0), 4)), counting(living(0)), refresh.Behind, ""},
		{"due, data of the last", carries(proven(1, 0), 6), counting(living(half)), refresh.Advance, ""},
		{"due, older data", carries(proven(1, 0), 5), counting(living(half)), refresh.Behind, ""},
		{"data that is no cookie's", carries(proven(1, 0), 0), counting(living(half)), refresh.Advance, ""},
		{"unbound, and older data", carries(presents(7, 0), 1), living(0), refresh.Issue, ""},

		// A key that does not count yet is not asked for; a proof makes it count.
		{"not yet, no proof", presents(7, 0), boundTo(living(0), false, false), refresh.Issue, ""},
		{"not yet, no proof, replayed", presents(3, 0), boundTo(living(0), false, false), refresh.Replay, replay},
		{"not yet, another's proof", proves(presents(3, 0), anotherKey), boundTo(living(0), false, false), refresh.Replay, replay},
		{"not yet, proven", proven(7, 0), boundTo(living(0), false, false), refresh.Raise, ""},
		{"not yet, proven, replayed", proven(3, 0), boundTo(living(0), false, false), refresh.Raise, ""},
		{"not yet, proven, due", proven(3, 0), boundTo(living(half), false, false), refresh.Advance, ""},
		{"unbound, a proof", proven(7, 0), living(0), refresh.Issue, ""},
		{"unbound, a proof, replayed", proven(3, 0), living(0), refresh.Replay, replay},
		{"unbound, a proof, no token", proven(0, 0), living(0), refresh.Refuse, refresh.ReasonZero},

		// A native client needs the proof and a good token.
		{"native, no proof", native(presents(7, 0)), boundTo(living(0), true, true), refresh.Refuse, unproven},
		{"native, another's", native(proves(presents(7, 0), anotherKey)), boundTo(living(0), true, true), refresh.Refuse, unproven},
		{"native, n", native(proven(7, 0)), boundTo(living(0), true, true), refresh.Issue, ""},
		{"native, due", native(proven(7, 0)), boundTo(living(half), true, true), refresh.Advance, ""},
		{"native, n-1, late", native(proven(6, 0)), boundTo(living(grace), true, true), refresh.Reissue, ""},
		{"native, replayed", native(proven(5, 0)), boundTo(living(0), true, true), refresh.Replay, replay},
		{"native, replayed, no proof", native(presents(5, 0)), boundTo(living(0), true, true), refresh.Refuse, unproven},
		{"native, ahead", native(proven(8, 0)), boundTo(living(0), true, true), refresh.Ahead, refresh.ReasonAhead},
		{"native, no token", native(proven(0, 0)), boundTo(living(0), true, true), refresh.Refuse, refresh.ReasonZero},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, reason := lax.Judge(test.request, test.snap)
			if got != test.want || reason != test.reason {
				t.Errorf("%v, %q; want %v, %q", got, reason, test.want, test.reason)
			}
		})
	}
}

// newBound is a family that is bound and has been advanced four times.
func newBound(t *testing.T, native bool) *bench {
	b := newBench(t, lax)
	b.id = store.ID{2}
	b.createWith(store.Creation{ID: b.id, Subject: "alice", Native: native, Key: deviceKey, Idle: 30 * time.Minute, Absolute: 12 * time.Hour})
	for g := uint32(1); g < 5; g++ {
		b.pass(half)
		b.doRequest(b.proven(g, native), refresh.Issue, g+1, oneCall)
	}
	return b
}

func (b *bench) proven(g uint32, native bool) refresh.Request {
	q := proves(b.request(g), deviceKey)
	q.Native = native
	return q
}

// Without a proof nothing is written, whatever is presented, and the owner's client
// goes on.
func TestDo_NoProofWritesNothing(t *testing.T) {
	for _, native := range []bool{false, true} {
		b := newBound(t, native)
		b.pass(half)
		before := b.family()
		for g := range uint32(8) {
			for _, key := range []store.Key{{}, anotherKey} {
				calls := oneCall
				if g == 0 {
					calls = map[string]int{"Family": 1}
				}
				if res := b.doRequest(proves(b.proven(g, native), key), refresh.Refuse, 0, calls); res.Reason != refresh.ReasonUnproven {
					t.Errorf("generation %d: refused for %q", g, res.Reason)
				}
			}
		}
		after := b.family()
		if after.Head != before.Head || after.State != store.Alive || after.Family.Generation != before.Family.Generation || !after.Family.Issued.Equal(before.Family.Issued) {
			t.Errorf("native %v: it wrote: %+v, before %+v", native, after, before)
		}
		b.doRequest(b.proven(5, native), refresh.Issue, 6, oneCall)
	}
}

// A proven browser gets the newest token, whichever it brings, and the family
// advances when it is due. A token that is not the newest takes one call more.
func TestDo_AProvenBrowserGetsTheNewest(t *testing.T) {
	for name, old := range map[string]codec.RefreshToken{
		"no token": {}, "the first": {Generation: 1}, "of another copy": {Generation: 4, Copy: 7}, "ahead": {Generation: 9}, "a copy ahead": {Generation: 5, Copy: 2},
	} {
		b := newBound(t, false)
		q := b.proven(old.Generation, false)
		q.Copy = old.Copy
		old.Family = codec.ID(b.id)
		first := oneCall
		if old.Generation == 0 {
			first = map[string]int{"Family": 1}
		}
		res := b.doRequest(q, refresh.Issue, 5, first)
		want := codec.RefreshToken{Family: codec.ID(b.id), Generation: 5}
		if got := res.Answer(old); got != want || res.Advanced || !res.Proven {
			t.Errorf("%s: %+v is the answer, advanced %v", name, got, res.Advanced)
		}
		b.pass(half)
		calls := map[string]int{"Advance": 2}
		if old.Generation == 0 {
			calls = map[string]int{"Family": 1, "Advance": 1}
		}
		res = b.doRequest(q, refresh.Issue, 6, calls)
		if want.Generation = 6; res.Answer(old) != want || !res.Advanced {
			t.Errorf("%s, due: %+v is the answer, advanced %v", name, res.Answer(old), res.Advanced)
		}
		b.doRequest(b.proven(6, false), refresh.Issue, 6, oneCall)
	}
}

// An older copy of the generation gives a proven browser no advance, and the answer
// is the newest copy.
func TestDo_AProvenBrowsersCopyDoesNotLag(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.advance(1)
	for range 4 {
		b.pass(grace)
		b.reissue(1)
	}
	if _, err := b.mem.Bind(context.Background(), store.Binding{ID: b.id, Key: deviceKey, Counts: true}); err != nil {
		t.Fatal(err)
	}
	res := b.doRequest(proves(b.request(2), deviceKey), refresh.Issue, 2, oneCall)
	if got := res.Answer(codec.RefreshToken{Family: codec.ID(b.id), Generation: 2}); got.Copy != 4 || res.Advanced {
		t.Errorf("the answer is %+v, advanced %v", got, res.Advanced)
	}
}

// A native client's key is copied with its tokens. A proof by it hides no theft.
func TestDo_ANativeClientsProofTakesNoTokensPlace(t *testing.T) {
	b := newBound(t, true)
	if res := b.doRequest(b.proven(5, true), refresh.Issue, 5, oneCall); res.Proven {
		t.Errorf("it counts as proven, whatever its token: %+v", res)
	}
	b.doRequest(b.proven(2, true), refresh.Replay, 0, map[string]int{"Advance": 1, "Revoke": 1})
}

// The first refresh with a proof makes the key count, whether or not it is due;
// from then on a thief who strips the proof is refused.
func TestDo_TheFirstProofMakesTheKeyCount(t *testing.T) {
	for name, test := range map[string]struct {
		age   time.Duration
		calls map[string]int
		n     uint32
	}{
		"not due": {0, map[string]int{"Advance": 1, "Raise": 1}, 1},
		"due":     {half, oneCall, 2},
	} {
		b := newBench(t, lax)
		if _, err := b.mem.Bind(context.Background(), store.Binding{ID: b.id, Key: deviceKey}); err != nil {
			t.Fatal(err)
		}
		b.do(1, refresh.Issue, 1, oneCall)
		b.doRequest(proves(b.request(1), anotherKey), refresh.Issue, 1, oneCall)
		b.pass(test.age)
		before := b.family().Family
		res := b.doRequest(proves(b.request(1), deviceKey), refresh.Issue, test.n, test.calls)
		if f := b.family().Family; !f.Counts || f.Generation != test.n || test.n == 1 && !f.Issued.Equal(before.Issued) {
			t.Errorf("%s: %+v after %+v", name, f, res)
		}
		if res := b.do(1, refresh.Refuse, 0, oneCall); res.Reason != refresh.ReasonUnproven {
			t.Errorf("%s: then refused for %q", name, res.Reason)
		}
		b.doRequest(proves(b.request(1), deviceKey), refresh.Issue, test.n, oneCall)
	}
}

// A family that another request has bound meanwhile gets no copy without a proof.
func TestDo_BoundWhileItIsReissued(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.advance(1)
	b.pass(grace)
	b.before["Reissue"] = func() {
		if _, err := b.mem.Bind(context.Background(), store.Binding{ID: b.id, Key: deviceKey, Counts: true}); err != nil {
			t.Error(err)
		}
	}
	res := b.do(1, refresh.Refuse, 0, map[string]int{"Advance": 1, "Reissue": 1})
	if res.Reason != refresh.ReasonUnproven || res.Reissued || b.family().Family.Copy != 0 {
		t.Errorf("%+v", res)
	}
}

// Data that could not be answered with advances nothing, even if the token is the
// newest.
func TestDo_OldDataAdvancesNothing(t *testing.T) {
	b := newBound(t, false)
	b.pass(half)
	q := b.proven(5, false)
	q.Carried = 3
	res := b.doRequest(q, refresh.Behind, 0, map[string]int{"Family": 1})
	if res.Advanced || b.family().Family.Generation != 5 {
		t.Errorf("%+v", res)
	}
	q.Carried = 4
	b.doRequest(q, refresh.Issue, 6, oneCall)
	q.Generation = 6
	b.doRequest(q, refresh.Issue, 6, map[string]int{"Family": 1})
}

// A request without a proof does not share the flight of one with it.
func TestDo_AFlightIsOfOneProof(t *testing.T) { synctest.Test(t, testAFlightIsOfOneProof) }

func testAFlightIsOfOneProof(t *testing.T) {
	b := newBound(t, false)
	reached, release := make(chan struct{}), make(chan struct{})
	b.before["Advance"] = func() { close(reached); <-release }
	owner := make(chan refresh.Result)
	go func() {
		res, err := b.Do(context.Background(), b.proven(5, false))
		if err != nil {
			t.Error(err)
		}
		owner <- res
	}()
	<-reached
	res, err := b.Do(context.Background(), b.request(5))
	if err != nil || res.Reason != refresh.ReasonUnproven {
		t.Errorf("without a proof, beside a proven request: %+v, %v", res, err)
	}
	close(release)
	if res := <-owner; res.Verdict != refresh.Issue {
		t.Errorf("the owner: %+v", res)
	}
}

// An upgrade is judged likewise, and writes nothing.
func TestLook_BoundFamilies(t *testing.T) {
	b := newBound(t, false)
	for _, test := range []struct {
		request refresh.Request
		want    refresh.Verdict
		reason  refresh.Reason
	}{
		{b.request(5), refresh.Refuse, refresh.ReasonUnproven},
		{b.request(1), refresh.Refuse, refresh.ReasonUnproven},
		{proves(b.request(5), anotherKey), refresh.Refuse, refresh.ReasonUnproven},
		{b.proven(5, false), refresh.Issue, ""},
		{b.proven(1, false), refresh.Issue, ""},
		{b.proven(0, false), refresh.Issue, ""},
	} {
		res, err := b.Look(context.Background(), test.request)
		if err != nil || res.Verdict != test.want || res.Reason != test.reason {
			t.Errorf("%+v: %v, %q, %v; want %v, %q", test.request, res.Verdict, res.Reason, err, test.want, test.reason)
		}
	}
	if snap := b.family(); snap.State != store.Alive || snap.Family.Generation != 5 {
		t.Errorf("it wrote: %+v", snap)
	}
}
