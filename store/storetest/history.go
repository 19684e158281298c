package storetest

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

var remembering = []property{
	{name: "RandomOperationsAtOnce", test: func(h *harness) {
		h.repeat(rounds.Of(2, 3), func(h *harness, seed uint64) { newHistory(h, []*harness{h}, seed).run() })
	}},
}

// history is the record of calls from several goroutines, with their answers.
// No time passes and nothing is dropped, so the resulting log and an answer's
// head determine the family's state in that answer.
type history struct {
	h        *harness
	handles  []*harness
	seed     uint64
	clock    atomic.Int64 // orders beginnings and ends of calls
	subjects []string

	mu       sync.Mutex
	families []store.Family // as they were last seen by some goroutine
	events   []event
}

// event is one call and its answer.
type event struct {
	began, ended int64
	method       string
	id           store.ID       // the family that the Snapshot is about
	basis        store.Position // of Advance, Reissue, Commit, Renews and Except
	copied       uint16         // the copy presented to Advance or Reissue
	positionOnly bool           // Advance with PositionOnly
	key          store.Key      // of the proof, or the one to bind
	seal         store.Seal     // that was verified
	renews       store.ID
	store.Snapshot
}

func newHistory(h *harness, handles []*harness, seed uint64) *history {
	y := &history{h: h, handles: handles, seed: seed, subjects: []string{"anna", "bob"}}
	for i := range 6 {
		c := login(y.subjects[i%2])
		if i > 3 {
			c.Actor, c.Names = y.subjects[1-i%2], named("n")
		}
		y.families = append(y.families, h.create(c))
	}
	for _, f := range y.families {
		s := h.look(f.ID)
		s.Outcome = store.Written
		y.events = append(y.events, event{method: "Create", id: f.ID, Snapshot: s})
	}
	return y
}

func (y *history) run() {
	const workers, steps = 6, 120
	together(workers, func(i int) {
		r := rand.New(rand.NewPCG(y.seed, uint64(i)))
		for range steps {
			y.step(r, y.handles[r.IntN(len(y.handles))])
		}
	})
	for _, id := range y.ids() {
		y.call(event{method: "Family", id: id}, func() (store.Snapshot, error) { return y.h.Family(y.h.ctx, id) })
	}
	y.judge(y.h.entries(0))
}

func (y *history) ids() []store.ID {
	var ids []store.ID
	for _, e := range y.events {
		if !slices.Contains(ids, e.id) && e.State != store.Absent {
			ids = append(ids, e.id)
		}
	}
	return ids
}

// call makes and records a call, and shows the family to the other goroutines.
func (y *history) call(e event, act func() (store.Snapshot, error)) {
	e.began = y.clock.Add(1)
	s, err := act()
	e.ended = y.clock.Add(1)
	if err != nil {
		y.h.t.Errorf("%s: %v", e.method, err)
		return
	}
	e.Snapshot = s
	y.mu.Lock()
	defer y.mu.Unlock()
	y.events = append(y.events, e)
	if s.State == store.Absent {
		return
	}
	for i := range y.families {
		if y.families[i].ID == s.Family.ID {
			y.families[i] = s.Family
			return
		}
	}
	y.families = append(y.families, s.Family)
}

func (y *history) pick(r *rand.Rand) store.Family {
	y.mu.Lock()
	defer y.mu.Unlock()
	recent := y.families[max(0, len(y.families)-8):]
	return recent[r.IntN(len(recent))]
}

