package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

// ledger is a complete log, recorded by a reader that began before anything was
// dropped.
type ledger struct {
	h       *harness
	life    time.Duration // announced access lifetime and leeway; if 0, nothing may be dropped
	entries []store.Entry
	latest  time.Time // by the engine's clock
	floor   store.Position
}

func (h *harness) ledger(access, absolute, leeway time.Duration) *ledger {
	h.t.Helper()
	l := &ledger{h: h, life: access + leeway}
	l.read()
	h.announce(access, absolute, leeway)
	return l
}

// read adds the new entries and checks the floor: it is at an entry, all
// entries up to it were old, and all above it are there.
func (l *ledger) read() {
	l.h.t.Helper()
	b, err := l.h.Since(l.h.ctx, store.Cursor{}, store.MaxEntries, 0)
	if err != nil || b.More {
		l.h.t.Fatalf("Since: more than the suite expects %v, %v", b.More, err)
	}
	if b.Now.After(l.latest) {
		l.latest = b.Now
	}
	var last store.Position
	if n := len(l.entries); n > 0 {
		last = l.entries[n-1].Position
	}
	remain := map[store.Position]store.Entry{}
	for _, e := range b.Entries {
		remain[e.Position] = e
		if e.Position > last {
			l.entries = append(l.entries, e)
		}
	}
	at := b.Floor == 0
	for _, e := range l.entries {
		at = at || e.Position == b.Floor
		if age := l.latest.Sub(e.Time); e.Position <= b.Floor && (l.life == 0 || age < l.life) {
			l.h.t.Fatalf("entry %d was dropped at the age of %v: want it kept for %v", e.Position, age, l.life)
		}
		if _, ok := remain[e.Position]; !ok && e.Position > b.Floor {
			l.h.t.Fatalf("entry %d is gone, and the floor is %d", e.Position, b.Floor)
		}
	}
	if !at {
		l.h.t.Fatalf("the floor %d is no entry's position", b.Floor)
	}
	if len(b.Entries) > 0 && b.Entries[0].Previous != b.Floor {
		l.h.t.Fatalf("the first entry that remains names %d as the one before, and the floor is %d", b.Entries[0].Previous, b.Floor)
	}
	l.floor = b.Floor
}

// drop lets time pass until the entry at p is dropped.
func (l *ledger) drop(p store.Position) {
	l.h.t.Helper()
	l.read()
	l.h.pass(l.life + l.h.unit()/4)
	l.h.eventually("an old entry is dropped", func() bool { l.read(); return l.floor >= p })
}

