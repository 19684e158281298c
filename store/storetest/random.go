package storetest

import (
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// seed returns the seed in WAFER_SEED, or a new one.
func seed(t *testing.T) uint64 {
	if s := os.Getenv("WAFER_SEED"); s != "" {
		n, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatalf("WAFER_SEED: %v", err)
		}
		return n
	}
	return rand.Uint64()
}

// long returns the duration in WAFER_LONG, or 0.
func long(t *testing.T) time.Duration {
	s := os.Getenv("WAFER_LONG")
	if s == "" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("WAFER_LONG: %v", err)
	}
	return d
}

// repeat runs act on new stores, each with its seed. It runs a minimum number
// of rounds, and in a full run continues for a while if the engine is fast.
func (h *harness) repeat(times int, act func(h *harness, seed uint64)) {
	once := os.Getenv("WAFER_SEED") != ""
	until := time.Now().Add(long(h.t))
	if rounds.Full() {
		until = time.Now().Add(max(long(h.t), 2*time.Second))
	}
	for i := 0; i < times || time.Now().Before(until); i++ {
		n := seed(h.t)
		if !h.t.Run(strconv.FormatUint(n, 10), func(t *testing.T) {
			t.Cleanup(func() {
				if t.Failed() {
					t.Logf("to repeat: WAFER_SEED=%d", n)
				}
			})
			act(newHarness(t, h.open, h.slack), n)
		}) || once {
			return
		}
	}
}

var modelling = []property{
	{name: "RandomOperations", test: func(h *harness) {
		h.repeat(rounds.Of(2, 4), func(h *harness, seed uint64) { newWalk(h, seed).run(500) })
	}},
}

// walk makes random calls. Most are those of honest clients. Some are out of
// date, of the other kind, or of families that do not exist.
type walk struct {
	*rand.Rand
	m        *model
	subjects []string
	handles  []string           // of names
	keys     []store.Key        // of devices
	logouts  []store.Revocation // of names, to be resumed
	page     store.PageCursor
	ids      []store.ID // families that were requested
	unknown  []store.ID // sessions that were never families
	old      []store.Family
}

func newWalk(h *harness, seed uint64) *walk {
	w := &walk{Rand: rand.New(rand.NewPCG(seed, 0)), m: newModel(h), subjects: []string{"anna", "bob", "carl"}, handles: []string{"k", "l", "m", "n", "o"}}
	for range 2 {
		var key store.Key
		for i := range key {
			key[i] = byte(w.Uint32())
		}
		w.keys = append(w.keys, key)
	}
	for range 3 {
		w.unknown = append(w.unknown, w.newID())
	}
	return w
}

func (w *walk) newID() store.ID {
	var id store.ID
	for i := range id {
		id[i] = byte(w.Uint32())
	}
	return id
}

func pick[T any](r *rand.Rand, from []T) T { return from[r.IntN(len(from))] }

func (w *walk) chance(percent int) bool { return w.IntN(100) < percent }

func (w *walk) run(steps int) {
	for range steps {
		if w.m.h.engine.Clock != nil && w.chance(10) {
			w.m.h.pass(time.Duration(w.IntN(600_000)) * time.Millisecond)
		}
		w.step()
	}
	for _, id := range w.ids {
		w.m.family(id)
	}
}

func (w *walk) step() {
	m := w.m
	f := w.family()
	if len(w.old) == 0 || w.chance(20) {
		w.old = append(w.old, f)
	}
	switch n := w.IntN(100); {
	case n < 22:
		m.create(w.creation(f))
	case n < 42:
		a := next(f)
		a.Basis, a.Key = w.basis(f), w.proof(f)
		if w.chance(10) {
			a.Generation = uint32(1 + w.IntN(5))
		}
		if w.chance(30) {
			a.Copy = uint16(w.IntN(5)) // often one that is older, or was never issued
		}
		if w.chance(5) {
			a.Native = !a.Native
		}
		if w.chance(30) {
			a.Age, a.Lag, a.Skew = w.age(), uint16(w.IntN(4)), time.Second
		}
		a.PositionOnly = w.chance(15)
		m.advance(a)
	case n < 48:
		b := binding(f, pick(w.Rand, w.keys))
		if b.Counts = w.chance(50); w.chance(20) {
			b.Verified = pick(w.Rand, w.old).Seal
		}
		m.bind(b)
	case n < 55:
		m.commit(store.Commit{ID: f.ID, Basis: w.basis(f), Key: w.proof(f), Value: []byte{byte(w.Uint32())}, Above: w.above(), Actor: pick(w.Rand, []string{"", "a", "b"})})
	case n < 65:
		r := copyOf(f)
		r.Basis, r.Key = w.basis(f), w.proof(f)
		if r.Generation == 0 || w.chance(10) {
			r.Generation = uint32(1 + w.IntN(5))
		}
		if w.chance(10) {
			r.Copy = uint16(w.IntN(5))
		}
		if w.chance(5) {
			r.Native = !r.Native
		}
		if w.chance(20) {
			r.Age, r.Skew = w.age(), time.Second
		}
		m.reissue(r)
	case n < 77:
		m.revoke(w.revocation(f))
	case n < 80:
		m.restore(w.restoration())
	case n < 86:
		m.family(f.ID)
	case n < 95:
		q := store.Query{Limit: 1 + w.IntN(6)}
		if w.chance(40) {
			q.Subject = pick(w.Rand, w.subjects)
		}
		if w.chance(70) {
			q.After = w.page
		}
		w.page = m.list(q)
	default:
		id, subject := f.ID, pick(w.Rand, w.subjects)
		if w.chance(20) {
			id = pick(w.Rand, w.unknown)
		}
		m.cutoffs(id, subject)
	}
}