func (y *history) step(r *rand.Rand, h *harness) {
	ctx := h.ctx
	f := y.pick(r)
	basis := f.Position
	if r.IntN(10) == 0 {
		basis = f.Birth
	}
	e := event{id: f.ID, basis: basis, key: f.Key, seal: f.Seal}
	switch n := r.IntN(100); {
	case n < 37:
		a := next(f)
		a.Basis, a.PositionOnly = basis, n < 5
		e.method, e.copied, e.positionOnly = "Advance", a.Copy, a.PositionOnly
		y.call(e, func() (store.Snapshot, error) { return h.Advance(ctx, a) })
	case n < 41:
		b := binding(f, newKey())
		b.Counts = n < 40
		e.method, e.key = "Bind", b.Key
		y.call(e, func() (store.Snapshot, error) { return h.Bind(ctx, b) })
	case n < 55:
		c := keep(f, "value")
		c.Basis = basis
		e.method = "Commit"
		y.call(e, func() (store.Snapshot, error) { return h.Commit(ctx, c) })
	case n < 65:
		c := copyOf(f)
		c.Generation, c.Basis = max(1, c.Generation), basis
		e.method, e.copied = "Reissue", c.Copy
		y.call(e, func() (store.Snapshot, error) { return h.Reissue(ctx, c) })
	case n < 75:
		y.call(event{method: "Family", id: f.ID}, func() (store.Snapshot, error) { return h.Family(ctx, f.ID) })
	case n < 85:
		c := login(y.subjects[r.IntN(2)])
		c.Limit, c.EndOldest = r.IntN(6), true
		if r.IntN(3) == 0 {
			c.Actor = y.subjects[r.IntN(2)]
		}
		if r.IntN(3) == 0 {
			c.Names = named([]string{"m", "n"}[r.IntN(2)], "o")
		}
		if r.IntN(3) == 0 {
			c.Ends[r.IntN(2)] = f.ID
		}
		y.call(event{method: "Create", id: c.ID}, func() (store.Snapshot, error) { return h.Create(ctx, c) })
	case n < 91:
		c := renewal(f)
		c.Renews.Basis, c.Value = basis, []byte("renewed")
		e.method, e.id, e.renews = "Renew", c.ID, f.ID
		y.call(e, func() (store.Snapshot, error) { return h.Create(ctx, c) })
	case n < 92:
		y.call(event{method: "Revoke"}, func() (store.Snapshot, error) {
			return h.Revoke(ctx, store.Revocation{Sessions: []store.ID{f.ID}})
		})
	case n < 94:
		// The position is above that of the family when last seen, so if it has
		// ended since, that covers the entry.
		lost := lostSession(f.ID, f.Position+1)
		if r.IntN(3) == 0 {
			lost = lostSubject(f.Subject, f.Birth+1)
		}
		y.call(event{method: "Restore"}, func() (store.Snapshot, error) { return h.Restore(ctx, restoration(lost)) })
	case n < 97:
		x := elsewhere(f)
		x.Except.Basis = basis
		e.method = "Except"
		y.call(e, func() (store.Snapshot, error) { return h.Revoke(ctx, x) })
	case n < 98:
		y.call(event{method: "Revoke"}, func() (store.Snapshot, error) {
			return h.Revoke(ctx, revokeName([]string{"m", "n", "o"}[r.IntN(3)]))
		})
	case n < 99:
		y.call(event{method: "Revoke"}, func() (store.Snapshot, error) {
			return h.Revoke(ctx, store.Revocation{Subjects: []string{f.Subject}})
		})
	default:
		y.call(event{method: "Revoke"}, func() (store.Snapshot, error) { return h.Revoke(ctx, store.Revocation{Everyone: true}) })
	}
}

// judge checks all answers against the log.
func (y *history) judge(log []store.Entry) {
	at := map[store.Position]store.Entry{}
	endings := map[store.ID]int{}
	var previous store.Position
	for _, e := range log {
		if e.Previous != previous {
			y.h.t.Errorf("entry %d, after %d, names %d", e.Position, previous, e.Previous)
		}
		previous = e.Position
		at[e.Position] = e
		if e.Kind == store.KindSession {
			if endings[e.Session]++; endings[e.Session] > 1 {
				y.h.t.Errorf("session %v has %d entries", e.Session, endings[e.Session])
			}
		}
	}
	for i := range y.events {
		e := &y.events[i]
		if e.method == "Renew" && (e.Outcome == store.Unwritten || e.Outcome == store.Behind || e.Outcome == store.Changed) {
			e.id = e.renews
		}
		if _, ok := at[e.Entry]; e.Entry != 0 && !ok {
			y.wrong(*e, "its entry is not in the log")
		}
		if e.State != store.Absent {
			y.state(*e, log)
		}
		y.written(*e)
	}
	y.winners()
	y.lineages(log)
	y.order(log)
}