var dropping = []property{
	{name: "BeforeTheFirstAnnouncementNothingIsDropped", timed: true, test: func(h *harness) {
		l := &ledger{h: h}
		h.announced(true, store.Announcement{}) // a command asks, and says no durations
		for range 5 {
			h.appendUnrelated()
			h.pass(h.unit() / 2)
			h.housekeep()
			l.read()
		}
		if h.engine.Clock != nil {
			h.pass(10000 * time.Hour)
			for range 10 {
				h.housekeep()
				l.read()
			}
		}
		if l.floor != 0 {
			h.t.Errorf("floor %d", l.floor)
		}
	}},
	{name: "NoEntryIsDroppedBeforeItsTime", timed: true, test: func(h *harness) {
		l := h.ledger(3*h.unit()/2, 10*h.unit(), h.unit()/2)
		for range 12 {
			h.appendUnrelated()
			h.pass(h.unit() / 2)
			h.housekeep()
			l.read()
		}
		if last := l.entries[len(l.entries)-1]; l.floor >= last.Position {
			h.t.Errorf("floor %d", l.floor)
		}
	}},
	{name: "OldEntriesAreDropped", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 10*h.unit(), h.unit())
		for range 3 {
			l.drop(h.appendUnrelated())
			young := h.appendUnrelated()
			l.read()
			if l.floor >= young {
				h.t.Errorf("floor %d: entry %d is young", l.floor, young)
			}
		}
	}},
	{name: "ManyOldEntriesAreDropped", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 10*h.unit(), 0)
		r := store.Revocation{}
		for range 300 {
			r.Sessions = append(r.Sessions, newID())
		}
		l.drop(h.revoke(r))
	}},
	{name: "ALowerAnnouncementChangesNothing", timed: true, test: func(h *harness) {
		l := h.ledger(3*h.unit(), 10*h.unit(), h.unit())
		h.announce(h.unit()/4, h.unit()/4, 0) // a node with shorter lifetimes
		h.announce(0, 0, 0)
		for range 4 {
			h.appendUnrelated()
			h.pass(h.unit() / 2)
			h.housekeep()
			l.read()
		}
		l.drop(l.entries[len(l.entries)-1].Position)
	}},
	{name: "AHigherAnnouncementCounts", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit()/2, h.unit(), 0)
		l.read()
		h.announce(4*h.unit(), 10*h.unit(), h.unit())
		l.life = 5 * h.unit()
		h.appendUnrelated()
		for range 4 {
			h.pass(h.unit() / 2)
			h.housekeep()
			l.read()
		}
	}},
	{name: "AnyOneOfTheDurationsIsRaised", leaps: true, test: func(h *harness) {
		h.announce(time.Minute, time.Hour, 2*time.Minute)
		h.announce(3*time.Minute, 30*time.Minute, time.Minute)
		l := &ledger{h: h, life: 5 * time.Minute}
		for range 8 {
			h.appendUnrelated()
			h.pass(time.Minute)
			h.housekeep()
			l.read()
		}
		l.drop(h.appendUnrelated())
	}},
	{name: "TheSessionsCutoffsGoWithTheirEntries", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		f, g := h.committed("anna", "value"), h.committed("bob", "value")
		p := h.end(f.ID)
		if c := h.cutoffs(f.ID, ""); c.Ending != p || c.Superseding != f.LastCommit {
			h.t.Errorf("cutoffs %+v: want ending %d, superseding %d", c, p, f.LastCommit)
		}
		l.drop(p)
		for _, id := range []store.ID{f.ID, g.ID} {
			if c := h.cutoffs(id, ""); c.Ending != 0 || c.Superseding != 0 || c.Floor < p {
				h.t.Errorf("cutoffs %+v: want none of the session, floor %d", c, p)
			}
		}
		// The state of the rows stays.
		h.wantState(store.Ended, f.ID)
		h.unwritten(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{f.ID}}))
		c := keep(g, "more")
		c.Basis = 1
		h.behind(h.Commit(h.ctx, c))
	}},
	{name: "TheSubjectsCutoffStays", timed: true, test: func(h *harness) {
		h.cutoffStays(store.Revocation{Subjects: []string{"anna"}})
	}},
	{name: "EveryonesCutoffStays", timed: true, test: func(h *harness) {
		h.cutoffStays(store.Revocation{Everyone: true})
	}},
	{name: "TheSubjectsCutoffStaysForTheAbsoluteLimit", leaps: true, test: func(h *harness) {
		l := h.ledger(time.Minute, 10*time.Hour, time.Minute)
		c := login("anna")
		c.Idle, c.Absolute = 10*time.Hour, 10*time.Hour
		f := h.written(h.Create(h.ctx, c)).Family
		p := h.revokeSubject("anna")
		everyone := h.cutoffs(store.ID{}, "").Everyone
		l.read()
		for range 10 {
			h.pass(59 * time.Minute)
			h.housekeep()
			l.read()
			if c := h.cutoffs(store.ID{}, "anna"); c.Subject != p || c.Everyone != everyone {
				h.t.Fatalf("cutoffs %+v: want subject %d, everyone %d", c, p, everyone)
			}
			h.unwritten(h.Advance(h.ctx, next(f)))
		}
		if l.floor < p {
			h.t.Errorf("floor %d: want entry %d dropped", l.floor, p)
		}
		// The cutoff is removed some time after that. Otherwise subjects would
		// accumulate.
		h.pass(time.Hour)
		h.eventually("the subject's cutoff is dropped", func() bool { return h.cutoffs(store.ID{}, "anna").Subject == 0 })
		h.unwritten(h.Advance(h.ctx, next(f)))
	}},
	{name: "ALaterCutoffIsKeptLonger", leaps: true, test: func(h *harness) {
		h.announce(time.Minute, time.Hour, time.Minute)
		h.revokeSubject("anna")
		h.pass(40 * time.Minute)
		p := h.revokeSubject("anna")
		for range 4 {
			h.pass(15 * time.Minute)
			h.housekeep()
			if c := h.cutoffs(store.ID{}, "anna"); c.Subject != p {
				h.t.Fatalf("cutoffs %+v: want subject %d", c, p)
			}
		}
	}},
	{name: "NotBeforeIsEarlyBelowTheFloor", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		at := h.head()
		dropped := h.appendUnrelated()
		l.drop(dropped)
		h.early(h.createNotBefore("anna", at))
		h.early(h.createNotBefore("anna", l.floor-1))
		h.written(h.createNotBefore("anna", h.head()))
	}},
	{name: "AFamilyBelowTheFloorGoesOn", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		f, g := h.committed("anna", "value"), h.family("anna")
		l.drop(h.appendUnrelated())
		for _, was := range []store.Family{f, g} {
			s := h.look(was.ID)
			h.same(s.Family, was)
			if s.State != store.Alive || s.Floor <= was.Position {
				h.t.Errorf("state %v, floor %d", s.State, s.Floor)
			}
		}
		s := h.written(h.Advance(h.ctx, raise(f)))
		if s.Family.Position != s.Head || s.Family.Position < s.Floor || s.Family.Generation != f.Generation {
			h.t.Errorf("position %d, head %d, floor %d", s.Family.Position, s.Head, s.Floor)
		}
		h.written(h.Advance(h.ctx, next(g)))
		h.appendUnrelated()
		s = h.written(h.Reissue(h.ctx, copyOf(h.look(g.ID).Family)))
		if s.Family.Position != s.Head {
			h.t.Errorf("position %d, head %d", s.Family.Position, s.Head)
		}
	}},
	{name: "ADroppedEndingOfAnAbsentSessionIsNoLongerHeld", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		id := newID()
		p := h.end(id)
		l.drop(p)
		if again := h.end(id); again <= p {
			h.t.Errorf("revoked again at %d: want above %d", again, p)
		}
	}},
	{name: "BelowTheFloorACursorIsBroken", timed: true, test: func(h *harness) {
		l := h.ledger(h.unit(), 20*h.unit(), 0)
		below := h.headCursor()
		l.drop(h.appendUnrelated())
		h.appendUnrelated()
		l.read()
		floor := h.cursor(l.floor)
		for _, after := range []store.Cursor{{}, floor} {
			b, err := h.Since(h.ctx, after, 10, 0)
			if err != nil || b.Broken || len(b.Entries) == 0 || b.Floor == 0 || b.Entries[0].Previous != b.Floor {
				h.t.Errorf("Since(%v): %+v, %v: want the first entry above the floor", after, b, err)
			}
		}
		for _, after := range []store.Cursor{{Position: 1}, below, {Position: l.floor - 1, ID: floor.ID}, {Position: l.floor, ID: newID()}, {Position: l.floor}} {
			h.wantBroken(after)
		}
	}},
	{name: "YoungBehindOldThoughTheClockJumpsBack", leaps: true, test: func(h *harness) {
		l := h.ledger(20*time.Minute, 10*time.Hour, 0)
		h.pass(time.Hour)
		h.appendUnrelated()
		l.read()
		h.pass(-time.Hour)
		last := h.appendUnrelated()
		for range 20 {
			h.pass(5 * time.Minute)
			h.housekeep()
			l.read()
		}
		l.drop(last)
	}},
	{name: "WhileReadersFollow", leaps: true, test: func(h *harness) {
		h.announce(10*time.Second, time.Hour, 0)
		stop := make(chan struct{})
		done := make(chan struct{})
		var cursor store.Cursor
		go func() {
			defer close(done)
			for {
				b, err := h.Since(h.ctx, cursor, 3, 10*time.Millisecond)
				if h.ctx.Err() != nil {
					return // the subtest has failed already
				}
				if err != nil {
					h.t.Errorf("Since: %v", err)
					return
				}
				if b.Broken { // dropped up to above the cursor: read whole again
					cursor = store.Cursor{}
					continue
				}
				if len(b.Entries) > 0 {
					if p := b.Entries[0].Previous; p != cursor.Position && (p != b.Floor || cursor != (store.Cursor{})) {
						h.t.Errorf("after %d comes entry %d, which names %d; floor %d", cursor.Position, b.Entries[0].Position, p, b.Floor)
					}
					cursor = at(b.Entries[len(b.Entries)-1])
				}
				select {
				case <-stop:
					if len(b.Entries) == 0 {
						return
					}
				default:
				}
			}
		}()
		var last store.Position
		for i := range 300 {
			last = h.appendUnrelated()
			if i%5 == 0 {
				h.pass(7 * time.Second)
			}
		}
		close(stop)
		<-done
		if b, err := h.Since(h.ctx, store.Cursor{}, 1, 0); err != nil || cursor.Position < last && b.Floor < last {
			h.t.Errorf("read up to %d of %d, floor %d, %v", cursor.Position, last, b.Floor, err)
		}
	}},
}

