package store_test

import (
	"fmt"
	"testing"

	"github.com/waferkit/wafer/store"
)

// Everything that a revocation names is in exactly one part, in order, and a store
// accepts each part.
func TestRevocationParts(t *testing.T) {
	const most = store.MaxEntries
	for _, c := range []struct {
		sessions, subjects int
		everyone           bool
		parts              int
	}{
		{0, 0, false, 0}, {0, 0, true, 1}, {1, 0, false, 1}, {0, 1, false, 1}, {1, 1, true, 1},
		{most, 0, false, 1}, {most, 0, true, 2}, {most - 1, 0, true, 1}, {most - 1, 1, true, 2}, {most + 1, 0, false, 2},
		{1, most, false, 2}, {2*most + 1, most, true, 4}, {0, 3 * most, true, 4}, {0, 3*most - 1, true, 3},
	} {
		t.Run(fmt.Sprint(c.sessions, " sessions ", c.subjects, " subjects ", c.everyone), func(t *testing.T) {
			r := store.Revocation{Everyone: c.everyone, Above: 7, Reason: "why", Actor: "who"}
			for i := range c.sessions {
				r.Sessions = append(r.Sessions, store.ID{0: 1, 1: byte(i), 2: byte(i >> 8)})
			}
			for i := range c.subjects {
				r.Subjects = append(r.Subjects, fmt.Sprint("subject ", i))
			}
			parts := r.Parts()
			if len(parts) != c.parts {
				t.Errorf("%d parts, want %d", len(parts), c.parts)
			}
			var joined store.Revocation
			for i, p := range parts {
				if err := p.Check(); err != nil {
					t.Errorf("part %d: %v", i, err)
				}
				if p.Above != 7 || p.Reason != "why" || p.Actor != "who" || joined.Everyone {
					t.Errorf("part %d is %+v", i, p)
				}
				if len(joined.Subjects) > 0 && len(p.Sessions) > 0 {
					t.Errorf("part %d: sessions after subjects", i)
				}
				joined.Sessions, joined.Subjects = append(joined.Sessions, p.Sessions...), append(joined.Subjects, p.Subjects...)
				joined.Everyone = p.Everyone
			}
			if fmt.Sprint(joined.Sessions, joined.Subjects, joined.Everyone) != fmt.Sprint(r.Sessions, r.Subjects, r.Everyone) {
				t.Error("the parts name others than the whole")
			}
		})
	}
}
