package storetest

import (
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// revokeName revokes the name of a handle.
func revokeName(handle string) store.Revocation {
	return store.Revocation{Name: named(handle)[0], Reason: "by the provider", Actor: "idp"}
}

// naming tests names: those of outside systems for sessions.
var naming = []property{
	{name: "TheFamiliesThatBearItAreEnded", test: func(h *harness) {
		a, b, c := h.create(bearing("anna", "n")), h.create(bearing("bob", "m", "n")), h.create(bearing("carl", "k", "m", "n", "o"))
		others := []store.ID{h.create(bearing("anna", "m")).ID, h.create(bearing("anna", "N", "n ", "k", "o")).ID, h.family("anna").ID}
		head := h.head()
		r := revokeName("n")
		r.ID = newID()
		s := h.written(h.Revoke(h.ctx, r))
		entries := h.entries(head)
		if len(entries) != 4 {
			h.t.Fatalf("%d entries: want that of the name and three", len(entries))
		}
		e := entries[0]
		if e.Kind != store.KindName || e.Name != r.Name || e.ID != r.ID || e.Reason != r.Reason || e.Actor != r.Actor {
			h.t.Errorf("entry %+v: want that of name %v with id %v", e, r.Name, r.ID)
		}
		for _, e := range entries[1:] {
			h.wantEntry(e, store.KindSession, e.Session, "", "by the provider", "idp")
		}
		if got := sessionsOf(entries); !slices.Equal(got, sorted(a.ID, b.ID, c.ID)) {
			h.t.Errorf("ended %v", got)
		}
		if last := entries[3].Position; s.Entry != last || s.Head != last || s.Ended != 3 || s.More || s.State != store.Absent {
			h.t.Errorf("entry %d, head %d, ended %d, more %v, state %v: want %d, 3, no more, no family", s.Entry, s.Head, s.Ended, s.More, s.State, last)
		}
		h.wantState(store.Ended, a.ID, b.ID, c.ID)
		h.wantState(store.Alive, others...)
		h.wantAmong("anna", others...)
		h.wantFamilies("bob", 10)
	}},
	{name: "EachOfFour", test: func(h *harness) {
		for i := range store.MaxNames {
			f := h.create(bearing("anna", "a", "b", "c", "d"))
			if !slices.Equal(f.Names, named("a", "b", "c", "d")) || !slices.Equal(h.look(f.ID).Family.Names, f.Names) {
				h.t.Fatalf("names %v", f.Names)
			}
			h.revoke(store.Revocation{Name: f.Names[i]})
			h.wantState(store.Ended, f.ID)
		}
	}},
	{name: "EveryByteOfAName", test: func(h *harness) {
		n := named("n")[0]
		var fs []store.ID
		for i := range n {
			c := login("anna")
			other := n
			other[i] ^= 1
			c.Names = []store.Name{other}
			fs = append(fs, h.create(c).ID)
		}
		f := h.create(bearing("anna", "n"))
		if s := h.written(h.Revoke(h.ctx, revokeName("n"))); s.Ended != 1 {
			h.t.Errorf("ended %d: want 1", s.Ended)
		}
		h.wantState(store.Ended, f.ID)
		h.wantState(store.Alive, fs...)
	}},
	{name: "WithoutBearersItIsAnEntryAlone", test: func(h *harness) {
		f := h.family("anna")
		head := h.head()
		s := h.written(h.Revoke(h.ctx, revokeName("n")))
		entries := h.entries(head)
		if len(entries) != 1 || entries[0].Kind != store.KindName || s.Entry != entries[0].Position || s.Ended != 0 || s.More {
			h.t.Errorf("entries %+v, %+v: want the name's alone", entries, s)
		}
		h.wantState(store.Alive, f.ID)
	}},
	{name: "WithoutAnIDItIsRevokedAnew", test: func(h *harness) {
		first := h.revoke(revokeName("n"))
		f := h.create(bearing("anna", "n"))
		if second := h.revoke(revokeName("n")); second <= first {
			h.t.Errorf("revoked again at %d: want above %d", second, first)
		}
		h.wantState(store.Ended, f.ID)
	}},
	{name: "ByTheSameIDNothingNewIsEnded", test: func(h *harness) {
		// A provider repeats a logout, on this node or another.
		r := revokeName("n")
		r.ID = newID()
		f := h.create(bearing("anna", "n"))
		p := h.written(h.Revoke(h.ctx, r)).Entry - 1
		h.wantState(store.Ended, f.ID)
		later := []store.ID{h.create(bearing("anna", "n")).ID}
		h.appendUnrelated()
		later = append(later, h.create(bearing("bob", "n")).ID)
		h.nothingWritten(func() {
			for range 2 {
				if s := h.unwritten(h.Revoke(h.ctx, r)); s.Entry != p || s.Ended != 0 || s.More {
					h.t.Errorf("entry %d, ended %d, more %v: want that of the name, %d, and nothing", s.Entry, s.Ended, s.More, p)
				}
			}
		}, later...)
		h.wantState(store.Alive, later...)
		r.ID = newID() // another logout
		if s := h.written(h.Revoke(h.ctx, r)); s.Ended != 2 {
			h.t.Errorf("ended %d: want 2", s.Ended)
		}
		h.wantState(store.Ended, later...)
	}},
	{name: "TheDeadGetNoEntry", test: func(h *harness) {
		ended, cut, acted := h.create(bearing("anna", "n")), h.create(bearing("bob", "n")), bearing("carl", "n")
		acted.Actor = "desk"
		h.create(acted)
		h.end(ended.ID)
		h.revoke(store.Revocation{Subjects: []string{"bob", "desk"}})
		f := h.create(bearing("anna", "n"))
		head := h.head()
		if s := h.written(h.Revoke(h.ctx, revokeName("n"))); s.Ended != 1 {
			h.t.Errorf("ended %d: want 1", s.Ended)
		}
		if got := sessionsOf(h.entries(head)); !slices.Equal(got, []store.ID{f.ID}) {
			h.t.Errorf("ended %v: want %v alone", got, f.ID)
		}
		for _, id := range []store.ID{ended.ID, cut.ID, acted.ID} {
			if s := h.look(id); s.State == store.Alive {
				h.t.Errorf("family %v is alive", id)
			}
		}
	}},
	{name: "TheExpiredGetNoEntry", timed: true, test: func(h *harness) {
		c := bearing("anna", "n")
		c.Idle = h.unit()
		h.create(c)
		h.pass(2 * h.unit())
		head := h.head()
		if s := h.written(h.Revoke(h.ctx, revokeName("n"))); s.Ended != 0 {
			h.t.Errorf("ended %d: want none", s.Ended)
		}
		h.appended(head, 1)
	}},
	{name: "ALoginOnItsWayIsEarly", test: func(h *harness) {
		// The provider ended the session while the login with it was on its way.
		at := h.head()
		h.revoke(revokeName("n"))
		p := h.head()
		for _, handles := range [][]string{{"n"}, {"m", "n"}, {"k", "l", "n", "o"}} {
			for _, notBefore := range []store.Position{at, p - 1} {
				c, ends := bearing("anna", handles...), h.family("bob")
				c.NotBefore, c.Ends = notBefore, [2]store.ID{ends.ID}
				h.nothingWritten(func() { h.early(h.Create(h.ctx, c)) }, c.ID, ends.ID)
			}
			for _, notBefore := range []store.Position{p, h.head(), 0} {
				c := bearing("anna", handles...)
				c.NotBefore = notBefore
				h.create(c)
				h.wantState(store.Alive, c.ID)
			}
		}
		other := bearing("anna", "m")
		other.NotBefore = at
		h.create(other)
		h.wantPermitted("anna", at)
		h.wantState(store.Alive, other.ID)
	}},
	{name: "TheHighestCutoffOfSeveralCounts", test: func(h *harness) {
		var ps []store.Position
		for _, handle := range []string{"b", "c", "a"} {
			ps = append(ps, h.revoke(revokeName(handle)))
		}
		for i, p := range ps {
			c := bearing("anna", "a", "b", "c")
			if c.NotBefore = p; i < 2 {
				h.early(h.Create(h.ctx, c))
			} else {
				h.create(c)
			}
		}
		ps = append(ps, h.revoke(revokeName("b"))) // a name's cutoff moves
		c := bearing("anna", "b")
		c.NotBefore = ps[2]
		h.early(h.Create(h.ctx, c))
	}},
	{name: "TheRenewedAndTheRebornBearThemToo", test: func(h *harness) {
		renewed := h.create(renewal(h.create(bearing("anna", "m", "n"))))
		reborn := h.written(h.Revoke(h.ctx, elsewhere(h.create(bearing("bob", "n"))))).Family
		if s := h.written(h.Revoke(h.ctx, revokeName("n"))); s.Ended != 2 {
			h.t.Errorf("ended %d: want 2", s.Ended)
		}
		h.wantState(store.Ended, renewed.ID, reborn.ID)
	}},
	{name: "ItExceedsAbove", test: func(h *harness) {
		h.create(bearing("anna", "n"))
		r := revokeName("n")
		r.Above = h.head() + 1e9
		head := h.head()
		s := h.written(h.Revoke(h.ctx, r))
		if es := h.entries(head); len(es) != 2 || es[0].Position != r.Above+1 || es[1].Position != s.Entry || s.Entry != r.Above+2 {
			h.t.Errorf("entries %+v, entry %d: want two above %d", es, s.Entry, r.Above)
		}
	}},
	{name: "MoreThanOneCallEnds", test: func(h *harness) { h.endsManyBearers() }},
	{name: "TheCutoffGoesWithTheFloor", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		at := h.head()
		r := revokeName("n")
		r.ID = newID()
		p := h.revoke(r)
		c := bearing("anna", "n")
		c.NotBefore = at
		h.early(h.Create(h.ctx, c))
		l.drop(p)
		// Now the floor makes it early.
		h.early(h.Create(h.ctx, c))
		c.NotBefore = l.floor
		f := h.create(c)
		// An entry that the log holds no more is appended anew.
		if s := h.written(h.Revoke(h.ctx, r)); s.Ended != 1 || s.Entry <= p {
			h.t.Errorf("ended %d, entry %d: want 1, above %d", s.Ended, s.Entry, p)
		}
		h.wantState(store.Ended, f.ID)
	}},
	{name: "TheDeadThatItMetStayDead", leaps: true, test: func(h *harness) {
		c := bearing("anna", "n")
		c.Idle = time.Hour
		known := bearing("anna", "n")
		known.Idle, known.Known = time.Hour, 100*time.Hour
		h.create(c)
		h.create(known)
		h.pass(2 * time.Hour)
		h.revoke(revokeName("n"))
		h.pass(-2 * time.Hour)
		for _, id := range []store.ID{c.ID, known.ID} {
			if s := h.look(id); s.State == store.Alive {
				h.t.Errorf("family %v, whose name was revoked, is alive", id)
			}
		}
		h.wantFamilies("anna", 10)
		again := login("anna")
		again.ID = known.ID
		h.taken(h.Create(h.ctx, again))
	}},
}

