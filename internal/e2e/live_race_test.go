package e2e_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
)

func withoutReplica(c *wafer.Config[basket]) { c.NoReplica = true }

// A session is revoked while the store is being queried about it, after the
// query and before the answer. The answer confirms nothing.
func TestPromise1_LiveRevokedWhileItIsAskedAbout(t *testing.T) {
	for name, r := range map[string]wafer.Revocation{"subject": {Subjects: []string{"alice"}}, "everyone": {Everyone: true}} {
		for kind, configure := range map[string]func(*wafer.Config[basket]){"a replica": func(*wafer.Config[basket]) {}, "no replica": withoutReplica} {
			t.Run(name+", "+kind, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					n := w.node(realTime, configure)
					jar := w.browser().login(n, "alice", "")
					ctx, _ := jar.live(n)
					goesOn(t, "before", ctx)
					gate := make(chan struct{})
					n.store.after("Family", func() { <-gate })
					wants(t, "EndOthers", jar.do(n, endOthers), nil) // makes the session one to check
					synctest.Wait()
					n.revoke(r)
					synctest.Wait()
					close(gate)
					hasEnded(t, "revoked here", ctx, wafer.ErrEnded)
				})
			})
		}
	}
}

// EndOthers in another tab, between the judgement of a request and its Live.
// The session survives, and so do its responses.
func TestLive_OfARequestFromBeforeEndOthers(t *testing.T) {
	inBubble(t, func(t *testing.T, w *world) {
		n := w.node(realTime)
		jar := w.browser().login(n, "alice", "")
		r, err := n.Attach(httptest.NewRecorder(), jar.request())
		if err != nil {
			t.Fatal(err)
		}
		wants(t, "EndOthers", jar.do(n, endOthers), nil)
		after, _ := jar.live(n)
		goesOn(t, "opened after EndOthers", after)
		before := n.Live(r)
		goesOn(t, "of a request from before it", before)
		goesOn(t, "opened after EndOthers, then", after)
		jar.is(n, "alice: ")
		time.Sleep(5 * time.Second)
		goesOn(t, "5 s later", after)
	})
}

// A refresh that was in flight when a revocation returned must not answer
// requests that begin afterwards.
func TestPromise1_RefreshJoinedAfterARevocation(t *testing.T) {
	for name, r := range map[string]wafer.Revocation{"subject": {Subjects: []string{"alice"}}, "everyone": {Everyone: true}} {
		for kind, configure := range map[string]func(*wafer.Config[basket]){"a replica": func(*wafer.Config[basket]) {}, "no replica": withoutReplica} {
			t.Run(name+", "+kind, func(t *testing.T) {
				inBubble(t, func(t *testing.T, w *world) {
					n := w.node(realTime, configure)
					jar := w.browser().login(n, "alice", "")
					time.Sleep(testAccess + time.Second)
					gate := make(chan struct{})
					n.store.after("Advance", func() { <-gate })
					first, second := make(chan string, 1), make(chan string, 1)
					go func() { first <- jar.copy().peek(n) }()
					synctest.Wait()
					n.revoke(r)
					go func() { second <- jar.copy().peek(n) }()
					synctest.Wait()
					close(gate)
					<-first
					if who := <-second; who == "alice: " {
						t.Errorf("a request that came after the revocation had returned was served: %q", who)
					}
				})
			})
		}
	}
}

var _ = context.Background
