package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// lostSession returns an entry as held by a node that followed a lost log: its
// id, predecessor and time are of that log.
func lostSession(id store.ID, at store.Position) store.Entry {
	return store.Entry{ID: newID(), Position: at, Previous: at - 1, Kind: store.KindSession, Session: id, Reason: "lost session", Actor: "a", Time: time.Unix(1, 0)}
}

func lostSubject(subject string, at store.Position) store.Entry {
	return store.Entry{ID: newID(), Position: at, Previous: at - 1, Kind: store.KindSubject, Subject: subject, Reason: "lost subject", Actor: "b", Time: time.Unix(2, 0)}
}

func lostEveryone(at store.Position) store.Entry {
	return store.Entry{ID: newID(), Position: at, Previous: at - 1, Kind: store.KindEveryone, Reason: "lost everyone", Actor: "c", Time: time.Unix(3, 0)}
}

// restoration returns a request for the entries from a node that knows no
// higher position.
func restoration(entries ...store.Entry) store.Restoration {
	r := store.Restoration{Entries: entries}
	for _, e := range entries {
		r.Above = max(r.Above, e.Position)
	}
	return r
}

// restore checks that something was lost, and returns the last new position.
func (h *harness) restore(entries ...store.Entry) store.Position {
	h.t.Helper()
	return h.written(h.Restore(h.ctx, restoration(entries...))).Entry
}

// covered checks that each of the entries, and all together, append nothing.
func (h *harness) covered(entries ...store.Entry) {
	h.t.Helper()
	h.nothingWritten(func() {
		h.t.Helper()
		h.unwritten(h.Restore(h.ctx, restoration(entries...)))
		for _, e := range entries {
			h.unwritten(h.Restore(h.ctx, restoration(e)))
		}
	})
}

