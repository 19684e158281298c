package storetest

import (
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

var creating = []property{
	{name: "BirthAndPositionAreTheHead", test: func(h *harness) {
		for range 3 {
			head := h.appendUnrelated()
			s := h.written(h.Create(h.ctx, login("anna")))
			if f := s.Family; s.Head != head || f.Birth != head || f.Position != head {
				h.t.Errorf("head %d, birth %d, position %d: want all %d", s.Head, f.Birth, f.Position, head)
			}
			if s.Entry != 0 || s.State != store.Alive {
				h.t.Errorf("entry %d, state %v: want none, alive", s.Entry, s.State)
			}
		}
	}},
	{name: "ANewFamilyIsTheFirstGeneration", test: func(h *harness) {
		c := login("anna")
		c.Value = []byte("without Renews it is not kept")
		before := h.look(newID()).Now
		s := h.written(h.Create(h.ctx, c))
		f := s.Family
		if f.Generation != 1 || f.Copy != 0 || f.Used != 0 || f.LastCommit != 0 || f.Value != nil {
			h.t.Errorf("generation %d, copy %d, used %d, last commit %d, value %q", f.Generation, f.Copy, f.Used, f.LastCommit, f.Value)
		}
		if f.Started.Before(before.Truncate(time.Millisecond)) || f.Started.After(s.Now) {
			h.t.Errorf("started %v: want between %v and %v", f.Started, before, s.Now)
		}
		if !f.Authenticated.Equal(f.Started) || !f.Issued.Equal(f.Started) || f.Absolute != c.Absolute || f.Idle != c.Idle {
			h.t.Errorf("times %+v of limits %v and %v", f, c.Idle, c.Absolute)
		}
		h.same(h.look(c.ID).Family, f)
	}},
	{name: "EveryByteComesBack", test: func(h *harness) {
		for _, subject := range []string{
			"anna", "Anna", "anna ", " anna", "anna\n", "\x01", "a%_'\"\\:{}*?[", "é", "e\u0301", "\ufffd", "\U0010ffff",
			strings.Repeat("s", store.MaxSubject), strings.Repeat("é", store.MaxSubject/2),
		} {
			c := login(subject)
			c.Label = strings.Repeat("é", store.MaxLabel/2) + "\n"
			c.Native = true
			c.Idle, c.Absolute = 50*365*24*time.Hour, 100*365*24*time.Hour
			f := h.written(h.Create(h.ctx, c)).Family
			got := h.look(c.ID).Family
			h.same(got, f)
			if got.ID != c.ID || got.Subject != subject || got.Label != c.Label || !got.Native || got.Idle != c.Idle || got.Absolute != c.Absolute {
				h.t.Errorf("%+v became %+v", c, got)
			}
			h.wantFamilies(subject, 10, c.ID)
		}
	}},
	{name: "ShortLimitsAreKeptToTheMillisecond", test: func(h *harness) {
		c := login("anna")
		c.Idle, c.Absolute = 1001*time.Millisecond, 1003*time.Millisecond
		f := h.written(h.Create(h.ctx, c)).Family
		if f.Idle != c.Idle || f.Absolute != c.Absolute {
			h.t.Errorf("limits %v and %v: want %v and %v", f.Idle, f.Absolute, c.Idle, c.Absolute)
		}
	}},
	{name: "AnIDIsTakenForGood", test: func(h *harness) {
		living, ended, cut, other := h.family("anna"), h.family("anna"), h.family("bob"), h.family("carl")
		h.end(ended.ID)
		h.revokeSubject("bob")
		for state, id := range map[store.State]store.ID{store.Alive: living.ID, store.Ended: ended.ID, store.CutOff: cut.ID} {
			c := login("anna")
			c.ID, c.Ends = id, [2]store.ID{other.ID}
			h.nothingWritten(func() {
				if s := h.taken(h.Create(h.ctx, c)); s.State != state || s.Entry != 0 {
					h.t.Errorf("state %v, entry %d: want %v, none", s.State, s.Entry, state)
				}
			}, id, other.ID)
		}
	}},
	{name: "CalledAgainItIsTakenByTheSameFamily", test: func(h *harness) {
		// An answer was lost. Whatever the first call has changed since, the
		// second finds the family.
		ends, old := h.family("anna"), h.committed("anna", "value")
		for range 2 {
			h.family("anna")
		}
		c := renewal(old)
		c.Ends = [2]store.ID{ends.ID}
		c.Limit, c.NotBefore, c.Value = 3, h.head(), []byte("carried")
		f := h.written(h.Create(h.ctx, c)).Family
		h.nothingWritten(func() {
			s := h.taken(h.Create(h.ctx, c))
			if s.State != store.Alive {
				h.t.Errorf("state %v", s.State)
			}
			h.same(s.Family, f)
		}, f.ID)

		c = login("bob")
		c.NotBefore, c.Limit = h.head(), 1
		f = h.written(h.Create(h.ctx, c)).Family
		h.revokeSubject("bob")
		if s := h.taken(h.Create(h.ctx, c)); s.State != store.CutOff || s.Family.ID != f.ID {
			h.t.Errorf("state %v: want cut off", s.State)
		}
	}},
	{name: "NotBeforeIsEarlyAfterARevocationOfTheSubject", test: func(h *harness) {
		old := h.family("anna")
		at := h.head()
		cutoff := h.revokeSubject("anna")
		h.wantEarly("anna", at, old.ID)
		h.wantEarly("anna", cutoff-1, old.ID)
		h.wantPermitted("anna", cutoff)
		h.wantPermitted("bob", at)
	}},
	{name: "NotBeforeIsEarlyAfterARevocationOfEveryone", test: func(h *harness) {
		at := h.head()
		h.wantEarly("anna", at-1) // the first entry of the log
		h.wantPermitted("anna", at)
		old := h.family("anna")
		cutoff := h.revokeEveryone()
		h.wantEarly("anna", at, old.ID)
		h.wantEarly("nobody", cutoff-1, old.ID)
		h.wantPermitted("nobody", cutoff)
	}},
	{name: "NotBeforeIsNotAboutSessions", test: func(h *harness) {
		at := h.head()
		f := h.family("anna")
		h.end(f.ID)
		h.committed("anna", "value")
		h.wantPermitted("anna", at)
	}},
	{name: "WithoutNotBeforeALoginIsNeverEarly", test: func(h *harness) {
		h.revokeSubject("anna")
		h.revokeEveryone()
		h.wantPermitted("anna", 0)
	}},
}

// wantEarly requests a family that would replace another, and checks that
// neither happens.
func (h *harness) wantEarly(subject string, notBefore store.Position, watched ...store.ID) {
	h.t.Helper()
	ends := h.family("someone else")
	c := login(subject)
	c.NotBefore, c.Ends = notBefore, [2]store.ID{ends.ID}
	h.nothingWritten(func() {
		h.t.Helper()
		h.early(h.Create(h.ctx, c))
	}, append(watched, ends.ID, c.ID)...)
}

func (h *harness) wantPermitted(subject string, notBefore store.Position) {
	h.t.Helper()
	c := login(subject)
	c.NotBefore = notBefore
	h.written(h.Create(h.ctx, c))
	h.wantState(store.Alive, c.ID)
}
