package storetest

import (
	"os"
	"slices"
	"sync"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// scaled returns the number of families for a test of scale. With
// WAFER_SCALE=full it is the number that the contract requires, which takes
// minutes.
func scaled(full, usual int) int {
	if os.Getenv("WAFER_SCALE") == "full" {
		return full
	}
	return usual
}

// crowd makes n families.
func (h *harness) crowd(n int, creation func(i int) store.Creation) {
	const writers = 32
	var done sync.WaitGroup
	for w := range writers {
		done.Go(func() {
			for i := w; i < n; i += writers {
				if s, err := h.engine.Store.Create(h.ctx, creation(i)); err != nil || s.Outcome != store.Written {
					h.t.Errorf("family %d: %v, %v", i, s.Outcome, err)
					return
				}
			}
		})
	}
	done.Wait()
	if h.t.Failed() {
		h.t.FailNow()
	}
}

// short checks that a revocation of many takes about as long as one of a single
// session, since it is one entry whatever it cuts off. It measures three times,
// with as many to cut off as again makes, and the quickest counts: the others
// may have waited for the processor or the disk.
func (h *harness) short(r store.Revocation, again func()) {
	var single []time.Duration
	for range 9 {
		f := h.family("somebody")
		began := time.Now()
		h.end(f.ID)
		single = append(single, time.Since(began))
	}
	slices.Sort(single)
	took := time.Hour
	for i := range 3 {
		if i > 0 {
			again()
		}
		head := h.head()
		began := time.Now()
		h.written(h.Revoke(h.ctx, r))
		took = min(took, time.Since(began))
		if n := len(h.entries(head)); n != 1 {
			h.t.Errorf("%d entries: want 1", n)
		}
	}
	if usual := single[len(single)/2]; took > 20*usual+50*time.Millisecond {
		h.t.Errorf("it took %v, and one session takes %v", took, usual)
	}
}

var scaling = []property{
	{name: "ManyFamiliesOfOneSubject", test: func(h *harness) {
		h.crowd(scaled(100_000, rounds.Of(1_200, 2_000)), func(int) store.Creation { return login("anna") })
		if p, err := h.Families(h.ctx, store.Query{Subject: "anna", Limit: store.MaxLooked}); err != nil || len(p.Families) != store.MaxLooked || p.Next == (store.PageCursor{}) {
			h.t.Fatalf("%d families, next %v, %v", len(p.Families), p.Next, err)
		}
		last := h.family("anna")
		h.short(store.Revocation{Subjects: []string{"anna"}}, func() { h.crowd(scaled(100_000, 200), func(int) store.Creation { return login("anna") }) })
		h.wantState(store.CutOff, last.ID)
		h.walksNoneOf("anna")
		h.wantState(store.Alive, h.family("anna").ID)
	}},
	{name: "EveryoneOverManyFamilies", test: func(h *harness) {
		h.crowd(scaled(1_000_000, rounds.Of(1_500, 4_000)), func(int) store.Creation { return login("anna" + newID().String()) })
		last := h.family("anna")
		h.short(store.Revocation{Everyone: true}, func() {
			h.crowd(scaled(1_000_000, 400), func(int) store.Creation { return login("anna" + newID().String()) })
		})
		h.wantState(store.CutOff, last.ID)
		h.walksNoneOf("")
		h.wantState(store.Alive, h.family("anna").ID)
	}},
}

// walksNoneOf checks that no call walks the families that were cut off together: a
// list of them ends at once, and a login passes none.
func (h *harness) walksNoneOf(subject string) {
	h.t.Helper()
	if p := h.page(store.Query{Subject: subject, Limit: 1}); len(p.Families) != 0 || p.Next != (store.PageCursor{}) {
		h.t.Errorf("of %q there are %d families, next %v: want none", subject, len(p.Families), p.Next)
	}
	if subject != "" {
		c := login(subject)
		c.Limit = 1
		h.written(h.Create(h.ctx, c))
	}
}
