package storetest

import (
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// paging tests lists of families page by page.
var paging = []property{
	{name: "ByPagesItIsTheSame", test: func(h *harness) {
		var all, anna []store.Family
		for i := range 24 {
			subject := []string{"anna", "bob", "carl"}[i%3]
			if i%5 == 0 {
				h.appendUnrelated() // some are born at one position, some not
			}
			f := h.family(subject)
			if all = append(all, f); subject == "anna" {
				anna = append(anna, f)
			}
		}
		for _, limit := range []int{1, 2, 5, 7, 8, 23, 24, 25, store.MaxLooked} {
			h.wantPages(store.Query{Limit: limit}, all...)
			h.wantPages(store.Query{Subject: "anna", Limit: limit}, anna...)
			h.wantPages(store.Query{Subject: "nobody", Limit: limit})
		}
	}},
	{name: "OfThoseBornAtOnePositionTheLastStartedComesFirst", test: func(h *harness) {
		// And of those started in one millisecond that with the highest id.
		h.appendUnrelated()
		now := h.now()
		var fs []store.Family
		for _, p := range []struct {
			started time.Duration
			id      byte
		}{{0, 0x80}, {-2, 0xff}, {0, 0x00}, {1, 0x01}, {-2, 0x7f}, {-1, 0xfe}, {0, 0xff}, {1, 0x00}, {-2, 0x00}, {0, 0x7f}} {
			c := login("anna")
			c.ID[0], c.Started, c.Leeway = p.id, now.Add(p.started*time.Millisecond), time.Hour
			fs = append(fs, h.create(c))
		}
		for limit := 1; limit <= len(fs)+1; limit++ {
			h.wantPages(store.Query{Subject: "anna", Limit: limit}, fs...)
			h.wantPages(store.Query{Limit: limit}, fs...)
		}
		// A limit ends them from the other side.
		slices.SortFunc(fs, oldestFirst)
		for i, f := range fs[:len(fs)-1] {
			c := login("anna")
			c.ID[0], c.Started, c.Leeway = 0xff, now.Add(2*time.Millisecond), time.Hour
			c.Limit, c.EndOldest = len(fs)-i, true
			h.create(c)
			h.wantState(store.Ended, f.ID)
			h.end(c.ID)
			h.wantState(store.Alive, fs[i+1].ID)
		}
	}},
	{name: "ACursorStandsWhileFamiliesComeAndGo", test: func(h *harness) {
		var fs []store.Family
		for range 9 {
			fs = append(fs, h.bornNext("anna"))
		}
		for _, subject := range []string{"anna", ""} {
			q := store.Query{Subject: subject, Limit: 3}
			first := h.page(q)
			last := first.Families[len(first.Families)-1]
			// The family at the cursor goes, so do the one before it and one
			// after it, one is renewed, and another comes.
			var gone store.ID
			for i, f := range fs {
				if f.ID == last.ID {
					gone = fs[i-2].ID
					h.end(fs[i+1].ID)
				}
			}
			h.end(last.ID)
			h.end(gone)
			renewed := h.create(renewal(first.Families[0]))
			young := h.bornNext("anna")
			q.After = first.Next
			var got []store.ID
			for {
				p := h.page(q)
				for _, f := range p.Families {
					got = append(got, f.ID)
				}
				if q.After = p.Next; q.After == (store.PageCursor{}) {
					break
				}
			}
			var want []store.ID
			for _, f := range fs {
				if f.Birth < last.Birth && f.ID != gone {
					want = append(want, f.ID)
				}
			}
			slices.Reverse(want)
			if !slices.Equal(got, want) {
				h.t.Errorf("after the first page of %q: %v: want %v", subject, got, want)
			}
			fs = append(fs, renewed, young)
			fs = slices.DeleteFunc(fs, func(f store.Family) bool { return h.look(f.ID).State != store.Alive })
			slices.SortFunc(fs, oldestFirst)
		}
	}},
	{name: "TheRebornComesFirst", test: func(h *harness) {
		old, young := h.family("anna"), h.bornNext("bob")
		h.wantPages(store.Query{Limit: 10}, old, young)
		old = h.written(h.Revoke(h.ctx, elsewhere(old))).Family
		h.wantPages(store.Query{Limit: 10}, young, old)
		if got := h.page(store.Query{Limit: 1}).Families; len(got) != 1 || got[0].ID != old.ID {
			h.t.Errorf("first %+v: want the reborn", got)
		}
	}},
	{name: "TheDeadArePassed", test: func(h *harness) {
		var want []store.Family
		for i := range 30 {
			c := login("anna")
			switch i % 5 {
			case 0:
				c.Actor = "desk"
			case 1:
				c.Subject = "bob"
			}
			f := h.create(c)
			if i%5 == 2 {
				h.end(f.ID)
			}
			if i%5 > 2 {
				want = append(want, f)
			}
		}
		h.revoke(store.Revocation{Subjects: []string{"bob", "desk"}})
		for _, limit := range []int{1, 4, 12, 13} {
			h.wantPages(store.Query{Limit: limit}, want...)
			h.wantPages(store.Query{Subject: "anna", Limit: limit}, want...)
		}
		h.revokeEveryone()
		h.wantPages(store.Query{Limit: 3})
		h.wantPages(store.Query{Subject: "anna", Limit: 3})
	}},
	{name: "TheExpiredArePassed", timed: true, test: func(h *harness) {
		var want []store.Family
		for i := range 12 {
			c := login("anna")
			if i%2 == 0 {
				c.Idle = h.unit()
			}
			if f := h.create(c); i%2 != 0 {
				want = append(want, f)
			}
		}
		h.pass(2 * h.unit())
		for _, limit := range []int{1, 5, 6, 7} {
			h.wantPages(store.Query{Limit: limit}, want...)
			h.wantPages(store.Query{Subject: "anna", Limit: limit}, want...)
		}
	}},
	{name: "OfThoseBornAtOnePositionTheOneStartedLastIsFirst", test: func(h *harness) {
		// Nothing is appended between most logins.
		var want []store.Family
		for range 20 {
			want = slices.Insert(want, 0, h.family("anna"))
			h.tick()
		}
		if want[0].Birth != want[19].Birth {
			h.t.Fatalf("births %d and %d", want[19].Birth, want[0].Birth)
		}
		for _, limit := range []int{3, 20} {
			h.wantPages(store.Query{Limit: limit}, want...)
			h.wantPages(store.Query{Subject: "anna", Limit: limit}, want...)
		}
		limited := login("anna")
		limited.Limit, limited.EndOldest = 3, true
		h.wantPages(store.Query{Subject: "anna", Limit: 5}, h.create(limited), want[0], want[1])
	}},
	{name: "AfterAnyPlaceTheRestFollows", test: func(h *harness) {
		// A cursor need not name a family that is, or was.
		a, b := h.bornNext("anna"), h.bornNext("anna")
		var highest store.ID
		for i := range highest {
			highest[i] = 0xff
		}
		for _, c := range []struct {
			after store.PageCursor
			want  []store.ID
		}{
			{store.PageCursor{Birth: store.MaxPosition, ID: newID()}, []store.ID{b.ID, a.ID}},
			{store.PageCursor{Birth: b.Birth, Started: 1 << 52}, []store.ID{b.ID, a.ID}},
			{store.PageCursor{Birth: b.Birth, Started: b.Started.UnixMilli(), ID: highest}, []store.ID{b.ID, a.ID}},
			{placeOf(&b), []store.ID{a.ID}},
			{store.PageCursor{Birth: b.Birth, Started: b.Started.UnixMilli()}, []store.ID{a.ID}},
			{store.PageCursor{Birth: b.Birth, ID: highest}, []store.ID{a.ID}},
			{placeOf(&a), nil},
			{store.PageCursor{Birth: a.Birth}, nil},
			{store.PageCursor{Birth: 1, Started: 1 << 52, ID: newID()}, nil},
		} {
			for _, subject := range []string{"anna", ""} {
				var got []store.ID
				for _, f := range h.page(store.Query{Subject: subject, After: c.after, Limit: 5}).Families {
					got = append(got, f.ID)
				}
				if !slices.Equal(got, c.want) {
					h.t.Errorf("after %v of %q: %v: want %v", c.after, subject, got, c.want)
				}
			}
		}
	}},
}

func (h *harness) page(q store.Query) store.Page {
	h.t.Helper()
	p, err := h.Families(h.ctx, q)
	if err != nil {
		h.t.Fatalf("Families(%+v): %v", q, err)
	}
	return p
}

// wantPages reads a list page by page, and checks that it holds exactly these
// families as they are, the one born last first.
func (h *harness) wantPages(q store.Query, want ...store.Family) {
	h.t.Helper()
	var got []store.Family
	for pages := 0; ; pages++ {
		if pages > len(want)+store.MaxLooked {
			h.t.Fatalf("Families(%+v): no end after %d pages", q, pages)
		}
		p := h.page(q)
		got = append(got, p.Families...)
		if q.After = p.Next; q.After == (store.PageCursor{}) {
			break
		}
	}
	want = slices.Clone(want)
	slices.SortFunc(want, func(a, b store.Family) int { return oldestFirst(b, a) })
	if !slices.EqualFunc(got, want, func(a, b store.Family) bool { return a.ID == b.ID }) {
		h.t.Errorf("Families of %q, by %d: %d of them: want %d in order of their births", q.Subject, q.Limit, len(got), len(want))
		return
	}
	for i := range want {
		want[i].Value = nil
		h.same(got[i], want[i])
	}
}

// many is more rows than one call looks at.
const many = store.MaxLooked + 20

// passing tests calls that meet more dead families, or more living ones, than one
// call takes on.
var passing = []property{
	{name: "ALoginPassesTheDeadOfAnActor", test: func(h *harness) {
		h.passesTheDead(func() store.Creation { return acting("anna", "desk") }, func() { h.revokeSubject("desk") })
	}},
	{name: "ALoginPassesTheExpired", leaps: true, test: func(h *harness) {
		h.passesTheDead(func() store.Creation {
			c := login("anna")
			c.Idle = 10 * time.Minute
			return c
		}, func() { h.pass(time.Hour) })
	}},
	{name: "OfTooManyLivingTheOldestAreEnded", test: func(h *harness) {
		// The one that is renewed, itself among the oldest, lives until the last
		// call, and so does the one that is replaced.
		old, other := h.family("anna"), h.family("bob")
		h.crowd(many, func(int) store.Creation { return login("anna") })
		head := h.head()
		c := renewal(old)
		c.Limit, c.EndOldest, c.Ends = 2, true, [2]store.ID{other.ID}
		s := h.createAgain(c, old.ID, other.ID)
		living := h.listed("anna", 10)
		if len(living) != 2 || living[0] != c.ID && living[1] != c.ID {
			h.t.Errorf("%d living: want 2, the new one among them", len(living))
		}
		ended := sessionsOf(h.entries(head))
		if n := len(slices.Compact(slices.Clone(ended))); n != len(ended) || n != many+1 { // all but one, and bob's
			h.t.Errorf("%d entries of %d families: want %d of each", len(ended), n, many+1)
		}
		if s.Family.Birth != s.Head || s.Entry != s.Head {
			h.t.Errorf("birth %d, entry %d, head %d", s.Family.Birth, s.Entry, s.Head)
		}
		h.wantState(store.Ended, old.ID, other.ID)
	}},
	{name: "ARevokedNamePassesTheDead", test: func(h *harness) {
		var oldest []store.ID
		for range 3 {
			oldest = append(oldest, h.create(bearing("bob", "n")).ID)
		}
		h.appendUnrelated()
		h.crowd(many, func(int) store.Creation {
			c := bearing("anna", "n")
			c.Actor = "desk"
			return c
		})
		h.revokeSubject("desk")
		head := h.head()
		r := revokeName("n")
		r.ID = newID()
		ended, calls := 0, 0
		for more := true; more; calls++ {
			if calls == 4 {
				h.t.Fatalf("more after %d calls", calls)
			}
			s, err := h.Revoke(h.ctx, r)
			if err != nil {
				h.t.Fatal(err)
			}
			ended, more = ended+s.Ended, s.More
		}
		h.wantState(store.Ended, oldest...)
		if h.appended(head, 1+len(oldest)); ended != len(oldest) {
			h.t.Errorf("ended %d: want %d", ended, len(oldest))
		}
	}},
}

// passesTheDead makes more families of anna than one call looks at, kills them, and
// logs in with a limit. An older family that lives must be found behind them.
func (h *harness) passesTheDead(creation func() store.Creation, kill func()) {
	oldest := login("anna")
	oldest.Idle = 10 * time.Hour
	h.create(oldest)
	h.appendUnrelated()
	h.crowd(many, func(int) store.Creation { return creation() })
	kill()
	f := h.look(oldest.ID).Family
	for _, subject := range []string{"anna", ""} {
		q := store.Query{Subject: subject, Limit: 10}
		h.wantPages(q, f)
		// Housekeeping may have removed the dead before.
		if p := h.page(q); len(p.Families) != 0 && p.Next != (store.PageCursor{}) {
			h.t.Errorf("the first page of %q has %d families, next %v: want none, or no more", subject, len(p.Families), p.Next)
		}
	}
	head := h.head()
	c := login("anna")
	c.Limit = 2
	h.createAgain(c)
	if h.head() != head {
		h.t.Errorf("%d entries for the dead: want none", len(h.entries(head)))
	}
	c = login("anna")
	c.Limit = 2
	h.full(h.Create(h.ctx, c)) // at once: the dead are out of the way
	c.EndOldest = true
	h.written(h.Create(h.ctx, c))
	if got := sessionsOf(h.entries(head)); !slices.Equal(got, []store.ID{oldest.ID}) {
		h.t.Errorf("ended %v: want the oldest, %v", got, oldest.ID)
	}
}

// createAgain repeats a creation for as long as it is Again, as a caller does.
// Each call gets further, so a few are enough. Until the last one the families that
// it replaces live.
func (h *harness) createAgain(c store.Creation, replaces ...store.ID) store.Snapshot {
	h.t.Helper()
	for calls := 1; ; calls++ {
		s, err := h.Create(h.ctx, c)
		if err != nil || s.Outcome != store.Again {
			return h.written(s, err)
		}
		if calls == 4 {
			h.t.Fatalf("again after %d calls", calls)
		}
		h.wantState(store.Absent, c.ID)
		h.wantState(store.Alive, replaces...)
	}
}
