package e2e_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// The lifetimes were shortened between two runs of the application. Older
// cookies are judged by the current configuration.
func TestInterleaving_LifetimesShortenedBetweenTwoRuns(t *testing.T) {
	w := newWorld(t)
	before := w.node(func(c *wafer.Config[basket]) { c.Access, c.Idle, c.Absolute = time.Hour, 4*time.Hour, 24*time.Hour })
	b, revoked := w.browser().login(before, "alice", "a"), w.browser().login(before, "bob", "b")
	before.revoke(wafer.Revocation{Subjects: []string{"bob"}})
	before.stop()

	after := w.node(func(c *wafer.Config[basket]) { c.Access, c.Grace = 2*time.Minute, 15*time.Second })
	b.is(after, "alice: a")
	revoked.dead(after)
	w.pass(3 * time.Minute) // the cookie says an hour, the configuration two minutes
	if got := b.without(refreshCookie).peek(after); got != "401" {
		t.Errorf("a cookie past the lifetime that is configured now is %q", got)
	}
	revoked.dead(after)
	a := b.is(after, "alice: a")
	if len(a.setCookies()) != 2 {
		t.Errorf("the session was not refreshed: %v", a.setCookies())
	}
	if c := b.cookie(w); c.Access.After(w.clock.Now().Add(2 * time.Minute)) {
		t.Errorf("the new cookie is good until %v", c.Access)
	}
	w.pass(90 * time.Minute) // within the family's own idle limit of four hours
	b.is(after, "alice: a")
	revoked.dead(after)
}

// The lifetimes were lengthened. What was sealed keeps its own end, and entries
// that were dropped by the shorter lifetime are covered by the floor.
func TestInterleaving_LifetimesLengthenedBetweenTwoRuns(t *testing.T) {
	w := newWorld(t)
	before := w.node()
	b, revoked := w.browser().login(before, "alice", "a"), w.browser().login(before, "bob", "b")
	at := before.revoke(wafer.Revocation{Subjects: []string{"bob"}})
	w.clock.Move(6 * time.Minute)
	for range 20 {
		before.revoke(wafer.Revocation{Subjects: []string{"nobody"}})
	}
	before.stop()

	after := w.node(func(c *wafer.Config[basket]) { c.Access, c.Idle = time.Hour, 4*time.Hour })
	if got := b.without(refreshCookie).peek(after); got != "401" {
		t.Errorf("a cookie past its own lifetime is %q", got)
	}
	revoked.dead(after)
	// As a node that seals late would seal it: good by every clock.
	c := revoked.cookie(w)
	c.Issued, c.Access, c.Idle = w.clock.Now(), w.clock.Now().Add(time.Hour), w.clock.Now().Add(time.Hour)
	revoked.cookies[sessionCookie] = w.seal(c)
	revoked.dead(after)
	if f := after.Health().Floor; f < at {
		t.Errorf("the entry at %d is not dropped, the floor is %d: the test shows nothing", at, f)
	}
	b.is(after, "alice: a")
	w.pass(50 * time.Minute) // its family still has an idle limit of 30 minutes, as its cookie says
	b.is(after, "401")
}
