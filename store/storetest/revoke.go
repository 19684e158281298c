package storetest

import (
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

var revoking = []property{
	{name: "ASessionIsEndedWithItsEntry", test: func(h *harness) {
		f, other := h.family("anna"), h.family("anna")
		head := h.head()
		s := h.written(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{f.ID}, Reason: "logout", Actor: "anna"}))
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1", len(entries))
		}
		h.wantEntry(entries[0], store.KindSession, f.ID, "", "logout", "anna")
		if p := entries[0].Position; s.Entry != p || s.Head != p {
			h.t.Errorf("entry %d, head %d: want %d", s.Entry, s.Head, p)
		}
		if s.State != store.Absent {
			h.t.Errorf("state %v: want absent, there is no Except", s.State)
		}
		h.wantState(store.Ended, f.ID)
		h.wantState(store.Alive, other.ID)
	}},
	{name: "ASubjectIsOneEntry", test: func(h *harness) {
		a, b, other := h.family("anna"), h.committed("anna", "value"), h.family("bob")
		head := h.head()
		h.revoke(store.Revocation{Subjects: []string{"anna"}, Reason: "stolen", Actor: "desk"})
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1, whatever the number of families", len(entries))
		}
		h.wantEntry(entries[0], store.KindSubject, store.ID{}, "anna", "stolen", "desk")
		h.wantState(store.CutOff, a.ID, b.ID)
		h.wantState(store.Alive, other.ID)
	}},
	{name: "EveryoneIsOneEntry", test: func(h *harness) {
		a, b := h.family("anna"), h.family("bob")
		head := h.head()
		h.revoke(store.Revocation{Everyone: true, Reason: "key leaked", Actor: "ops"})
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1, whatever the number of families", len(entries))
		}
		h.wantEntry(entries[0], store.KindEveryone, store.ID{}, "", "key leaked", "ops")
		h.wantState(store.CutOff, a.ID, b.ID)
	}},
	{name: "SessionsThenSubjectsThenEveryone", test: func(h *harness) {
		a, b := h.family("anna"), h.family("bob")
		absent := newID()
		before := h.look(absent)
		s := h.written(h.Revoke(h.ctx, store.Revocation{
			Everyone: true, Subjects: []string{"carl", "anna"}, Sessions: []store.ID{b.ID, absent, a.ID}, Reason: "all", Actor: "ops",
		}))
		entries := h.entries(before.Head)
		if len(entries) != 6 {
			h.t.Fatalf("%d entries: want 6", len(entries))
		}
		for i, id := range []store.ID{b.ID, absent, a.ID} {
			h.wantEntry(entries[i], store.KindSession, id, "", "all", "ops")
		}
		h.wantEntry(entries[3], store.KindSubject, store.ID{}, "carl", "all", "ops")
		h.wantEntry(entries[4], store.KindSubject, store.ID{}, "anna", "all", "ops")
		h.wantEntry(entries[5], store.KindEveryone, store.ID{}, "", "all", "ops")
		if last := entries[5].Position; s.Entry != last || s.Head != last {
			h.t.Errorf("entry %d, head %d: want %d", s.Entry, s.Head, last)
		}
		for i, e := range entries {
			if e.Position != entries[0].Position+store.Position(i) {
				h.t.Errorf("entry %d of one call is at %d, the first at %d: want consecutive positions", i, e.Position, entries[0].Position)
			}
			if e.Time.Before(before.Now.Truncate(time.Millisecond)) || e.Time.After(s.Now) {
				h.t.Errorf("an entry of %v, between %v and %v", e.Time, before.Now, s.Now)
			}
		}
	}},
	{name: "AnEndedSessionGetsNoNewEntry", test: func(h *harness) {
		byRevoke, byEnds, byRenew, byLimit := h.family("anna"), h.family("anna"), h.family("anna"), h.family("bob")
		position := map[store.ID]store.Position{byRevoke.ID: h.end(byRevoke.ID)}
		c := login("anna")
		c.Ends = [2]store.ID{byEnds.ID}
		position[byEnds.ID] = h.written(h.Create(h.ctx, c)).Entry
		position[byRenew.ID] = h.written(h.Create(h.ctx, renewal(byRenew))).Entry
		c = login("bob")
		c.Limit, c.EndOldest = 1, true
		position[byLimit.ID] = h.written(h.Create(h.ctx, c)).Entry
		h.nothingWritten(func() {
			for id, p := range position {
				if s := h.unwritten(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{id}})); s.Entry != p {
					h.t.Errorf("entry %d: want the one found, %d", s.Entry, p)
				}
			}
			s := h.unwritten(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{byLimit.ID, byRevoke.ID, byEnds.ID}}))
			if s.Entry != position[byLimit.ID] {
				h.t.Errorf("entry %d: want the highest of those found, %d", s.Entry, position[byLimit.ID])
			}
		}, byRevoke.ID, byEnds.ID, byRenew.ID, byLimit.ID)
	}},
	{name: "AnAbsentSessionGetsOneEntry", test: func(h *harness) {
		id := newID()
		r := store.Revocation{Sessions: []store.ID{id}, Reason: "by hand"}
		head := h.head()
		p := h.revoke(r)
		entries := h.entries(head)
		if len(entries) != 1 {
			h.t.Fatalf("%d entries: want 1", len(entries))
		}
		h.wantEntry(entries[0], store.KindSession, id, "", "by hand", "")
		h.appendUnrelated()
		h.nothingWritten(func() {
			if s := h.unwritten(h.Revoke(h.ctx, r)); s.Entry != p {
				h.t.Errorf("entry %d: want the one found, %d", s.Entry, p)
			}
		})
	}},
	{name: "NamedTwiceIsOneEntry", test: func(h *harness) {
		f, absent := h.family("anna"), newID()
		head := h.head()
		h.revoke(store.Revocation{Sessions: []store.ID{f.ID, absent, f.ID, absent}})
		if n := len(h.entries(head)); n != 2 {
			h.t.Errorf("%d entries: want 2", n)
		}
	}},
	{name: "OnlyWhatIsNewIsAppended", test: func(h *harness) {
		ended, living := h.family("anna"), h.family("anna")
		h.end(ended.ID)
		head := h.head()
		s := h.written(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{living.ID, ended.ID}}))
		entries := h.entries(head)
		if len(entries) != 1 || entries[0].Session != living.ID || s.Entry != entries[0].Position {
			h.t.Errorf("entries %+v, entry %d: want one of %v", entries, s.Entry, living.ID)
		}
		head = h.head()
		s = h.written(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{ended.ID}, Subjects: []string{"anna"}}))
		entries = h.entries(head)
		if len(entries) != 1 || entries[0].Kind != store.KindSubject || s.Entry != entries[0].Position {
			h.t.Errorf("entries %+v, entry %d: want one of the subject", entries, s.Entry)
		}
	}},
	{name: "ASupersedingEntryIsNotAnEnding", test: func(h *harness) {
		f := h.committed("anna", "value")
		p := h.end(f.ID)
		if p <= f.LastCommit {
			h.t.Errorf("ended at %d: want above the commit, %d", p, f.LastCommit)
		}
		h.wantState(store.Ended, f.ID)
	}},
	{name: "ACutOffSessionIsEndedAllTheSame", test: func(h *harness) {
		f := h.family("anna")
		cutoff := h.revokeSubject("anna")
		if p := h.end(f.ID); p <= cutoff {
			h.t.Errorf("ended at %d: want above %d", p, cutoff)
		}
		if s := h.look(f.ID); s.State != store.Ended && s.State != store.CutOff {
			h.t.Errorf("state %v", s.State)
		}
		h.unwritten(h.Revoke(h.ctx, store.Revocation{Sessions: []store.ID{f.ID}}))
	}},
	{name: "SubjectsAndEveryoneAreRevokedAnew", test: func(h *harness) {
		for _, r := range []store.Revocation{{Subjects: []string{"anna"}}, {Subjects: []string{"nobody"}}, {Everyone: true}} {
			first := h.revoke(r)
			f := h.family("anna")
			if second := h.revoke(r); second <= first {
				h.t.Errorf("revoked again at %d: want above %d", second, first)
			}
			if r.Everyone || r.Subjects[0] == "anna" {
				h.wantState(store.CutOff, f.ID)
			}
		}
	}},
	{name: "SubjectsAreComparedByteForByte", test: func(h *harness) {
		subjects := []string{"anna", "Anna", "anna ", "anna\n", "é", "e\u0301", "\ufffd", "%", "*"}
		var fs []store.Family
		for _, s := range subjects {
			fs = append(fs, h.family(s))
		}
		for i, s := range subjects {
			head := h.head()
			h.revokeSubject(s)
			h.wantEntry(h.entries(head)[0], store.KindSubject, store.ID{}, s, "", "")
			h.wantState(store.CutOff, fs[i].ID)
			for _, f := range fs[i+1:] {
				h.wantState(store.Alive, f.ID)
			}
		}
	}},
	{name: "TextsComeBack", test: func(h *harness) {
		r := store.Revocation{Subjects: []string{strings.Repeat("s", store.MaxSubject)}, Reason: strings.Repeat("é", store.MaxReason/2) + "\n", Actor: strings.Repeat("\x01", store.MaxReason)}
		head := h.head()
		h.revoke(r)
		h.wantEntry(h.entries(head)[0], store.KindSubject, store.ID{}, r.Subjects[0], r.Reason, r.Actor)
	}},
	{name: "TheMostEntriesAtOnce", test: func(h *harness) {
		var r store.Revocation
		for range store.MaxEntries / 2 {
			r.Sessions = append(r.Sessions, newID())
			r.Subjects = append(r.Subjects, newID().String())
		}
		r.Sessions[7] = h.family("anna").ID
		head := h.head()
		last := h.revoke(r)
		b, err := h.Since(h.ctx, h.cursor(head), store.MaxEntries, 0)
		if err != nil || len(b.Entries) != store.MaxEntries || b.More || b.Head != last {
			h.t.Fatalf("%d entries, more %v, head %d, %v: want %d, the last at %d", len(b.Entries), b.More, b.Head, err, store.MaxEntries, last)
		}
		for i, id := range r.Sessions {
			if b.Entries[i].Session != id {
				h.t.Fatalf("entry %d is of session %v: want %v", i, b.Entries[i].Session, id)
			}
		}
		h.wantState(store.Ended, r.Sessions[7])
	}},
	{name: "NoFamilyComesBackToLife", test: func(h *harness) {
		ended, cut := h.advanced(h.committed("anna", "value")), h.advanced(h.committed("bob", "value"))
		h.end(ended.ID)
		h.revokeSubject("bob")
		for _, f := range []store.Family{ended, cut} {
			state := h.look(f.ID).State
			h.Advance(h.ctx, next(f))
			h.Advance(h.ctx, raise(f))
			h.Commit(h.ctx, keep(f, "more"))
			h.Reissue(h.ctx, copyOf(f))
			h.Create(h.ctx, renewal(f))
			again := login(f.Subject)
			again.ID = f.ID
			h.Create(h.ctx, again)
			h.Revoke(h.ctx, store.Revocation{Subjects: []string{"carl"}})
			h.wantState(state, f.ID)
		}
	}},
}
