package refresh_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// FuzzJudge holds the verdict on any token and any family to the sentence that the
// table stands for: a token is good until its successor is used, and a bound family
// is served with a proof alone.
func FuzzJudge(f *testing.F) {
	const (
		bound  = 1 << iota // to the device's key
		counts             // and that is asked for
		proof              // by the device's key
		native
	)
	f.Add(uint32(7), uint16(0), uint32(7), uint16(0), uint16(0), int64(half), uint8(store.Alive), false, uint8(0))
	f.Add(uint32(6), uint16(2), uint32(7), uint16(4), uint16(2), int64(grace), uint8(store.Alive), true, uint8(bound))
	f.Add(uint32(6), uint16(1), uint32(7), uint16(4), uint16(2), int64(-time.Hour), uint8(store.Alive), false, uint8(bound|counts))
	f.Add(uint32(5), uint16(0), uint32(7), uint16(0), uint16(0), int64(0), uint8(store.Ended), false, uint8(bound|counts|proof))
	f.Add(uint32(0), uint16(0), uint32(1), uint16(store.MaxCopy), uint16(0), int64(grace), uint8(store.CutOff), false, uint8(bound|counts|proof|native))
	f.Add(uint32(1), uint16(9), uint32(1), uint16(3), uint16(0), int64(access), uint8(store.Absent), true, uint8(bound|proof))
	f.Add(uint32(3), uint16(0), uint32(7), uint16(2), uint16(1), int64(grace), uint8(store.Alive), false, uint8(bound|counts|proof))
	f.Add(uint32(3), uint16(0), uint32(7), uint16(2), uint16(1), int64(grace), uint8(store.Alive), false, uint8(bound|counts|proof|native))
	f.Fuzz(func(t *testing.T, g uint32, i uint16, n uint32, k, a uint16, age int64, state uint8, strictly bool, flags uint8) {
		snap := familyAt(max(n, 1), k%(store.MaxCopy+1), a%(store.MaxCopy+1), time.Duration(age)%(100*time.Hour))
		snap.State = store.State(state % 4)
		policy := lax
		policy.Strict = strictly
		q, family := presents(g, i), &snap.Family
		q.Native, family.Native = flags&native != 0, flags&native != 0
		if flags&bound != 0 {
			family.Key, family.Counts = deviceKey, flags&counts != 0
		}
		if flags&proof != 0 {
			q.Key = deviceKey
		}
		verdict, reason := policy.Judge(q, snap)

		proven := q.Key == family.Key && !q.Key.IsZero()
		if proven && !family.Native {
			g, i = family.Generation, family.Copy
		}
		lives := snap.State == store.Alive && !family.Past(snap.Now) && g != 0 && (proven || !family.Counts)
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