// endsManyBearers revokes a name that more families bear than one call ends, and
// looks in between at those that are left.
func (h *harness) endsManyBearers() {
	const bearers = store.MaxEntries + 20
	h.crowd(bearers, func(i int) store.Creation { return bearing("anna"+newID().String(), "n") })
	// Those born first are ended last.
	all, err := h.Families(h.ctx, store.Query{Limit: store.MaxLooked})
	if err != nil {
		h.t.Fatal(err)
	}
	rest, err := h.Families(h.ctx, store.Query{Limit: store.MaxLooked, After: all.Next})
	if err != nil || len(all.Families)+len(rest.Families) != bearers {
		h.t.Fatalf("%d and %d families, %v: want %d", len(all.Families), len(rest.Families), err, bearers)
	}
	head := h.head()
	r := revokeName("n")
	r.ID = newID()
	first := h.written(h.Revoke(h.ctx, r))
	entries := h.entries(head)
	if len(entries) > store.MaxEntries || first.Ended != len(entries)-1 || !first.More || first.Entry != first.Head || entries[0].Kind != store.KindName {
		h.t.Fatalf("%d entries, ended %d, more %v, entry %d, head %d", len(entries), first.Ended, first.More, first.Entry, first.Head)
	}
	var left []store.Family
	for _, f := range append(all.Families, rest.Families...) {
		if h.look(f.ID).State == store.Alive {
			left = append(left, f)
		}
		if len(left) == 6 {
			break
		}
	}
	if len(left) < 6 || first.Ended > bearers-len(left) {
		h.t.Fatalf("ended %d of %d, and %d of those left were found", first.Ended, bearers, len(left))
	}
	h.belowTheCutoff(left)

	total, calls := first.Ended, 1
	for more := first.More; more; calls++ {
		if calls > 5 {
			h.t.Fatalf("%d calls have ended %d of %d", calls, total, bearers)
		}
		s, err := h.Revoke(h.ctx, r)
		if err != nil || s.Outcome == store.Written && s.Entry != s.Head || s.Outcome == store.Unwritten && s.Entry != entries[0].Position {
			h.t.Fatalf("%v, entry %d, head %d, %v", s.Outcome, s.Entry, s.Head, err)
		}
		total, more = total+s.Ended, s.More
	}
	if total != bearers-len(left) { // each of those was ended or cut off meanwhile, or is below
		h.t.Errorf("ended %d: want %d", total, bearers-len(left))
	}
	once := map[store.ID]bool{}
	for _, id := range sessionsOf(h.entries(head)) {
		if once[id] {
			h.t.Errorf("family %v was ended twice", id)
		}
		once[id] = true
	}
	h.nothingWritten(func() {
		if s := h.unwritten(h.Revoke(h.ctx, r)); s.Entry != entries[0].Position || s.Ended != 0 || s.More {
			h.t.Errorf("entry %d, ended %d, more %v: want %d, none", s.Entry, s.Ended, s.More, entries[0].Position)
		}
	})
	if p, err := h.Families(h.ctx, store.Query{Limit: 10}); err != nil || len(p.Families) != 0 {
		h.t.Errorf("%d families are left, %v", len(p.Families), err)
	}
}

