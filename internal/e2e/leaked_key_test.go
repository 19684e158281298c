package e2e_test

import (
	"context"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
)

// A cookie is forged under a leaked key, at a position above the revocation of
// everyone. The node opens it without having either the revocation or the key's
// end. Both arrive before the cookie's position is judged.
func TestAttack_NewsBetweenOpeningAndJudging(t *testing.T) {
	w, ctx := newWorld(t), context.Background()
	keeper, err := keyring.NewKeeper(newStaticSecret())
	if err != nil {
		t.Fatal(err)
	}
	operator, err := keyring.Create(ctx, w.mem, keeper, w.clock.Now(), keyring.Schedule{})
	if err != nil {
		t.Fatal(err)
	}
	w.clock.Move(time.Second)
	open := func() {
		if w.ring, err = keyring.Open(ctx, w.mem, keeper); err != nil {
			t.Fatal(err)
		}
	}
	open()
	here := w.node()
	open()
	var between func()
	there := w.node(func(c *wafer.Config[basket]) {
		c.Observe = func(e wafer.Event) {
			if e.Reason == "refresh token not authentic" { // the session cookie is opened but not judged yet
				between()
			}
		}
	})
	open() // the thief's handle on the old ring
	b := w.browser().login(here, "alice", "a")
	b.is(there, "alice: a")
	there.store.cutLog()
	time.Sleep(10 * time.Millisecond)
	key, err := operator.Primary(w.clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := operator.Revoke(ctx, w.clock.Now(), key.ID(), "leaked"); err != nil {
		t.Fatal(err)
	}
	at := here.revoke(wafer.Revocation{Everyone: true, Reason: "leaked"})
	forged := b.cookie(w)
	forged.Position = uint64(at)
	b.cookies[sessionCookie], b.cookies[refreshCookie] = w.seal(forged), "junk"
	came := false
	between = func() {
		came = true
		there.freshen()
	}
	if got := b.peek(there); got != "401" || !came {
		t.Errorf("the forged cookie is %q; the read came in between: %v", got, came)
	}
}
