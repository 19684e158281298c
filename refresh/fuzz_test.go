package refresh_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// FuzzJudge holds the verdict on any token and any family to the sentence that the
// table stands for: a token is good until its successor is used.
func FuzzJudge(f *testing.F) {
	f.Add(uint32(7), uint16(0), uint32(7), uint16(0), uint16(0), int64(half), uint8(store.Alive), false)
	f.Add(uint32(6), uint16(2), uint32(7), uint16(4), uint16(2), int64(grace), uint8(store.Alive), true)
	f.Add(uint32(6), uint16(1), uint32(7), uint16(4), uint16(2), int64(-time.Hour), uint8(store.Alive), false)
	f.Add(uint32(5), uint16(0), uint32(7), uint16(0), uint16(0), int64(0), uint8(store.Ended), false)
	f.Add(uint32(0), uint16(0), uint32(1), uint16(store.MaxCopy), uint16(0), int64(grace), uint8(store.CutOff), false)
	f.Add(uint32(1), uint16(9), uint32(1), uint16(3), uint16(0), int64(access), uint8(store.Absent), true)
	f.Fuzz(func(t *testing.T, g uint32, i uint16, n uint32, k, a uint16, age int64, state uint8, strictly bool) {
		snap := familyAt(max(n, 1), k%(store.MaxCopy+1), a%(store.MaxCopy+1), time.Duration(age)%(100*time.Hour))
		snap.State = store.State(state % 4)
		policy := lax
		policy.Strict = strictly
		verdict, reason := policy.Judge(presents(g, i), snap)

		family := &snap.Family
		lives := snap.State == store.Alive && !family.Past(snap.Now) && g != 0
		current := g == family.Generation && i <= family.Copy
		parent := uint64(g)+1 == uint64(family.Generation) && i == family.Used
		ahead := g > family.Generation || g == family.Generation && i > family.Copy
		switch verdict {
		case refresh.Issue, refresh.Raise, refresh.Advance, refresh.Reissue, refresh.Behind:
			if !lives || !current && !parent || reason != "" {
				t.Errorf("%d.%d is served by %v (%q): %+v", g, i, verdict, reason, snap)
			}
		case refresh.Replay:
			if !lives || current || ahead || parent && !strictly {
				t.Errorf("%d.%d is a replay: %+v", g, i, snap)
			}
		case refresh.Ahead:
			if !lives || !ahead {
				t.Errorf("%d.%d is ahead: %+v", g, i, snap)
			}
		case refresh.Refuse:
			if lives && reason != refresh.ReasonBroken || reason == "" {
				t.Errorf("%d.%d is refused for %q: %+v", g, i, reason, snap)
			}
		}
	})
}