func (h *harness) createNotBefore(subject string, p store.Position) (store.Snapshot, error) {
	c := login(subject)
	c.NotBefore = p
	return h.Create(h.ctx, c)
}

// cutoffStays revokes, lets the entry be dropped, and checks that every method
// still applies the cutoff.
func (h *harness) cutoffStays(r store.Revocation) {
	l := h.ledger(h.unit(), 20*h.unit(), 0)
	f := h.committed("anna", "value")
	at := h.head()
	p := h.revoke(r)
	l.drop(p)
	c := h.cutoffs(f.ID, "anna")
	if got := max(c.Subject, c.Everyone); got != p || c.Floor < p {
		h.t.Errorf("cutoffs %+v: want %d though it is dropped", c, p)
	}
	h.wantState(store.CutOff, f.ID)
	h.unwritten(h.Advance(h.ctx, next(f)))
	h.unwritten(h.Commit(h.ctx, keep(f, "more")))
	h.unwritten(h.Create(h.ctx, renewal(f)))
	h.wantFamilies("anna", 10)
	h.early(h.createNotBefore("anna", at))
	if s := h.written(h.Revoke(h.ctx, elsewhere(f))); s.State != store.CutOff {
		h.t.Errorf("reborn: %v", s.State)
	}
	young := h.family("anna")
	h.wantFamilies("anna", 10, young.ID)
}
