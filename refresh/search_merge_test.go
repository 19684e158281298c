package refresh_test

import (
	"testing"

	"github.com/waferkit/wafer/internal/rounds"
)

// The search treats worlds of one fingerprint as one. That hides nothing only
// if both can go on in the same ways. So whenever a world is reached a second
// time, by another way, its successors are compared with those of the first.
func TestSearchMergesOnlyEquals(t *testing.T) {
	const every = 11
	states := max(rounds.Of(1_600, 5_000)/searchShare, 400)
	for _, w := range searchWorlds {
		t.Run(w.name, func(t *testing.T) {
			s := w.world()
			first := s.begin(t)
			all, known := []world{first}, map[fingerprint]int{s.fingerprint(&first): 0}
			again, compared := 0, 0
			for i := 0; i < len(all) && len(all) < states; i++ {
				for _, m := range s.moves(&all[i]) {
					next := all[i]
					if !s.apply(&next, m) {
						continue
					}
					at, merged := known[s.fingerprint(&next)]
					if !merged {
						known[s.fingerprint(&next)] = len(all)
						all = append(all, next)
						continue
					}
					if again++; again%every == 0 {
						compared++
						s.same(t, all[at], next)
					}
				}
			}
			if compared < 10 {
				t.Errorf("only %d of %d worlds were reached twice", compared, len(all))
			}
		})
	}
}

// same compares the successors of two worlds.
func (s *search) same(t *testing.T, a, b world) {
	t.Helper()
	of := func(w world) map[fingerprint]move {
		all := make(map[fingerprint]move)
		for _, m := range s.moves(&w) {
			if next := w; s.apply(&next, m) {
				all[s.fingerprint(&next)] = m
			}
		}
		return all
	}
	x, y := of(a), of(b)
	for f, m := range x {
		if _, found := y[f]; !found {
			t.Fatalf("two worlds are taken for one, and in one of them alone this leads on: %s", s.text(&a, m))
		}
	}
	for f, m := range y {
		if _, found := x[f]; !found {
			t.Fatalf("two worlds are taken for one, and in one of them alone this leads on: %s", s.text(&b, m))
		}
	}
}