// family picks a family in its current state, in an earlier state, or one that
// does not exist. Families that were requested lately are picked more often,
// since more of them are alive.
func (w *walk) family() store.Family {
	if len(w.ids) == 0 || w.chance(3) {
		return store.Family{ID: pick(w.Rand, w.unknown), Subject: "anna", Generation: 1}
	}
	if len(w.old) > 0 && w.chance(8) {
		return pick(w.Rand, w.old)
	}
	ids := w.ids
	if len(ids) > 12 && w.chance(80) {
		ids = ids[len(ids)-12:]
	}
	if f := w.m.families[pick(w.Rand, ids)]; f != nil {
		return f.Family
	}
	return store.Family{ID: pick(w.Rand, w.unknown), Subject: "anna", Generation: 1}
}

func (w *walk) basis(f store.Family) store.Position {
	if w.chance(15) {
		return f.Birth
	}
	return f.Position
}

// proof picks the key of a proof: mostly the family's.
func (w *walk) proof(f store.Family) store.Key {
	switch n := w.IntN(10); {
	case n < 1:
		return store.Key{}
	case n < 2:
		return pick(w.Rand, w.keys)
	}
	return f.Key
}

// settled reports whether the contract leaves open nothing about a family's row: no
// call removes it.
func (w *walk) settled(id store.ID) bool {
	f := w.m.families[id]
	return f == nil || !w.m.removable(f, w.now())
}

func (w *walk) age() time.Duration { return time.Duration(w.IntN(300)) * time.Second }

func (w *walk) above() store.Position {
	if w.chance(10) {
		return w.m.head() + store.Position(w.IntN(100))
	}
	return 0
}

func (w *walk) creation(f store.Family) store.Creation {
	c := store.Creation{
		ID: w.newID(), Subject: pick(w.Rand, w.subjects), Label: pick(w.Rand, []string{"", "phone", "desk"}), Native: w.chance(25),
		Idle: time.Duration(5+w.IntN(60)) * time.Minute, Absolute: time.Duration(10+w.IntN(300)) * time.Minute,
		Seal: newSeal(), Methods: pick(w.Rand, []string{"", "pwd", "pwd otp"}), Level: pick(w.Rand, []string{"", "2"}),
		Above: w.above(), Reason: pick(w.Rand, []string{"", "r"}), By: pick(w.Rand, []string{"", "a"}),
	}
	if w.chance(8) {
		// An id that is taken is requested again; that of a dead family may be
		// free by now.
		if w.m.families[f.ID] != nil && w.settled(f.ID) {
			c.ID = f.ID
		}
	}
	if w.chance(30) {
		c.Actor = pick(w.Rand, w.subjects)
	}
	if w.chance(40) {
		var handles []string
		for _, handle := range w.handles {
			if w.chance(30) && len(handles) < store.MaxNames {
				handles = append(handles, handle)
			}
		}
		c.Names = named(handles...)
	}
	if w.chance(40) {
		c.Key = pick(w.Rand, w.keys)
	}
	if w.chance(10) {
		c.Known = time.Duration(w.IntN(1000)) * time.Minute
	}
	if w.chance(30) {
		// Well within the leeway, or well beyond it.
		c.Started, c.Leeway = w.now().Truncate(time.Millisecond), 20*time.Minute
		switch n := w.IntN(10); {
		case n < 1:
			c.Started = c.Started.Add(30 * time.Minute)
		case n < 2:
			c.Started = c.Started.Add(-30 * time.Minute)
		case n < 3:
			c.Authenticated = c.Started.Add(30 * time.Minute)
		case n < 6:
			c.Authenticated = c.Started.Add(time.Duration(w.IntN(100)-90) * time.Minute / 10)
		}
	}
	if w.chance(30) {
		c.Renews = &store.Renewal{ID: f.ID, Basis: w.basis(f), Seal: f.Seal, Key: w.proof(f)}
		c.Value = []byte{byte(w.Uint32())}
		if w.chance(20) {
			c.Renews.Seal = pick(w.Rand, w.old).Seal
		}
		if w.chance(30) {
			c.Leeway = 20 * time.Minute
			c.Renews.Authenticated = w.now().Truncate(time.Millisecond).Add(time.Duration(w.IntN(3)-1) * 30 * time.Minute)
			c.Renews.Methods, c.Renews.Level = pick(w.Rand, []string{"", "hwk"}), pick(w.Rand, []string{"", "3"})
		}
		if !w.chance(10) {
			c.Subject, c.Native = f.Subject, f.Native
		}
	}
	for i := range c.Ends {
		if w.chance(20) {
			// The contract leaves open when the row of a dead family is removed.
			if id := w.family().ID; w.settled(id) {
				c.Ends[i] = id
			}
		}
	}
	if w.chance(30) {
		c.Limit, c.EndOldest = 1+w.IntN(4), w.chance(60)
	}
	if w.chance(20) {
		c.NotBefore = pick(w.Rand, w.m.log).Position
	} else if w.chance(20) {
		c.NotBefore = w.m.head()
	}
	if c.Ends[0] == c.ID || c.Ends[1] == c.ID || c.Renews != nil && c.Renews.ID == c.ID {
		c.ID = w.newID()
	}
	w.ids = append(w.ids, c.ID)
	return c
}

