package e2e_test

import (
	"context"
	"sync"
	"testing"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// A login ends the session that the request's cookies name, also if the store has lost
// it. So an attacker sends cookies of absent sessions, many at once. A forged one, though
// it names a living session, ends nothing. An authentic one ends its session once.
func TestPromise8_CookiesAtManyLoginsAtOnce(t *testing.T) {
	const logins = 32
	w := newWorld(t)
	nodes := []*node{w.node(), w.node()}
	victim := w.browser().login(nodes[0], "alice", "a")
	absent := store.ID{0xab}
	token := victim.cookies[refreshCookie]
	other := byte('A')
	if token[30] == other {
		other = 'B'
	}
	for name, row := range map[string]struct {
		token   string
		session store.ID
		entries int
	}{
		"forged, and names a living session":  {token[:30] + string(other) + token[31:], victim.family(w).Family.ID, 0},
		"forged, and names an absent session": {w.mint(absent, 1)[:40] + token[40:], absent, 0},
		"authentic, of an absent session":     {w.mint(store.ID{0xcd}, 1), store.ID{0xcd}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			var all sync.WaitGroup
			for i := range logins {
				jar := w.browser()
				jar.cookies[refreshCookie] = row.token
				all.Go(func() {
					if err := jar.do(nodes[i%2], func(v *visit) error { return v.n.Start(v.w, v.r, "mallory", basket{}) }); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
			b, err := w.mem.Since(context.Background(), store.Cursor{}, store.MaxEntries, 0)
			if err != nil {
				t.Fatal(err)
			}
			entries := 0
			for _, e := range b.Entries {
				if e.Kind == store.KindSession && e.Session == row.session {
					entries++
				}
			}
			if entries != row.entries {
				t.Errorf("%d entries of the session that the token names, want %d", entries, row.entries)
			}
		})
	}
	for _, n := range nodes {
		victim.is(n, "alice: a")
		if k := n.count(wafer.KindAlarm, ""); k != 0 {
			t.Errorf("%d alarms", k)
		}
	}
}