// cuts reports whether an entry cuts a family off, if it is above its birth.
func cuts(e store.Entry, f *store.Family) bool {
	return e.Kind == store.KindEveryone || e.Kind == store.KindSubject && (e.Subject == f.Subject || f.Actor != "" && e.Subject == f.Actor)
}

func (y *history) wrong(e event, format string, args ...any) {
	y.h.t.Helper()
	f := e.Family
	y.h.t.Errorf("%s of %v, calls %d to %d: %v, a family %v, birth %d, position %d, last commit %d, copy %d of generation %d from %d; entry %d, head %d, basis %d: "+format,
		append([]any{e.method, e.id, e.began, e.ended, e.Outcome, e.State, f.Birth, f.Position, f.LastCommit, f.Copy, f.Generation, f.Used, e.Entry, e.Head, e.basis}, args...)...)
}

// state derives the state of the family from the log up to the answer's head.
func (y *history) state(e event, log []store.Entry) {
	var cutoff, ending, superseding, named store.Position
	for _, l := range log {
		switch {
		case l.Position > e.Head:
		case cuts(l, &e.Family):
			cutoff = l.Position
		case l.Kind == store.KindName && slices.Contains(e.Family.Names, l.Name) && e.Family.Birth < l.Position:
			named = l.Position // it is ended with the name's entry
		case l.Kind == store.KindSession && l.Session == e.id:
			ending = l.Position
		case l.Kind == store.KindSuperseding && l.Session == e.id:
			superseding = l.Position
		}
	}
	cut, ended := cutoff > e.Family.Birth, ending != 0
	switch e.State {
	case store.Alive:
		if cut || ended || named != 0 {
			y.wrong(e, "by its head it is cut off at %d, or ended at %d, or with a name at %d", cutoff, ending, named)
		}
		if superseding != 0 && e.Family.LastCommit != superseding {
			y.wrong(e, "by its head it is committed at %d", superseding)
		}
	case store.CutOff:
		if !cut {
			y.wrong(e, "by its head the last cutoff is %d", cutoff)
		}
	case store.Ended:
		if !ended && !cut { // a call that met one that is cut off may have ended it
			y.wrong(e, "by its head nothing ended it")
		}
	}
}

// written checks what an outcome implies for its own answer.
func (y *history) written(e event) {
	f := e.Family
	switch e.Outcome {
	case store.Changed:
		if e.State != store.Alive || f.Seal == e.seal {
			y.wrong(e, "it was not changed")
		}
	case store.Behind:
		if e.State != store.Alive || f.LastCommit <= e.basis {
			y.wrong(e, "it was not behind")
		}
	case store.Written:
		if e.method != "Revoke" && e.method != "Restore" && e.method != "Except" && e.State != store.Alive {
			y.wrong(e, "written to the dead")
		}
		ok := true
		if e.method != "Bind" && e.method != "Revoke" && e.method != "Restore" && (e.method != "Except" || f.Birth == e.Entry) && f.Counts && f.Key != e.key {
			y.wrong(e, "written without a proof by its key")
		}
		switch e.method {
		case "Bind":
			ok = f.Key == e.key && f.Seal != e.seal
		case "Advance":
			ok = f.Position == e.Head && f.LastCommit <= e.basis && (e.positionOnly || f.Copy == 0 && f.Used == e.copied)
		case "Reissue":
			ok = f.Position == e.Head && f.LastCommit <= e.basis && f.Copy > 0 && f.Used == e.copied
		case "Commit":
			ok = f.Position == e.Entry && f.LastCommit == e.Entry && e.Entry == e.Head
		case "Create", "Renew":
			ok = f.Birth == e.Head && f.Position == e.Head && f.Generation == 1 && f.Copy == 0 && f.Used == 0 && f.First.IsZero() == (e.method == "Create" || f.Key.IsZero())
		case "Except":
			ok = e.Entry == e.Head && (e.State != store.Alive || f.Birth == e.Entry && f.Position == e.Entry && f.LastCommit <= e.basis)
		case "Revoke", "Restore":
			ok = e.Entry == e.Head
		}
		if !ok {
			y.wrong(e, "the answer does not fit")
		}
	}
}

