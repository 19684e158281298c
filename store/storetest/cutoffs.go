package storetest

import (
	"time"

	"github.com/waferkit/wafer/store"
)

var cutting = []property{
	{name: "EachFieldIsTheHighestThatNamesIt", test: func(h *harness) {
		f, other := h.family("anna"), h.family("bob")
		first := h.cutoffs(store.ID{}, "").Everyone
		var want store.Cutoffs
		check := func() {
			h.t.Helper()
			if want.Everyone == 0 {
				want.Everyone = first
			}
			got := h.cutoffs(f.ID, "anna")
			if got.Ending != want.Ending || got.Superseding != want.Superseding || got.Subject != want.Subject || got.Everyone != want.Everyone || got.Head != h.head() || got.Floor != 0 {
				h.t.Errorf("%+v: want %+v", got, want)
			}
		}
		check()
		for range 2 {
			h.end(other.ID)
			h.revokeSubject("bob")
			other = h.family("bob")
			f = h.written(h.Commit(h.ctx, keep(f, "value"))).Family
			want.Superseding = f.LastCommit
			check()
			f = h.written(h.Revoke(h.ctx, elsewhere(f))).Family
			want.Subject = f.Birth
			check()
		}
		want.Ending = h.end(f.ID)
		check()
		for range 2 {
			want.Everyone = h.revokeEveryone()
			check()
			want.Subject = h.revokeSubject("anna")
			check()
		}
	}},
	{name: "NothingAskedIsNothingFound", test: func(h *harness) {
		f := h.committed("anna", "value")
		end := h.end(f.ID)
		subject := h.revokeSubject("anna")
		if c := h.cutoffs(store.ID{}, "anna"); c.Ending != 0 || c.Superseding != 0 || c.Subject != subject {
			h.t.Errorf("without a session: %+v", c)
		}
		if c := h.cutoffs(f.ID, ""); c.Ending != end || c.Superseding != f.LastCommit || c.Subject != 0 {
			h.t.Errorf("without a subject: %+v", c)
		}
		if c := h.cutoffs(store.ID{}, ""); c.Ending != 0 || c.Superseding != 0 || c.Subject != 0 || c.Everyone == 0 {
			h.t.Errorf("without either: %+v", c)
		}
		if c := h.cutoffs(newID(), "nobody"); c.Ending != 0 || c.Superseding != 0 || c.Subject != 0 {
			h.t.Errorf("of others: %+v", c)
		}
		// The session and the subject do not belong together.
		if c := h.cutoffs(f.ID, "nobody"); c.Ending != end || c.Subject != 0 {
			h.t.Errorf("of a session and another's subject: %+v", c)
		}
	}},
	{name: "EveryEndingCounts", test: func(h *harness) {
		absent, ends, renewed, oldest := newID(), h.family("anna"), h.family("anna"), h.family("bob")
		want := map[store.ID]store.Position{absent: h.end(absent)}
		c := login("anna")
		c.Ends = [2]store.ID{ends.ID}
		want[ends.ID] = h.written(h.Create(h.ctx, c)).Entry
		want[renewed.ID] = h.written(h.Create(h.ctx, renewal(renewed))).Entry
		c = login("bob")
		c.Limit, c.EndOldest = 1, true
		want[oldest.ID] = h.written(h.Create(h.ctx, c)).Entry
		for id, p := range want {
			if got := h.cutoffs(id, "anna").Ending; got != p || p == 0 {
				h.t.Errorf("ending cutoff %d: want %d", got, p)
			}
		}
	}},
	{name: "TheLongestStalenessIsTold", test: func(h *harness) {
		want := time.Duration(0)
		for _, announced := range []time.Duration{0, 40 * time.Second, 3 * time.Second, 0, time.Minute, 1500 * time.Millisecond} {
			if announced != 0 {
				if _, err := h.Announce(h.ctx, store.Announcement{Access: time.Hour, MaxStaleness: announced, Realm: realm}); err != nil {
					h.t.Fatalf("Announce: %v", err)
				}
			}
			want = max(want, announced)
			if got := h.cutoffs(newID(), "anna").MaxStaleness; got != want {
				h.t.Errorf("after %v was announced: %v: want %v", announced, got, want)
			}
		}
	}},
	{name: "TheTimeIsTheEngines", timed: true, test: func(h *harness) {
		began := time.Now()
		a := h.cutoffs(store.ID{}, "").Now
		h.pass(h.unit())
		b, err := h.Since(h.ctx, store.Cursor{}, 1, 0)
		c := h.look(newID()).Now
		if err != nil || b.Now.Sub(a) < h.unit() || c.Before(b.Now) || c.Sub(a) > 2*h.unit()+time.Since(began)+time.Second {
			h.t.Errorf("%v, then, %v later, %v and %v, %v", a, h.unit(), b.Now, c, err)
		}
	}},
}
