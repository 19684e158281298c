package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// A leaked key seals any position. Wherever such a credential is taken, the log
// goes on from its own head: no forged position moves it, and none is used up.
func TestPromise8_AForgedPositionMovesNoLog(t *testing.T) {
	forEachKind(t, testAForgedPositionMovesNoLog)
}

func testAForgedPositionMovesNoLog(t *testing.T, w *world) {
	n := w.node(withTokens(func(*wafer.TokenConfig[basket]) {}))
	forged := func(at store.Position) *browser {
		b := w.browser().login(n, "mallory", "m")
		c := b.cookie(w)
		c.Position = uint64(at)
		b.cookies[sessionCookie] = w.seal(c)
		return b
	}
	post := func(path, body string, b *browser) int { return n.api(http.MethodPost, path, body, b.from).Code }
	doors := map[string]func(at store.Position){
		"End":             func(at store.Position) { forged(at).do(n, end) },
		"logout":          func(at store.Position) { post("/logout", "", forged(at)) },
		"a login over it": func(at store.Position) { forged(at).login(n, "bob", "b") },
		"a plain request": func(at store.Position) { forged(at).see(n) },
		"Commit":          func(at store.Position) { forged(at).do(n, commit("x")) },
		"Renew":           func(at store.Position) { forged(at).do(n, renew) },
		"EndOthers":       func(at store.Position) { forged(at).do(n, endOthers) },
		"without a family": func(at store.Position) {
			b := forged(at)
			c := b.cookie(w)
			c.ID = codec.ID{0xee, byte(at)}
			b.cookies = map[string]string{sessionCookie: w.seal(c)}
			b.do(n, end)
		},
		"the revoke endpoint": func(at store.Position) {
			token := w.forge(n.issue("mallory").AccessToken(), func(a *codec.AccessToken) { a.Position = uint64(at) })
			n.api(http.MethodPost, "/revoke", form("token", token))
		},
		"a replayed refresh token": func(at store.Position) {
			b := forged(at)
			family := store.ID(b.token(w).Family)
			for range 3 {
				w.pass(testAccess)
				b.see(n)
			}
			b.cookies[refreshCookie] = w.mint(family, 1)
			b.see(n)
		},
	}
	for name, knock := range doors {
		for _, ahead := range []store.Position{1000, 1e9, store.MaxAhead, 2 * store.MaxAhead, store.MaxPosition} {
			before := head(w)
			at := min(before+ahead, store.MaxPosition)
			knock(at)
			if most := max(before+100, store.Position(w.clock.Now().UnixMicro())); head(w) > most {
				t.Errorf("%s at %d moved the log from %d to %d", name, at, before, head(w))
			}
			if n.Health().Head > head(w) {
				t.Errorf("%s at %d: the node takes %d for known, and the log is at %d", name, at, n.Health().Head, head(w))
			}
		}
	}
	// All goes on.
	b := w.browser().login(n, "alice", "a")
	wants(t, "Commit", b.do(n, commit("b")), nil)
	wants(t, "End", b.do(n, end), nil)
	n.revoke(wafer.Revocation{Subjects: []string{"alice"}})
}

func head(w *world) store.Position {
	c, err := w.mem.Cutoffs(context.Background(), store.ID{}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	return c.Head
}

// A session that was ended stays ended for a cookie at whatever position, on every
// node, though its entry is below the cookie's position.
func TestPromise1_AnEndCoversEveryPosition(t *testing.T) {
	forEachKind(t, testAnEndCoversEveryPosition)
}

func testAnEndCoversEveryPosition(t *testing.T, w *world) {
	here, there := w.node(), w.node()
	b := w.browser().login(here, "alice", "a")
	ended := b.copy()
	c := ended.cookie(w)
	w.pass(time.Second)
	wants(t, "End", b.do(here, end), nil)
	for range 3 {
		here.revoke(wafer.Revocation{Subjects: []string{"nobody"}})
	}
	w.pass(0)
	for _, at := range []store.Position{store.Position(c.Position), head(w) - 1, head(w), head(w) + 1, store.MaxPosition} {
		c.Position = uint64(at)
		ended.cookies[sessionCookie] = w.seal(c)
		for i, n := range []*node{here, there} {
			if got := ended.without(refreshCookie).peek(n); got != "401" {
				t.Errorf("node %d: at %d, with the log at %d: %q", i, at, head(w), got)
			}
			if ahead := n.count(wafer.KindAlarm, "ahead"); ahead != 0 {
				t.Error(fmt.Sprint("an ended session is taken for one of a lost log, at ", at))
			}
		}
	}
}
