package revocation_test

import (
	"errors"
	"testing"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Both decisions have to be good. A refusal wins over an outage, and a refusal by the
// subject spares the second decision.
func TestPromise1_WithActor(t *testing.T) {
	const good, revoked, expired, ahead = revocation.Good, revocation.Revoked, revocation.Expired, revocation.Ahead
	down, alsoDown := errors.New("down"), errors.New("also down")
	type decision struct {
		verdict revocation.Verdict
		err     error
	}
	for _, row := range []struct{ subject, actor, want decision }{
		{decision{good, nil}, decision{good, nil}, decision{good, nil}},
		{decision{good, nil}, decision{revoked, nil}, decision{revoked, nil}},
		{decision{good, nil}, decision{expired, nil}, decision{expired, nil}},
		{decision{good, nil}, decision{ahead, nil}, decision{ahead, nil}},
		{decision{good, nil}, decision{0, down}, decision{0, down}},
		{decision{0, down}, decision{good, nil}, decision{0, down}},
		{decision{0, down}, decision{revoked, nil}, decision{revoked, nil}},
		{decision{0, down}, decision{expired, nil}, decision{expired, nil}},
		{decision{0, down}, decision{0, alsoDown}, decision{0, down}},
	} {
		got, err := revocation.WithActor(row.subject.verdict, row.subject.err, func() (revocation.Verdict, error) { return row.actor.verdict, row.actor.err })
		if got != row.want.verdict || err != row.want.err {
			t.Errorf("%v with the actor's %v: %v, %v, want %v", row.subject, row.actor, got, err, row.want)
		}
	}
	for _, v := range []revocation.Verdict{revoked, expired, ahead} {
		got, err := revocation.WithActor(v, nil, func() (revocation.Verdict, error) {
			t.Errorf("after %v the actor is decided about", v)
			return good, nil
		})
		if got != v || err != nil {
			t.Errorf("%v becomes %v, %v", v, got, err)
		}
	}
}

// A family is dead below its actor's cutoff, as below its subject's, and also if the
// store has lost that.
func TestPromise1_DeadByItsActor(t *testing.T) {
	l := revocation.NewList(0)
	l.Apply(store.Entry{Kind: store.KindSubject, Subject: "carol", Position: 20})
	for _, row := range []struct {
		family store.Family
		dead   bool
	}{
		{store.Family{Subject: "alice", Actor: "carol", Birth: 19}, true},
		{store.Family{Subject: "alice", Actor: "carol", Birth: 20}, false},
		{store.Family{Subject: "alice", Actor: "dave", Birth: 19}, false},
		{store.Family{Subject: "alice", Birth: 19}, false},
		{store.Family{Subject: "carol", Actor: "dave", Birth: 19}, true},
	} {
		if got := revocation.DeadBy(l, &row.family); got != row.dead {
			t.Errorf("%s acting for %s, born at %d: dead %t", row.family.Actor, row.family.Subject, row.family.Birth, got)
		}
	}
}