// winners checks that a generation has one successor, that a copy is issued once,
// that a family is renewed once and bound once, and that no commit continued from data that
// another had replaced.
func (y *history) winners() {
	type once struct {
		what       string
		id         store.ID
		generation uint32
		copied     uint16
	}
	won := map[once]int64{}
	commits := map[store.ID][]event{}
	for _, e := range y.events {
		if e.Outcome != store.Written || e.positionOnly {
			continue
		}
		key := once{what: e.method, id: e.id}
		switch e.method {
		case "Advance":
			key.generation = e.Family.Generation
		case "Renew":
			key.id = e.renews
		case "Commit":
			commits[e.id] = append(commits[e.id], e)
			continue
		case "Reissue":
			key.generation, key.copied = e.Family.Generation, e.Family.Copy
		default:
			continue
		}
		if first, ok := won[key]; ok {
			y.wrong(e, "call %d had been written before", first)
		}
		won[key] = e.began
	}
	for _, es := range commits {
		slices.SortFunc(es, func(a, b event) int { return int(int64(a.Entry) - int64(b.Entry)) })
		for i, e := range es[1:] {
			if e.basis < es[i].Entry {
				y.wrong(e, "another had committed at %d", es[i].Entry)
			}
		}
	}
}

// lineages checks that no family was reborn over a cutoff: no entry of its
// session, its subject or everyone lies between two of its births.
func (y *history) lineages(log []store.Entry) {
	births := map[store.ID][]event{}
	for _, e := range y.events {
		first := e.method == "Create" || e.method == "Renew"
		again := e.method == "Except" && e.State == store.Alive
		if e.Outcome == store.Written && (first || again) {
			births[e.id] = append(births[e.id], e)
		}
	}
	for _, es := range births {
		slices.SortFunc(es, func(a, b event) int { return int(int64(a.Family.Birth) - int64(b.Family.Birth)) })
		for i, e := range es[1:] {
			for _, l := range log {
				between := l.Position > es[i].Family.Birth && l.Position < e.Family.Birth
				if between && (cuts(l, &e.Family) || l.Kind == store.KindSession && l.Session == e.id) {
					y.wrong(e, "reborn over the %v entry %d, born before at %d", l.Kind, l.Position, es[i].Family.Birth)
				}
			}
		}
	}
}

// order checks that a call sees everything that was seen by calls that ended
// before it began.
func (y *history) order(log []store.Entry) {
	byID := map[store.ID][]event{}
	for _, e := range y.events {
		if !e.id.IsZero() && e.Outcome != store.Early && e.Outcome != store.Full {
			byID[e.id] = append(byID[e.id], e)
		}
	}
	for _, es := range byID {
		for _, a := range es {
			for _, b := range es {
				if a.ended >= b.began || a.State == store.Absent {
					continue
				}
				switch f, g := a.Family, b.Family; {
				case b.State == store.Absent:
					// A call that met it cut off may have removed it.
					if !slices.ContainsFunc(log, func(l store.Entry) bool { return l.Position <= b.Head && l.Position > f.Birth && cuts(l, &f) }) {
						y.wrong(b, "call %d had seen it", a.began)
					}
				case a.State != store.Alive && b.State == store.Alive:
					y.wrong(b, "call %d had seen it %v", a.began, a.State)
				case f.Counts && !g.Counts || !f.Key.IsZero() && f.Key != g.Key || f.First != g.First || f.Key == g.Key && f.Seal != g.Seal:
					y.wrong(b, "call %d had seen key %x, counts %v, first %v, seal %x", a.began, f.Key, f.Counts, f.First, f.Seal)
				case b.Head < a.Head || g.Birth < f.Birth || g.Position < f.Position || g.LastCommit < f.LastCommit || cmp.Or(cmp.Compare(g.Generation, f.Generation), cmp.Compare(g.Copy, f.Copy)) < 0 || g.Generation == f.Generation && g.Used != f.Used || g.Issued.Before(f.Issued.Add(-time.Minute)):
					y.wrong(b, "call %d had seen head %d, birth %d, position %d, last commit %d, copy %d of generation %d from %d", a.began, a.Head, f.Birth, f.Position, f.LastCommit, f.Copy, f.Generation, f.Used)
				}
			}
		}
	}
}
