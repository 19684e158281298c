package gate

import (
	"testing"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/revocation"
)

// A cookie with an actor is decided about twice, the second time by the actor and by
// the clock as it is then. One without an actor is decided about once.
func TestPromise1_ActorIsDecidedAbout(t *testing.T) {
	w := newWorld(t)
	byCarol := func(s *codec.Session) { s.Actor = codec.Hide("carol") }
	var c Credentials
	if found, err := w.Judge(t.Context(), w.now, jar([]string{w.cookie(a, byCarol)}, nil), &c); found != Valid || err != nil {
		t.Errorf("the cookie is %v, %v", found, err)
	}
	d := w.node.decisions
	if len(d) != 2 || d[0].subject != "alice" || d[1].subject != "carol" || !d[1].now.Equal(w.later) || d[1].session != d[0].session || d[1].at != d[0].at {
		t.Errorf("decided about %+v", d)
	}
	// The first decision is good, and the second is not.
	w.node.decisions = nil
	w.node.then = func() {
		if len(w.node.decisions) == 2 {
			w.node.verdict = revocation.Revoked
		}
	}
	if found, err := w.Judge(t.Context(), w.now, jar([]string{w.cookie(a, byCarol)}, nil), new(Credentials)); found != Anonymous || err != nil {
		t.Errorf("the cookie of an actor who was revoked is %v, %v", found, err)
	}
	w.wantReports("refused 1: revoked")
	w.node.decisions, w.node.then, w.node.verdict = nil, nil, revocation.Good
	if found, err := w.Judge(t.Context(), w.now, jar([]string{w.cookie(a)}, nil), new(Credentials)); found != Valid || err != nil || len(w.node.decisions) != 1 {
		t.Errorf("without an actor: %v, %v, after %d decisions", found, err, len(w.node.decisions))
	}
}
