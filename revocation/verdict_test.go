package revocation_test

import (
	"testing"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

func TestJudge(t *testing.T) {
	const at = 100
	for _, c := range []struct {
		name    string
		cutoffs store.Cutoffs
		want    revocation.Verdict
	}{
		{"nothing is known, not even the position", store.Cutoffs{}, revocation.Ahead},
		{"nothing names it, at the head", store.Cutoffs{Head: at}, revocation.Good},
		{"nothing names it, one below the head", store.Cutoffs{Head: at + 1}, revocation.Good},
		{"one above the head", store.Cutoffs{Head: at - 1}, revocation.Ahead},
		{"ended far below it", store.Cutoffs{Ending: 1, Head: at}, revocation.Revoked},
		{"ended at it", store.Cutoffs{Ending: at, Head: at}, revocation.Revoked},
		{"ended below it, and it is above the head", store.Cutoffs{Ending: at - 1, Head: at - 1}, revocation.Revoked},
		{"ended above it", store.Cutoffs{Ending: at + 1, Head: at + 1}, revocation.Revoked},
		{"its subject at it: it is the reborn one", store.Cutoffs{Subject: at, Head: at}, revocation.Good},
		{"its subject above it", store.Cutoffs{Subject: at + 1, Head: at + 1}, revocation.Revoked},
		{"everyone at it", store.Cutoffs{Everyone: at, Head: at}, revocation.Good},
		{"everyone above it", store.Cutoffs{Everyone: at + 1, Head: at + 1}, revocation.Revoked},
		{"superseded at it: it is the committed one", store.Cutoffs{Superseding: at, Head: at}, revocation.Good},
		{"superseded above it", store.Cutoffs{Superseding: at + 1, Head: at + 1}, revocation.Expired},
		{"the floor at it", store.Cutoffs{Floor: at, Head: at}, revocation.Good},
		{"the floor above it", store.Cutoffs{Floor: at + 1, Head: at + 1}, revocation.Expired},
		{"superseded above, ended below", store.Cutoffs{Superseding: at + 1, Ending: at - 1, Head: at + 1}, revocation.Revoked},
		{"revoked goes before expired", store.Cutoffs{Ending: at + 1, Superseding: at + 9, Floor: at + 9, Head: at + 9}, revocation.Revoked},
		{"revoked goes before behind", store.Cutoffs{Ending: at + 1}, revocation.Revoked},
		{"expired goes before behind", store.Cutoffs{Floor: at + 1}, revocation.Expired},
		{"the highest position", store.Cutoffs{Ending: store.MaxPosition, Head: store.MaxPosition}, revocation.Revoked},
	} {
		if got := revocation.Judge(c.cutoffs, at); got != c.want {
			t.Errorf("%s: %v: want %v", c.name, got, c.want)
		}
	}
	if got := revocation.Judge(store.Cutoffs{Head: store.MaxPosition}, store.MaxPosition); got != revocation.Good {
		t.Errorf("a token at the highest position: %v", got)
	}
	if got := revocation.Judge(store.Cutoffs{Everyone: 1, Head: 1}, 0); got != revocation.Revoked {
		t.Errorf("a token without a position, in a log that has begun: %v", got)
	}
}

// Every cutoff stands nowhere, below, at, above and far above the token's
// position, in every combination: the two comparisons of the design decide, each by
// itself. An end needs no comparison.
func TestJudge_EveryOrderOfCutoffs(t *testing.T) {
	const at = store.Position(100)
	places := []store.Position{0, at - 1, at, at + 1, at + 50}
	above := func(ps ...store.Position) bool {
		for _, p := range ps {
			if p > at {
				return true
			}
		}
		return false
	}
	n := 0
	for _, ending := range places {
		for _, subject := range places {
			for _, everyone := range places {
				for _, superseding := range places {
					for _, floor := range places {
						for _, head := range places {
							c := store.Cutoffs{Ending: ending, Subject: subject, Everyone: everyone, Superseding: superseding, Floor: floor, Head: head}
							want := revocation.Good
							if head < at {
								want = revocation.Ahead
							}
							if above(floor, superseding) {
								want = revocation.Expired
							}
							if ending != 0 || above(subject, everyone) {
								want = revocation.Revoked
							}
							if got := revocation.Judge(c, at); got != want {
								t.Fatalf("%+v: %v: want %v", c, got, want)
							}
							n++
						}
					}
				}
			}
		}
	}
	if n != 15625 {
		t.Fatalf("%d combinations", n)
	}
}

func TestVerdictAndStateNames(t *testing.T) {
	for v, want := range map[revocation.Verdict]string{
		revocation.Unconfirmed: "unconfirmed", revocation.Ahead: "ahead", revocation.Revoked: "revoked",
		revocation.Expired: "expired", revocation.Good: "good",
	} {
		if v.String() != want {
			t.Errorf("%d is %q: want %q", v, v, want)
		}
	}
	for s, want := range map[revocation.State]string{revocation.Unknown: "unknown", revocation.Stale: "stale", revocation.Fresh: "fresh"} {
		if s.String() != want {
			t.Errorf("%d is %q: want %q", s, s, want)
		}
	}
	var zero revocation.Verdict
	if zero == revocation.Good || revocation.State(0) == revocation.Fresh {
		t.Error("a zero value says that all is well")
	}
}