// belowTheCutoff tries what may be done with families that bear a revoked name and
// are not ended yet, and then ends or cuts off all six.
func (h *harness) belowTheCutoff(left []store.Family) {
	h.t.Helper()
	// Renew and rebirth take them for ended.
	c := renewal(left[0])
	h.nothingWritten(func() {
		s := h.unwritten(h.Create(h.ctx, c))
		if s.State != store.Ended || s.Family.ID != left[0].ID {
			h.t.Errorf("renewed, it is %v: want ended", s.State)
		}
		c.Renews.Basis, c.Renews.Seal = 1, newSeal()
		h.unwritten(h.Create(h.ctx, c))
	}, left[0].ID, c.ID)
	for i, f := range left[1:3] {
		r := elsewhere(f)
		if i == 1 { // dead is dead, whatever the basis
			f = h.commit(f, "value")
			r.Except.Basis = 1
		}
		s := h.written(h.Revoke(h.ctx, r))
		if s.State != store.Ended || s.Family.Birth != f.Birth || s.Entry != s.Head || s.Ended != 1 {
			h.t.Errorf("state %v, birth %d, entry %d, ended %d: want ended, %d, and it cut off", s.State, s.Family.Birth, s.Entry, s.Ended, f.Birth)
		}
		h.wantState(store.CutOff, f.ID)
	}
	// Nothing else looks at names.
	f := h.reissued(h.advanced(left[3]), 1)
	h.commit(f, "value")
	h.wantState(store.Alive, f.ID)
	h.wantFamilies(f.Subject, 10, f.ID)
	h.written(h.Bind(h.ctx, store.Binding{ID: left[4].ID, Key: newKey(), Verified: left[4].Seal, Seal: newSeal()}))
	n := login(left[5].Subject)
	n.Limit = 1
	h.full(h.Create(h.ctx, n))
	h.revoke(store.Revocation{Sessions: []store.ID{left[0].ID, left[3].ID}, Subjects: []string{left[4].Subject, left[5].Subject}})
}
