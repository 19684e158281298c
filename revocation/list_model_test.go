package revocation_test

import (
	"maps"
	"math/rand/v2"
	"testing"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// listModel is the simple truth: everything that was ever applied, in maps.
type listModel struct {
	sessions map[int]modelMark
	subjects map[int]store.Position
	everyone store.Position
	head     store.Position
}

type modelMark struct {
	at    store.Position
	ended bool
}

func (m *listModel) apply(n int, e store.Entry) {
	switch e.Kind {
	case store.KindEveryone:
		m.everyone = max(m.everyone, e.Position)
	case store.KindSubject:
		m.subjects[n] = max(m.subjects[n], e.Position)
	default:
		was := m.sessions[n]
		m.sessions[n] = modelMark{max(was.at, e.Position), was.ended || e.Kind == store.KindSession}
	}
}

// compare checks what the list says of a session and a subject: exactly the
// truth above the floor, and nothing but the truth below.
func (m *listModel) compare(t *testing.T, l *revocation.List, n, s int) {
	t.Helper()
	got := l.Cutoffs(session(n), subject(s))
	if got.Floor != l.Floor() || got.Head != m.head || got.Everyone != m.everyone {
		t.Fatalf("floor %d, head %d, everyone %+v: want %d, %d, %d", got.Floor, got.Head, got.Everyone, l.Floor(), m.head, m.everyone)
	}
	// A check says what Judge says of the cutoffs.
	for _, p := range []store.Position{0, max(got.Ending, got.Superseding), got.Subject, got.Floor, got.Head, got.Everyone} {
		for at := max(p, 1) - 1; at <= p+1; at++ {
			if v, want := l.Judge(session(n), subject(s), at), revocation.Judge(got, at); v != want {
				t.Fatalf("a token at %d is %v: want %v by %+v", at, v, want, got)
			}
		}
	}
	truth := m.sessions[n]
	found := max(got.Ending, got.Superseding)
	ends := got.Ending != 0
	if truth.at > got.Floor && (found != truth.at || ends != truth.ended) || found > got.Floor && found != truth.at {
		t.Fatalf("session %d: %+v: want %+v", n, got, truth)
	}
	if at := m.subjects[s]; at > got.Floor && got.Subject != at || got.Subject > got.Floor && got.Subject != at {
		t.Fatalf("subject %d: %+v: want %d", s, got, at)
	}
}

// missing is what List.Missing should say, by positions: what this model holds
// above the floor and the other does not cover. What the other list has dropped
// it may still hold; there, what it says itself counts.
func (m *listModel) missing(floor store.Position, other *listModel, from *revocation.List) map[store.Entry]bool {
	want := map[store.Entry]bool{}
	if p := m.everyone; p > floor && p > other.everyone {
		want[everyone(p)] = true
	}
	for n, cutoff := range m.sessions {
		var covered store.Position
		if has := other.sessions[n]; has.at <= from.Floor() {
			covered = from.Cutoffs(session(n), "").Ending
		} else if has.ended {
			covered = has.at
		}
		if cutoff.ended && cutoff.at > floor && max(covered, other.everyone) < cutoff.at {
			want[ending(session(n), cutoff.at)] = true
		}
	}
	for n, at := range m.subjects {
		covered := other.subjects[n]
		if covered <= from.Floor() {
			covered = from.Cutoffs(store.ID{}, subject(n)).Subject
		}
		if at > floor && max(covered, other.everyone) < at {
			want[ofSubject(subject(n), at)] = true
		}
	}
	return want
}

func newListModel() *listModel {
	return &listModel{sessions: map[int]modelMark{}, subjects: map[int]store.Position{}}
}

func (m *listModel) above(floor store.Position) int {
	n := 0
	for _, cutoff := range m.sessions {
		if cutoff.at > floor {
			n++
		}
	}
	for _, at := range m.subjects {
		if at > floor {
			n++
		}
	}
	return n
}

// Random entries, in random order and twice, and random floors, against the
// model. With room for all, the list drops only what it is told to; with
// little, it drops by itself.
func TestPromise1_RevocationListAgainstAModel(t *testing.T) {
	for name, limit := range map[string]int{"room for all": 1 << 20, "room for few": 1024} {
		t.Run(name, func(t *testing.T) {
			r := random(t)
			l, m := revocation.NewList(limit), newListModel()
			// Another node's list, which gets only some of the same.
			from, other := revocation.NewList(limit), newListModel()
			next := store.Position(100) // of the log
			fresh := 1000               // sessions from here on were never named
			ended := map[int]bool{}     // by the log
			type pending struct {
				n int
				e store.Entry
			}
			var late, applied []pending // in the log, not yet applied; and applied
			floors, applies, lost, held := 0, 0, 0, 0

			append1 := func() {
				next += store.Position(1 + r.IntN(3))
				switch k := r.IntN(100); {
				case k < 1:
					late = append(late, pending{0, everyone(next)})
				case k < 30:
					n := r.IntN(2000)
					if r.IntN(3) == 0 {
						n = 2000 + fresh
						fresh++
					}
					late = append(late, pending{n, ofSubject(subject(n), next)})
				default:
					n := r.IntN(1000)
					if ended[n] || r.IntN(2) == 0 {
						n = fresh
						fresh++
					}
					e := superseding(session(n), next)
					if r.IntN(3) == 0 {
						// Nothing of a session is in the log after its end.
						e, ended[n] = ending(session(n), next), true
					}
					late = append(late, pending{n, e})
				}
			}
			applySome := func() {
				var batch []store.Entry
				for range min(1+r.IntN(4), len(late)) {
					// Mostly the oldest, now and then any.
					i := 0
					if r.IntN(4) == 0 {
						i = r.IntN(len(late))
					}
					p := late[i]
					late = append(late[:i], late[i+1:]...)
					if r.IntN(10) == 0 && len(applied) > 0 {
						batch = append(batch, applied[r.IntN(len(applied))].e) // once more
					}
					batch = append(batch, p.e)
					m.apply(p.n, p.e)
					if r.IntN(4) != 0 && (p.e.Kind != store.KindEveryone || r.IntN(2) == 0) {
						from.Apply(p.e)
						other.apply(p.n, p.e)
					}
					applied = append(applied, p)
					applies++
				}
				l.Apply(batch...)
			}
			for op := range smaller(120_000, 2) { // in each of two runs
				switch k := r.IntN(100); {
				case k < 40:
					append1()
					if len(late) > 50 {
						applySome()
					}
				case k < 60:
					applySome()
				case k < 61:
					floors++
					lag := store.Position(r.IntN(20_000))
					if r.IntN(20) == 0 {
						lag = store.Position(r.IntN(10))
					}
					if next > lag {
						l.RaiseFloor(next - lag)
						if r.IntN(2) == 0 {
							from.RaiseFloor(next - min(next, lag+store.Position(r.IntN(5000))))
						}
					}
				case k < 62:
					m.head = next
					l.SetHead(next)
					from.SetHead(next)
				default:
					n, s := r.IntN(fresh+10), r.IntN(2000+fresh)
					if len(applied) > 0 && r.IntN(2) == 0 { // one of those applied last
						last := applied[len(applied)-1-r.IntN(min(len(applied), 500))]
						n, s = last.n, last.n
					}
					m.compare(t, l, n, s)
				}
				if op%1000 == 0 {
					want := m.missing(l.Floor(), other, from)
					got := missing(t, l, from)
					if !maps.Equal(got, want) {
						t.Fatalf("%d entries are missing: want %d", len(got), len(want))
					}
					lost, held = lost+len(got), held+l.Len()
					if want := m.above(l.Floor()); l.Len() != want {
						t.Fatalf("%d entries above the floor: want %d", l.Len(), want)
					}
				}
			}
			for n := range fresh + 2000 {
				m.compare(t, l, n, n)
			}
			t.Logf("%d entries applied, %d floors, %d names, %d entries at the end, floor %d of %d; of %d held %d were missing", applies, floors, fresh, l.Len(), l.Floor(), next, held, lost)
			if applies < 15_000 || floors < 300 || lost < 500 || lost > held*3/4 || limit == 1024 && l.Floor() == 0 {
				t.Error("the test shows nothing")
			}
		})
	}
}

// However a set of entries is shuffled, cut into calls and repeated, the list
// is the same.
func TestList_OrderAndRepetitionChangeNothing(t *testing.T) {
	r := random(t)
	var entries []store.Entry
	for i := range 500 {
		p := store.Position(100 + 10*i)
		switch i % 4 {
		case 0:
			entries = append(entries, ofSubject(subject(r.IntN(50)), p))
		case 1:
			entries = append(entries, everyone(p))
		case 2:
			entries = append(entries, superseding(session(r.IntN(50)), p))
		default:
			entries = append(entries, ending(session(50+i), p))
		}
	}
	want := revocation.NewList(1024)
	want.Apply(entries...)
	for range 20 {
		l := revocation.NewList(1024)
		shuffled := append(append([]store.Entry(nil), entries...), entries[:r.IntN(len(entries))]...)
		r.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
		for len(shuffled) > 0 {
			n := 1 + rand.N(min(40, len(shuffled)))
			l.Apply(shuffled[:n]...)
			shuffled = shuffled[n:]
		}
		if l.Len() != want.Len() {
			t.Fatalf("%d entries: want %d", l.Len(), want.Len())
		}
		for i := range 600 {
			cutoffsEqual(t, l, session(i), subject(i), want.Cutoffs(session(i), subject(i)))
		}
	}
}