func (w *walk) now() time.Time { return w.m.h.cutoffs(store.ID{}, "").Now }

func (w *walk) revocation(f store.Family) store.Revocation {
	r := store.Revocation{Above: w.above(), Reason: pick(w.Rand, []string{"", "r"}), Actor: pick(w.Rand, []string{"", "a"})}
	if w.chance(40) {
		r.Subjects = []string{f.Subject}
		r.Except = &store.Rebirth{ID: f.ID, Basis: w.basis(f), Key: w.proof(f)}
		return r
	}
	if w.chance(40) {
		if len(w.logouts) > 0 && w.chance(50) {
			return pick(w.Rand, w.logouts)
		}
		if r.Name = named(pick(w.Rand, w.handles))[0]; w.chance(50) {
			r.ID = w.newID()
			w.logouts = append(w.logouts, r)
		}
		return r
	}
	for range 1 + w.IntN(3) {
		switch n := w.IntN(10); {
		case n < 6:
			// It is left open whether a dead one was ended by a call that met it,
			// and so gets no entry.
			if id := w.family().ID; w.settled(id) {
				r.Sessions = append(r.Sessions, id)
			}
		case n < 7:
			r.Sessions = append(r.Sessions, pick(w.Rand, w.unknown))
		case n < 9:
			if s := pick(w.Rand, w.subjects); len(r.Subjects) == 0 || r.Subjects[0] != s {
				r.Subjects = append(r.Subjects, s)
			}
		default:
			r.Everyone = w.chance(30)
		}
	}
	if r.Everyone && w.chance(50) {
		r.Ring, r.RingVersion = w.newID(), uint64(w.IntN(9))
	}
	if len(r.Sessions)+len(r.Subjects) == 0 && !r.Everyone {
		r.Subjects = []string{f.Subject}
	}
	return r
}

// restoration returns entries around the head and from the past. Some are
// covered, by the log or by those before them.
func (w *walk) restoration() store.Restoration {
	var r store.Restoration
	for range 1 + w.IntN(4) {
		e := store.Entry{ID: w.newID(), Position: pick(w.Rand, w.m.log).Position, Reason: pick(w.Rand, []string{"", "r"}), Actor: pick(w.Rand, []string{"", "a"})}
		if w.chance(60) {
			e.Position = w.m.head() + store.Position(w.IntN(100))
		}
		// The field that the kind does not use holds junk.
		e.Session, e.Subject = w.family().ID, pick(w.Rand, w.subjects)
		switch n := w.IntN(20); {
		case n < 12:
			e.Kind = store.KindSession
			// It is left open whether a family past its limits is still there.
			if f := w.m.families[e.Session]; f != nil && f.Past(w.now()) || w.chance(20) {
				e.Session = pick(w.Rand, w.unknown)
			}
		case n < 19:
			e.Kind = store.KindSubject
		default:
			e.Kind = store.KindEveryone
		}
		if w.chance(50) { // read of everyone's alone
			e.Ring, e.RingVersion, e.Name = w.newID(), uint64(w.IntN(9)), named("n")[0]
		}
		r.Entries = append(r.Entries, e)
		r.Above = max(r.Above, e.Position)
	}
	r.Above = max(r.Above, w.above())
	return r
}
