package e2e_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
)

// slowSource is a ring's source whose reads are slow.
type slowSource struct {
	keyring.Source
	while func() // runs while the ring is read
}

func (s *slowSource) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	s.while()
	return s.Source.LoadKeys(ctx)
}

// A request that waited for the ring is judged by the time after the wait. The
// revocation list has become stale meanwhile, and the store does not answer.
func TestPromise2_AWaitForTheRingCounts(t *testing.T) {
	for _, c := range []struct {
		name string
		// cookies returns what the browser sends. If fresh, its own cookie is
		// under a key that the node does not have.
		fresh   bool
		cookies func(value string) string
	}{
		{"for a key that nobody has", false, func(value string) string {
			return sessionCookie + "=" + value[:2] + "____" + value[6:] + "; " + sessionCookie + "=" + value
		}},
		{"for a key that the node did not know", true, func(value string) string { return sessionCookie + "=" + value }},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, ctx := newWorld(t), context.Background()
			keeper, err := keyring.NewKeeper(newStaticSecret())
			if err != nil {
				t.Fatal(err)
			}
			operator, err := keyring.Create(ctx, w.mem, keeper, w.clock.Now(), keyring.Schedule{})
			if err != nil {
				t.Fatal(err)
			}
			source := &slowSource{w.mem, func() {}}
			if w.ring, err = keyring.Open(ctx, source, keeper); err != nil {
				t.Fatal(err)
			}
			there := w.node(func(c *wafer.Config[basket]) { c.MaxStaleness = time.Minute })
			if c.fresh {
				if err := operator.RevokeAll(ctx, w.clock.Now(), "fresh ones"); err != nil {
					t.Fatal(err)
				}
			}
			if w.ring, err = keyring.Open(ctx, w.mem, keeper); err != nil {
				t.Fatal(err)
			}
			b := w.browser().login(w.node(), "alice", "a")
			there.freshen()
			there.store.cutLog()
			there.store.fail("Cutoffs", "Family")
			// Without a wait the list is fresh, and the store is not queried.
			waits := 0
			source.while = func() {
				waits++
				w.clock.Move(2 * time.Minute) // the cookie is still good then
			}
			if !c.fresh {
				b.is(there, "alice: a")
			}
			r := b.request()
			r.Header["Cookie"] = []string{c.cookies(strings.Clone(b.cookies[sessionCookie]))}
			if got := b.askWith(there, r, nil).who; got != "503" || waits == 0 {
				t.Errorf("the request is %q after %d waits, with a list that is older than MaxStaleness: want 503", got, waits)
			}
		})
	}
}
