package main

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

type keysAccount struct{ Theme string }

// keysNode is a node of an application, over a ring and the world's store.
func (w *keysWorld) node(ring *keyring.Ring, db store.Store) http.Handler {
	w.Helper()
	sessions, err := wafer.New(w.Context(), ring, db, wafer.Config[keysAccount]{
		Realm: "test", MaxStaleness: time.Second,
		Reload: func(_ context.Context, s *wafer.Session[keysAccount]) (keysAccount, error) {
			return keysAccount{"read anew"}, nil
		},
	})
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { sessions.Close() })
	mux := http.NewServeMux()
	mux.HandleFunc("POST /in", func(rw http.ResponseWriter, r *http.Request) {
		if err := sessions.Start(rw, r, "anna", keysAccount{"dark"}); err != nil {
			sessions.Error(rw, r, err)
		}
	})
	mux.Handle("GET /me", sessions.Require(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {})))
	return sessions.Handler(mux)
}

func ask(node http.Handler, method, path string, cookies ...*http.Cookie) *http.Response {
	r := httptest.NewRequest(method, "https://shop.example"+path, nil)
	for _, c := range cookies {
		r.AddCookie(c)
	}
	rw := httptest.NewRecorder()
	node.ServeHTTP(rw, r)
	return rw.Result()
}

// logIn returns the session cookie and the refresh token.
func (w *keysWorld) logIn(node http.Handler) (session, refresh *http.Cookie) {
	w.Helper()
	for _, c := range ask(node, "POST", "/in").Cookies() {
		if c.Name == "__Host-session" {
			session = c
		} else {
			refresh = c
		}
	}
	if session == nil || refresh == nil {
		w.Fatal("no login")
	}
	return session, refresh
}

// Browsers that logged in at nodes with static secrets stay logged in, by
// either cookie, at nodes over each later place of the keys. Browsers that log
// in there stay logged in at nodes that are not deployed yet. After a
// compromise nobody stays logged in.
func TestKeysMoveUnderLiveSessions(t *testing.T) {
	w := newKeysWorld(t)
	w.now = time.Now() // the application uses the real clock
	w.store()
	db := w.openStore()
	secret := strings.Repeat("3c", 32)
	w.vars["SECRET"] = secret
	w.hidden = append(w.hidden, secret)
	static, err := keyring.Static(secret)
	if err != nil {
		t.Fatal(err)
	}
	nodes := []http.Handler{w.node(static, db)}
	w.must("keys", "create", "--ring", "@ring", "--from-env", "SECRET")
	w.hide("ring.key")
	nodes = append(nodes, w.node(w.open("ring"), db))
	w.must("keys", "move", "--ring", "@ring", "--to", "store:", "--store", "sqlite:@db")
	keeper, err := keyring.OpenKeeper(w.path("ring.key"))
	if err != nil {
		t.Fatal(err)
	}
	inStore, err := keyring.Open(t.Context(), db, keeper)
	if err != nil {
		t.Fatal(err)
	}
	nodes = append(nodes, w.node(inStore, db))
	for i, from := range nodes {
		session, refresh := w.logIn(from)
		for j, to := range nodes {
			if code := ask(to, "GET", "/me", session).StatusCode; code != http.StatusOK {
				t.Errorf("a session of node %d at node %d: %d", i, j, code)
			}
			if code := ask(to, "GET", "/me", refresh).StatusCode; code != http.StatusOK {
				t.Errorf("a refresh token of node %d at node %d: %d", i, j, code)
			}
		}
	}

	session, refresh := w.logIn(nodes[2])
	primary, err := inStore.Primary(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	w.now = time.Now()
	w.must("keys", "revoke", primary.ID().String(), "--compromised", "--ring", "store:", "--store", "sqlite:@db", "--keeper", "file:@ring.key", "--reason", "leaked", "--yes")
	deadline := time.Now().Add(time.Minute)
	for ask(nodes[2], "GET", "/me", session).StatusCode == http.StatusOK {
		if time.Now().After(deadline) {
			t.Fatal("the session outlives the compromise of its key")
		}
		time.Sleep(20 * time.Millisecond)
	}
	if code := ask(nodes[2], "GET", "/me", session, refresh).StatusCode; code != http.StatusUnauthorized {
		t.Errorf("after the compromise: %d", code)
	}
	session, _ = w.logIn(nodes[2])
	if code := ask(nodes[2], "GET", "/me", session).StatusCode; code != http.StatusOK {
		t.Errorf("a login after the compromise: %d", code)
	}
}