var restoring = []property{
	{name: "WhatIsLostIsAppendedAgain", timed: true, test: func(h *harness) {
		f, absent := h.family("anna"), newID()
		h.tick()
		before := h.look(absent)
		p := before.Head + 5
		lost := []store.Entry{lostSession(f.ID, p+2), lostSubject("bob", p), lostSession(absent, p+1), lostSubject("carl", p+3), lostEveryone(p + 4)}
		r := restoration(lost...)
		r.Above = before.Head + store.MaxAhead // above any clock
		s := h.written(h.Restore(h.ctx, r))
		entries := h.entries(before.Head)
		if len(entries) != len(lost) {
			h.t.Fatalf("%d entries: want %d", len(entries), len(lost))
		}
		h.wantEntry(entries[0], store.KindSession, f.ID, "", "lost session", "a")
		h.wantEntry(entries[1], store.KindSubject, store.ID{}, "bob", "lost subject", "b")
		h.wantEntry(entries[2], store.KindSession, absent, "", "lost session", "a")
		h.wantEntry(entries[3], store.KindSubject, store.ID{}, "carl", "lost subject", "b")
		h.wantEntry(entries[4], store.KindEveryone, store.ID{}, "", "lost everyone", "c")
		previous := before.Head
		ids := map[store.ID]bool{}
		for i, e := range entries {
			if want := r.Above + 1 + store.Position(i); e.Position != want || e.Previous != previous {
				h.t.Errorf("entry at %d after %d: want %d after %d", e.Position, e.Previous, want, previous)
			}
			if e.Time.Before(before.Now.Truncate(time.Millisecond)) || e.Time.After(s.Now) {
				h.t.Errorf("an entry of %v: want the time of the call, from %v to %v", e.Time, before.Now, s.Now)
			}
			ids[e.ID], ids[lost[i].ID] = true, true
			previous = e.Position
		}
		if len(ids) != 2*len(lost) {
			h.t.Errorf("of %d entries and those they were lost as there are %d ids", len(lost), len(ids))
		}
		if s.Entry != previous || s.Head != previous || s.State != store.Absent {
			h.t.Errorf("entry %d, head %d, of a family %v: want %d, and no family", s.Entry, s.Head, s.State, previous)
		}
		h.covered(lost...)
	}},
	{name: "ASessionIsEndedWithItsEntry", test: func(h *harness) {
		f, other := h.committed("anna", "value"), h.family("anna")
		p := h.restore(lostSession(f.ID, h.head()+1))
		h.wantState(store.Ended, f.ID)
		h.wantState(store.Alive, other.ID)
		h.unwritten(h.Advance(h.ctx, next(f)))
		h.unwritten(h.Commit(h.ctx, keep(f, "more")))
		h.unwritten(h.Create(h.ctx, renewal(f)))
		again := login("anna")
		again.ID = f.ID
		h.taken(h.Create(h.ctx, again))
		h.wantFamilies("anna", 10, other.ID)
		if c := h.cutoffs(f.ID, "anna"); c.Ending != p || c.Subject != 0 {
			h.t.Errorf("cutoffs %+v: want ending %d and none of the subject", c, p)
		}
		if s := h.unwritten(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{f.ID}})); s.Entry != p {
			h.t.Errorf("revoked, it finds entry %d: want %d", s.Entry, p)
		}
	}},
	{name: "AnAbsentSessionIsTaken", test: func(h *harness) {
		c := login("anna")
		h.restore(lostSession(c.ID, h.head()+1))
		h.taken(h.Create(h.ctx, c))
	}},
	{name: "ASubjectsFamiliesAreCutOff", test: func(h *harness) {
		at := h.head()
		a, b, other := h.family("anna"), h.committed("anna", "value"), h.family("bob")
		p := h.restore(lostSubject("anna", h.head()+1))
		h.wantState(store.CutOff, a.ID, b.ID)
		h.wantState(store.Alive, other.ID)
		h.unwritten(h.Advance(h.ctx, next(a)))
		h.wantFamilies("anna", 10)
		h.early(h.createNotBefore("anna", at))
		if c := h.cutoffs(a.ID, "anna"); c.Subject != p || c.Ending != 0 {
			h.t.Errorf("cutoffs %+v: want subject %d and no ending", c, p)
		}
	}},
	{name: "EveryoneIsCutOff", test: func(h *harness) {
		at := h.head()
		a, b := h.family("anna"), h.family("bob")
		p := h.restore(lostEveryone(h.head() + 1))
		h.wantState(store.CutOff, a.ID, b.ID)
		h.unwritten(h.Advance(h.ctx, next(a)))
		h.early(h.createNotBefore("carl", at))
		if c := h.cutoffs(a.ID, "anna"); c.Everyone != p || c.Subject != 0 || c.Ending != 0 {
			h.t.Errorf("cutoffs %+v: want everyone %d alone", c, p)
		}
	}},
	{name: "AboveTheHeadAndTheClock", timed: true, test: func(h *harness) {
		// Above may be far below both.
		h.pass(h.unit() / 4)
		now := h.look(newID()).Now
		f := h.family("anna")
		if p := h.restore(lostSession(f.ID, 1)); int64(p) < now.UnixMicro() {
			h.t.Errorf("position %d at %d µs", p, now.UnixMicro())
		}
		head := h.revoke(store.Revocation{Everyone: true, Above: h.head() + store.MaxAhead})
		f = h.family("anna")
		if p := h.restore(lostSession(f.ID, 1)); p != head+1 {
			h.t.Errorf("position %d after %d: want the next", p, head)
		}
	}},
	{name: "ASubjectsCutoffCovers", test: func(h *harness) {
		p := h.revokeSubject("anna")
		h.covered(lostSubject("anna", p), lostSubject("anna", p-1), lostSubject("anna", 1))
		h.restore(lostSubject("anna", p+1)) // the cutoff does not cover an entry above it
		p = h.revokeSubject("anna")
		h.restore(lostSubject("bob", p)) // nor is another subject's
		h.restore(lostEveryone(p))
		p = h.revokeSubject("anna")
		id := newID()
		h.restore(lostSession(id, p))
	}},
	{name: "EveryonesCutoffCoversAll", test: func(h *harness) {
		f := h.family("anna")
		p := h.revokeEveryone()
		h.covered(lostEveryone(p), lostSubject("anna", p), lostSession(newID(), p), lostSession(f.ID, p), lostEveryone(1), lostSubject("bob", 1))
		for _, above := range []func(p store.Position) store.Entry{
			func(p store.Position) store.Entry { return lostSession(newID(), p) },
			func(p store.Position) store.Entry { return lostSession(f.ID, p) },
			func(p store.Position) store.Entry { return lostSubject("anna", p) },
			lostEveryone,
		} {
			p = h.revokeEveryone()
			h.restore(above(p + 1))
		}
	}},
	{name: "ASessionsEndCovers", test: func(h *harness) {
		f, absent, other := h.family("anna"), newID(), newID()
		p := h.end(f.ID)
		h.covered(lostSession(f.ID, p), lostSession(f.ID, 1))
		p = h.end(absent)
		h.covered(lostSession(absent, p), lostSession(absent, 1))
		h.restore(lostSession(other, p))
		p = h.end(newID())
		h.restore(lostSubject("anna", p))
	}},
	{name: "AnEndBelowTheEntryDoesNot", test: func(h *harness) {
		// A client may hold a credential minted between the two before the
		// loss.
		f, absent := h.family("anna"), newID()
		for _, id := range []store.ID{f.ID, absent} {
			p := h.end(id) + 1000
			if again := h.restore(lostSession(id, p)); again <= p || h.cutoffs(id, "").Ending != again {
				h.t.Errorf("ended again at %d, cutoffs %+v: want above %d", again, h.cutoffs(id, ""), p)
			}
			h.covered(lostSession(id, p))
		}
		h.wantState(store.Ended, f.ID)
	}},
	{name: "ALivingFamilyIsEndedWhateverTheCutoffs", test: func(h *harness) {
		// The family's end was acknowledged. A cutoff that covers its earlier
		// tokens does not cover those that a refresh would give it.
		f := h.family("anna")
		f = h.written(h.Revoke(h.ctx, elsewhere(f))).Family
		h.restore(lostSession(f.ID, f.Birth))
		h.wantState(store.Ended, f.ID)
		p := h.revokeEveryone()
		f = h.family("anna")
		h.restore(lostSession(f.ID, p))
		h.wantState(store.Ended, f.ID)
		f = h.committed("anna", "value")
		h.restore(lostSession(f.ID, f.LastCommit)) // a superseding cutoff does not end a session
		h.wantState(store.Ended, f.ID)
	}},
	{name: "NamedTwiceIsOneEntry", test: func(h *harness) {
		f, absent := h.family("anna"), newID()
		head := h.head()
		p := head + 10
		h.restore(lostSession(f.ID, p), lostSubject("bob", p), lostSession(absent, p+3), lostSubject("bob", p+7),
			lostSession(f.ID, p+8), lostSession(absent, p), lostSubject("bob", p))
		h.appended(head, 3)
		head = h.head()
		g := h.family("anna")
		p = head + 10
		h.restore(lostEveryone(p), lostEveryone(p+1), lostSubject("carl", p+2), lostSession(newID(), p+3), lostSession(g.ID, p+4), lostEveryone(p))
		h.appended(head, 1)
		h.wantState(store.CutOff, g.ID)
	}},
	{name: "OnlyWhatIsLostIsAppended", test: func(h *harness) {
		f, g := h.family("anna"), h.family("anna")
		p := h.end(f.ID)
		bob := h.revokeSubject("bob")
		head := h.head()
		s := h.written(h.Restore(h.ctx, restoration(lostSubject("bob", bob), lostSession(g.ID, head+4), lostSession(f.ID, p), lostSubject("carl", head+2), lostSubject("bob", 1))))
		entries := h.entries(head)
		if len(entries) != 2 || entries[0].Session != g.ID || entries[1].Subject != "carl" || s.Entry != entries[1].Position {
			h.t.Errorf("entries %+v, entry %d: want one of %v and one of carl", entries, s.Entry, g.ID)
		}
	}},
	{name: "WhatItsKindDoesNotNameIsIgnored", test: func(h *harness) {
		f, g, target := h.family("anna"), h.family("bob"), h.family("carl")
		ended := h.family("anna")
		h.end(ended.ID)
		head := h.head()
		junk := strings.Repeat("\xff\x00", 300)
		subject, session, everyone := lostSubject("dora", head+1), lostSession(target.ID, head+2), lostEveryone(head+3)
		subject.Session, session.Subject = f.ID, "bob"
		h.restore(subject, session)
		h.wantState(store.Alive, f.ID, g.ID)
		h.wantState(store.Ended, target.ID)
		subject.Session, session.Subject = ended.ID, junk // the end of a session covers no subject
		subject.Subject, session.Session = "erik", newID()
		h.restore(subject)
		h.restore(session)
		everyone.Session, everyone.Subject = ended.ID, junk
		everyone.Position = h.head() + 1
		h.restore(everyone)
		for i, e := range h.entries(head) {
			if named := e.Subject != "" || !e.Session.IsZero(); named == (i == 4) || e.Subject != "" && !e.Session.IsZero() {
				h.t.Errorf("entry %d of kind %v names %v and %q", i, e.Kind, e.Session, e.Subject)
			}
		}
		if c := h.cutoffs(f.ID, "bob"); c.Ending != 0 || c.Subject != 0 {
			h.t.Errorf("cutoffs %+v of what was named beside", c)
		}
		// The other fields of an entry do not count.
		h.covered(store.Entry{Kind: store.KindSubject, Subject: "erik", Position: subject.Position, Previous: 1 << 60})
	}},
	{name: "TheMostEntriesAtOnce", test: func(h *harness) {
		f := h.family("anna")
		head := h.head()
		var lost []store.Entry
		for i := range store.MaxEntries / 2 {
			p := head + store.Position(2*i) + 1
			lost = append(lost, lostSession(newID(), p), lostSubject(newID().String(), p+1))
		}
		lost[7*2] = lostSession(f.ID, lost[7*2].Position)
		last := h.restore(lost...)
		b, err := h.Since(h.ctx, h.cursor(head), store.MaxEntries, 0)
		if err != nil || len(b.Entries) != store.MaxEntries || b.More || b.Head != last {
			h.t.Fatalf("%d entries, more %v, head %d, %v: want %d, the last at %d", len(b.Entries), b.More, b.Head, err, store.MaxEntries, last)
		}
		for i, e := range lost {
			if g := b.Entries[i]; g.Kind != e.Kind || g.Session != e.Session || g.Subject != e.Subject {
				h.t.Fatalf("entry %d is %+v: want %+v", i, g, e)
			}
		}
		h.wantState(store.Ended, f.ID)
		h.nothingWritten(func() { h.unwritten(h.Restore(h.ctx, restoration(lost...))) })
	}},
	{name: "NoneAboveTheHighest", leaps: true, test: func(h *harness) {
		h.toTheLastHour()
		f := h.family("anna")
		p := h.revokeSubject("bob")
		h.nothingWritten(func() {
			r := restoration(lostSession(f.ID, p))
			r.Above = store.MaxPosition
			if s, err := h.Restore(h.ctx, r); err == nil || errors.Is(err, store.ErrArgument) {
				h.t.Errorf("above the highest position: %v, entry %d, %v: want an error of the engine", s.Outcome, s.Entry, err)
			}
			r = restoration(lostSession(f.ID, p), lostSubject("carl", p+1), lostSubject("dora", p+2))
			r.Above = store.MaxPosition - 2
			if s, err := h.Restore(h.ctx, r); err == nil {
				h.t.Errorf("three with room for two: %v, entry %d: want an error", s.Outcome, s.Entry)
			}
			// A covered entry needs no position.
			r = restoration(lostSubject("bob", p), lostSubject("bob", 1))
			r.Above = store.MaxPosition
			h.unwritten(h.Restore(h.ctx, r))
		}, f.ID)
		r := restoration(lostSession(f.ID, p), lostSubject("bob", p), lostSubject("carl", p+1))
		r.Above = store.MaxPosition - 2
		if s := h.written(h.Restore(h.ctx, r)); s.Entry != store.MaxPosition {
			h.t.Errorf("entry %d: want the highest", s.Entry)
		}
	}},
	{name: "WhatTheTypeForbidsIsRefused", test: func(h *harness) {
		f := h.family("anna")
		p := h.head() + 10
		long := strings.Repeat("x", store.MaxSubject+1)
		refused := func(name string, change func(r *store.Restoration)) {
			h.t.Helper()
			r := restoration(lostSession(f.ID, p), lostSubject("anna", p), lostEveryone(p))
			change(&r)
			if s, err := h.Restore(h.ctx, r); !errors.Is(err, store.ErrArgument) {
				h.t.Errorf("%s: %v, %v: want an error that matches ErrArgument", name, s.Outcome, err)
			}
		}
		h.nothingWritten(func() {
			refused("nothing", func(r *store.Restoration) { r.Entries = nil })
			refused("too many", func(r *store.Restoration) {
				for len(r.Entries) <= store.MaxEntries {
					r.Entries = append(r.Entries, lostSession(newID(), p))
				}
			})
			refused("too many that are covered", func(r *store.Restoration) {
				r.Entries = slices.Repeat([]store.Entry{lostEveryone(1)}, store.MaxEntries+1)
			})
			refused("no kind", func(r *store.Restoration) { r.Entries[1].Kind = 0 })
			refused("an entry of a name", func(r *store.Restoration) { r.Entries[2].Kind = store.KindName })
			refused("an unknown kind", func(r *store.Restoration) { r.Entries[2].Kind = 6 })
			refused("a superseding entry", func(r *store.Restoration) { r.Entries[0].Kind = store.KindSuperseding })
			refused("a superseding entry, at the end", func(r *store.Restoration) {
				e := lostSession(newID(), p)
				e.Kind = store.KindSuperseding
				r.Entries = append(r.Entries, e)
			})
			refused("zero id", func(r *store.Restoration) { r.Entries[0].Session = store.ID{} })
			refused("no subject", func(r *store.Restoration) { r.Entries[1].Subject = "" })
			refused("long subject", func(r *store.Restoration) { r.Entries[1].Subject = long })
			refused("subject with NUL", func(r *store.Restoration) { r.Entries[1].Subject = "an\x00na" })
			refused("subject not UTF-8", func(r *store.Restoration) { r.Entries[1].Subject = "anna\xff" })
			refused("long reason", func(r *store.Restoration) { r.Entries[2].Reason = long })
			refused("reason with NUL", func(r *store.Restoration) { r.Entries[2].Reason = "\x00" })
			refused("long actor", func(r *store.Restoration) { r.Entries[0].Actor = long })
			refused("actor not UTF-8", func(r *store.Restoration) { r.Entries[0].Actor = "\xff" })
			refused("position 0", func(r *store.Restoration) { r.Entries[1].Position = 0 })
			refused("position above Above", func(r *store.Restoration) { r.Entries[1].Position = r.Above + 1 })
			refused("Above 0", func(r *store.Restoration) { r.Above = 0 })
			refused("Above of 54 bits", func(r *store.Restoration) { r.Above = store.MaxPosition + 1 })
			refused("a position of 54 bits", func(r *store.Restoration) {
				r.Above, r.Entries[0].Position = store.MaxPosition+2, store.MaxPosition+1
			})
		}, f.ID)
	}},
	{name: "TheExtremesArePermitted", test: func(h *harness) {
		head := h.head()
		e := lostSubject(strings.Repeat("s", store.MaxSubject), head+store.MaxAhead)
		e.Reason, e.Actor = strings.Repeat("é", store.MaxReason/2)+"\n", strings.Repeat("\x01", store.MaxReason)
		if p := h.restore(e); p != e.Position+1 {
			h.t.Errorf("entry %d: want the next, %d", p, e.Position+1)
		}
		h.wantEntry(h.entries(head)[0], store.KindSubject, store.ID{}, e.Subject, e.Reason, e.Actor)
		h.covered(lostSubject(e.Subject, e.Position+1))
	}},
	{name: "TheEntriesAreTheCallers", test: func(h *harness) {
		r := restoration(lostSession(newID(), 5), lostSubject("anna", h.head()+1))
		was := slices.Clone(r.Entries)
		h.written(h.Restore(h.ctx, r))
		if !slices.Equal(r.Entries, was) {
			h.t.Errorf("the argument was changed: %+v", r.Entries)
		}
	}},
	{name: "EveryKindWakesThoseWhoWait", test: func(h *harness) {
		for _, lost := range []func(p store.Position) store.Entry{
			func(p store.Position) store.Entry { return lostSession(newID(), p) },
			func(p store.Position) store.Entry { return lostSubject("anna", p) },
			lostEveryone,
		} {
			done := h.follow(h.ctx, h.headCursor(), time.Minute)
			h.wantEntryAt(done, h.restore(lost(h.head()+1)))
		}
	}},
}
