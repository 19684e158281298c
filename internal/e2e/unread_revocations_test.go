package e2e_test

import (
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// Several subjects are revoked in one call while the log is cut, so this node
// enters the cutoffs itself. A later login is served from its cookie, even if
// each cookie has to be confirmed by a query.
func TestPromise4_LoginAfterManySubjectsWereRevokedWithoutNews(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		n.store.fail("Since")
		n.store.cutLog()
		n.revoke(wafer.Revocation{Subjects: []string{"alice", "bob", "carol"}})
		time.Sleep(time.Second)
		alice, carol := w.browser().login(n, "alice", ""), w.browser().login(n, "carol", "")
		time.Sleep(testStaleness + time.Second)
		for i := range 3 {
			for name, jar := range map[string]*browser{"alice": alice, "carol": carol} {
				if a := jar.is(n, name+": "); len(a.setCookies()) != 0 {
					t.Errorf("request %d of %s refreshed her session", i, name)
				}
				if _, err := n.Check(jar.request()); err != nil {
					t.Errorf("request %d of %s: Check: %v", i, name, err)
				}
			}
		}
	})
}
