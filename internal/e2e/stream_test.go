package e2e_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// The handler gets the server's own ResponseWriter.
func TestStreamNoWriterIsWrapped(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "")
	for name, middleware := range map[string]func(http.Handler) http.Handler{
		"Handler": s.Handler, "Require": s.Require, "RequireRecent": s.RequireRecent(time.Hour),
		"all": func(h http.Handler) http.Handler {
			return s.Handler(s.Require(s.RequireRecent(time.Hour)(h)))
		},
	} {
		for _, moved := range []time.Duration{0, 4 * time.Minute} { // a read, then a refresh
			world.clock.Move(moved)
			var servers, got http.ResponseWriter
			app := middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { got = w }))
			jar.do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				servers = w
				app.ServeHTTP(w, r)
			}), nil)
			if got != servers {
				t.Errorf("%s: the handler got a %T, the server gave a %T", name, got, servers)
			}
		}
	}
}

// httpServe starts a TLS server, over HTTP/2 if two is set, with h behind
// Require. The client's session is due for a refresh, so cookies are written
// too.
func httpServe(t *testing.T, two bool, h http.HandlerFunc) (*httptest.Server, *http.Request) {
	t.Helper()
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "data")
	world.clock.Move(6 * time.Minute)
	server := httptest.NewUnstartedServer(s.Handler(s.Require(h)))
	server.EnableHTTP2 = two
	server.StartTLS()
	t.Cleanup(server.Close)
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Cookie", jar.header())
	return server, r
}

func TestStreamThroughTheMiddleware(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[two], func(t *testing.T) {
			t.Run("Flush", func(t *testing.T) { testStreamFlush(t, two) })
			t.Run("EarlyHints", func(t *testing.T) { testStreamEarlyHints(t, two) })
			t.Run("Deadlines", func(t *testing.T) { testStreamDeadlines(t, two) })
			t.Run("ReaderFrom", func(t *testing.T) { testStreamReaderFrom(t, two) })
			t.Run("Hijack", func(t *testing.T) { testStreamHijack(t, two) })
		})
	}
}

func httpDo(t *testing.T, server *httptest.Server, r *http.Request) *http.Response {
	t.Helper()
	resp, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { resp.Body.Close() })
	if len(resp.Cookies()) != 2 || resp.StatusCode != http.StatusOK {
		t.Errorf("%s %d with %d cookies, want 200 with the 2 of the refresh", resp.Proto, resp.StatusCode, len(resp.Cookies()))
	}
	return resp
}

// Server-sent events: each arrives while the handler still runs.
func testStreamFlush(t *testing.T, two bool) {
	read := make(chan struct{})
	server, r := httpServe(t, two, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		for i := range 3 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			if i == 1 {
				if err := http.NewResponseController(w).Flush(); err != nil {
					t.Error(err)
				}
			} else {
				w.(http.Flusher).Flush()
			}
			select {
			case <-read:
			case <-time.After(2 * time.Minute):
				t.Error("the event did not arrive")
				return
			}
		}
	})
	resp := httpDo(t, server, r)
	events := bufio.NewReader(resp.Body)
	for i := range 3 {
		line, err := events.ReadString('\n')
		if want := fmt.Sprintf("data: %d\n", i); err != nil || line != want {
			t.Fatalf("%q, %v; want %q", line, err, want)
		}
		events.ReadString('\n')
		read <- struct{}{}
	}
}

func testStreamEarlyHints(t *testing.T, two bool) {
	server, r := httpServe(t, two, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</style.css>; rel=preload")
		w.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(w, "body")
	})
	var hints []string
	r = r.WithContext(httptrace.WithClientTrace(r.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, header textproto.MIMEHeader) error {
			hints = append(hints, fmt.Sprint(code, " ", header.Get("Link")))
			return nil
		},
	}))
	resp := httpDo(t, server, r)
	if len(hints) != 1 || hints[0] != "103 </style.css>; rel=preload" {
		t.Errorf("hints: %q", hints)
	}
	if body, _ := io.ReadAll(resp.Body); string(body) != "body" {
		t.Errorf("body %q", body)
	}
}

func testStreamDeadlines(t *testing.T, two bool) {
	server, r := httpServe(t, two, func(w http.ResponseWriter, r *http.Request) {
		c := http.NewResponseController(w)
		err := errors.Join(c.SetReadDeadline(time.Now().Add(time.Minute)), c.SetWriteDeadline(time.Now().Add(time.Minute)), c.EnableFullDuplex())
		if err != nil && !two { // HTTP/2 is always full duplex
			t.Error(err)
		}
		fmt.Fprint(w, "ok")
	})
	if body, err := io.ReadAll(httpDo(t, server, r).Body); string(body) != "ok" || err != nil {
		t.Errorf("%q, %v", body, err)
	}
}

func testStreamReaderFrom(t *testing.T, two bool) {
	content := bytes.Repeat([]byte("0123456789"), 10_000)
	server, r := httpServe(t, two, func(w http.ResponseWriter, r *http.Request) {
		if _, ok := w.(io.ReaderFrom); !ok && !two {
			t.Error("the server's io.ReaderFrom (sendfile) is hidden")
		}
		if _, ok := w.(http.Pusher); !ok && two {
			t.Error("the server's http.Pusher is hidden")
		}
		http.ServeContent(w, r, "x.bin", time.Time{}, bytes.NewReader(content))
	})
	if body, err := io.ReadAll(httpDo(t, server, r).Body); !bytes.Equal(body, content) || err != nil {
		t.Errorf("%d bytes, %v", len(body), err)
	}
}

func testStreamHijack(t *testing.T, two bool) {
	server, r := httpServe(t, two, func(w http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(w).Hijack()
		if err != nil {
			if !two || !errors.Is(err, http.ErrNotSupported) {
				t.Error(err)
			}
			fmt.Fprint(w, "not hijacked") // and the refreshed cookies still arrive
			return
		}
		defer conn.Close()
		fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n")
		w.Header().Write(conn)
		fmt.Fprint(conn, "\r\nhijacked")
	})
	body, err := io.ReadAll(httpDo(t, server, r).Body)
	if want := map[bool]string{false: "hijacked", true: "not hijacked"}[two]; string(body) != want || err != nil {
		t.Errorf("%q, %v; want %q", body, err, want)
	}
}

// httpUpgrader is a server that upgrades to a one-line protocol by a raw
// hijack. The answer's cookies are lost, as WebSocket libraries lose them.
type httpUpgrader struct {
	world    *httpWorld
	sessions *wafer.Sessions[string]
	server   *httptest.Server
	writes   map[string]error // the results of the handler's attempts to write
}

func httpNewUpgrader(t *testing.T, config wafer.Config[string]) *httpUpgrader {
	t.Helper()
	u := &httpUpgrader{world: httpNewWorld(t)}
	u.sessions = httpSessions(t, u.world, config)
	s := u.sessions
	u.server = httptest.NewTLSServer(s.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Get(r.Context())
		if err != nil {
			t.Errorf("behind Require: %v", err)
			return
		}
		data, err := session.Data()
		if err != nil {
			t.Error(err)
		}
		before := fmt.Sprint(w.Header())
		u.writes = map[string]error{
			"Save": s.Save(w, r, "new"), "Commit": s.Commit(w, r, "new"), "Renew": s.Renew(w, r),
			"Reauthenticate": s.Reauthenticate(w, r), "EndOthers": s.EndOthers(w, r),
		}
		if after := fmt.Sprint(w.Header()); after != before {
			t.Errorf("the attempts changed the header from %s to %s", before, after)
		}
		conn, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: line\r\n\r\n%s %s\n", session.Subject, data)
	})))
	t.Cleanup(u.server.Close)
	return u
}

// upgrade requests the upgrade and returns the protocol's line, or the status
// of the refusal.
func (u *httpUpgrader) upgrade(t *testing.T, jar httpJar) string {
	t.Helper()
	conn, err := tls.Dial("tcp", u.server.Listener.Addr().String(), &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"http/1.1"}})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(2 * time.Minute))
	fmt.Fprintf(conn, "GET / HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive, Upgrade\r\nUpgrade: line\r\nCookie: %s\r\n\r\n", jar.header())
	r := bufio.NewReader(conn)
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if len(resp.Cookies()) != 0 {
		t.Errorf("the answer to an upgrade sets cookies: %d", len(resp.Cookies()))
	}
	if resp.StatusCode != http.StatusSwitchingProtocols {
		return resp.Status
	}
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(line)
}

// untouched runs f and fails if that changed the family or appended to the log.
func (u *httpUpgrader) untouched(t *testing.T, id store.ID, f func()) {
	t.Helper()
	dump := func() string {
		snap := u.world.family(t, id)
		return fmt.Sprintf("%v %+v %d", snap.State, snap.Family, snap.Head)
	}
	before := dump()
	u.world.store.newCalls()
	f()
	if after := dump(); after != before {
		t.Errorf("the family was %s, now %s", before, after)
	}
	for method := range strings.SplitSeq(u.world.store.newCalls(), " ") {
		if method != "" && method != "Family" {
			t.Errorf("an upgrade called the store's %s", method)
		}
	}
}

func TestStreamUpgradeWithAnExpiredCookie(t *testing.T) {
	for _, committed := range []bool{false, true} {
		u := httpNewUpgrader(t, wafer.Config[string]{})
		s := u.sessions
		jar := httpLogin(t, s, "alice", "data")
		if committed {
			jar.in(s, func(w http.ResponseWriter, r *http.Request) {
				if err := s.Commit(w, r, "data"); err != nil {
					t.Error(err)
				}
			})
		}
		id := httpWant(t, "login", s, jar, "alice", "data").ID
		u.world.clock.Move(6 * time.Minute)
		u.untouched(t, id, func() {
			for range 3 {
				if got := u.upgrade(t, jar); got != "alice data" {
					t.Errorf("the upgrade: %q", got)
				}
				for name, err := range u.writes {
					if !errors.Is(err, wafer.ErrExpired) {
						t.Errorf("%s in an upgrade: %v, want ErrExpired", name, err)
					}
				}
			}
		})
		if committed {
			u.untouched(t, id, func() {
				if got := u.upgrade(t, jar.only(httpRefresh)); got != "alice data" {
					t.Errorf("the upgrade with the refresh token alone: %q", got)
				}
			})
		}
		if got := u.world.family(t, id).Family.Generation; got != 1 {
			t.Errorf("generation %d", got)
		}
		httpWant(t, "the next normal request", s, jar, "alice", "data")
		if got := u.world.family(t, id).Family.Generation; got != 2 {
			t.Errorf("generation %d after the next normal request, want 2", got)
		}
		u.world.clock.Move(6 * time.Minute)
		httpWant(t, "and the one after", s, jar, "alice", "data")
	}
}

// As Commit and EndOthers document: the answer to an upgrade carries no cookie,
// whether the request's own is still good or not.
func TestStreamUpgradeWithAGoodCookieCannotWriteEither(t *testing.T) {
	for _, method := range []string{"Save", "Commit", "Renew", "Reauthenticate", "EndOthers"} {
		t.Run(method, func(t *testing.T) {
			s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
			jar := httpLogin(t, s, "alice", "data")
			lost := jar.clone() // the browser never receives what the upgrade wrote
			var err error
			lost.clone().do(s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				err = map[string]func() error{
					"Save": func() error { return s.Save(w, r, "new") }, "Commit": func() error { return s.Commit(w, r, "new") },
					"Renew": func() error { return s.Renew(w, r) }, "Reauthenticate": func() error { return s.Reauthenticate(w, r) },
					"EndOthers": func() error { return s.EndOthers(w, r) },
				}[method]()
			})), func(r *http.Request) {
				r.Header.Set("Connection", "Upgrade")
				r.Header.Set("Upgrade", "websocket")
			})
			if !errors.Is(err, wafer.ErrExpired) {
				t.Errorf("%s in an upgrade with a good cookie: %v, want ErrExpired", method, err)
			}
			httpWant(t, "the session lives on", s, lost, "alice", "data")
		})
	}
}

func TestStreamRefusedUpgrade(t *testing.T) {
	u := httpNewUpgrader(t, wafer.Config[string]{})
	for name, jar := range map[string]httpJar{"anonymous": {}, "junk": {httpSession: "junk", httpRefresh: "junk"}} {
		if got := u.upgrade(t, jar); got != "401 Unauthorized" {
			t.Errorf("%s: %q", name, got)
		}
	}
	jar := httpLogin(t, u.sessions, "alice", "data")
	u.world.clock.Move(6 * time.Minute)
	if got := u.upgrade(t, jar.only(httpSession)); got != "401 Unauthorized" {
		t.Errorf("an expired cookie without its refresh token: %q", got)
	}
	u.world.store.down.Store(true)
	if got := u.upgrade(t, jar); got != "503 Service Unavailable" {
		t.Errorf("an outage: %q", got)
	}
}

// The table in section 8 of the design, for requests whose answer cannot carry
// a cookie.
func TestStreamUpgradeGenerations(t *testing.T) {
	u := httpNewUpgrader(t, wafer.Config[string]{})
	s, clock := u.sessions, u.world.clock
	jar := httpLogin(t, s, "alice", "data")
	id := httpWant(t, "login", s, jar, "alice", "data").ID
	one := jar.clone()
	refresh := func() httpJar {
		t.Helper()
		clock.Move(6 * time.Minute)
		httpWant(t, "refresh", s, jar, "alice", "data")
		return jar.clone()
	}
	two := refresh()
	expect := func(what string, jar httpJar, want string) {
		t.Helper()
		u.untouched(t, id, func() {
			if got := u.upgrade(t, jar); got != want {
				t.Errorf("%s: %q, want %q", what, got, want)
			}
		})
	}
	clock.Move(29 * time.Second)
	expect("n-1 within the grace", one, "alice data")
	clock.Move(time.Second)
	expect("n-1 after the grace", one, "alice data")
	clock.Move(5 * time.Minute)
	expect("n", two, "alice data")
	expect("n-1 much later", one, "alice data")
	httpWant(t, "the upgrades did no harm", s, jar, "alice", "data")
	if f := u.world.family(t, id).Family; f.Generation != 3 || f.Copy != 0 {
		t.Fatalf("generation %d, copy %d; want 3 and none", f.Generation, f.Copy)
	}

	if got := u.upgrade(t, one); got != "401 Unauthorized" {
		t.Errorf("n-2: %q", got)
	}
	if got := u.world.family(t, id).State; got != store.Ended {
		t.Errorf("n-2: the family is %v, want ended", got)
	}
	if got := u.upgrade(t, jar); got != "401 Unauthorized" {
		t.Errorf("n after the replay: %q", got)
	}
	httpWantError(t, "a normal request after the replay", s, jar, wafer.ErrNoSession)
}

// With strict rotation n-1 after the grace is a replay in an upgrade too.
func TestStreamUpgradeStrictRotation(t *testing.T) {
	u := httpNewUpgrader(t, wafer.Config[string]{StrictRotation: true})
	jar := httpLogin(t, u.sessions, "alice", "data")
	one := jar.clone()
	u.world.clock.Move(6 * time.Minute)
	id := httpWant(t, "refresh", u.sessions, jar, "alice", "data").ID
	u.world.clock.Move(31 * time.Second)
	if got := u.upgrade(t, one); got != "401 Unauthorized" {
		t.Errorf("n-1 after the grace: %q", got)
	}
	if got := u.world.family(t, id).State; got != store.Ended {
		t.Errorf("the family is %v", got)
	}
}

// Requests that count as upgrades. None of them may advance a family.
func TestStreamWhatCountsAsAnUpgrade(t *testing.T) {
	for name, c := range map[string]struct {
		configure func(*http.Request)
		upgrade   bool
	}{
		"websocket": {func(r *http.Request) { r.Header.Set("Connection", "Upgrade"); r.Header.Set("Upgrade", "websocket") }, true},
		"lower case": {func(r *http.Request) {
			r.Header.Set("Connection", "keep-alive, upgrade")
			r.Header.Set("Upgrade", "WebSocket")
		}, true},
		"a proxy took Connection away": {func(r *http.Request) { r.Header.Set("Upgrade", "websocket") }, true},
		"extended CONNECT (RFC 8441)":  {func(r *http.Request) { r.Method = http.MethodConnect }, true},
		"what some clients offer with every request": {func(r *http.Request) {
			r.Header.Set("Connection", "Upgrade, HTTP2-Settings")
			r.Header.Set("Upgrade", "h2c")
		}, false},
		"a plain request":             {func(r *http.Request) { r.Header.Set("Connection", "keep-alive") }, false},
		"another header of that kind": {func(r *http.Request) { r.Header.Set("Upgrade-Insecure-Requests", "1") }, false},
	} {
		t.Run(name, func(t *testing.T) {
			world := httpNewWorld(t)
			s := httpSessions(t, world, wafer.Config[string]{})
			jar := httpLogin(t, s, "alice", "data")
			id := httpWant(t, "login", s, jar, "alice", "data").ID
			world.clock.Move(6 * time.Minute)
			w := jar.do(s.Require(httpWho(s)), c.configure)
			if w.Code != http.StatusOK || (len(w.Header()["Set-Cookie"]) == 0) != c.upgrade {
				t.Errorf("%d with %d cookies", w.Code, len(w.Header()["Set-Cookie"]))
			}
			if advanced := world.family(t, id).Family.Generation == 2; advanced == c.upgrade {
				t.Errorf("advanced: %v", advanced)
			}
		})
	}
}

// An upgrade of a session that was committed since its cookie was sealed
// continues with the committed data.
func TestStreamUpgradeTakesTheCommittedData(t *testing.T) {
	u := httpNewUpgrader(t, wafer.Config[string]{})
	jar := httpLogin(t, u.sessions, "alice", "old")
	stale := jar.clone()
	jar.in(u.sessions, func(w http.ResponseWriter, r *http.Request) {
		if err := u.sessions.Commit(w, r, "committed"); err != nil {
			t.Error(err)
		}
	})
	if got := u.upgrade(t, stale); got != "alice committed" {
		t.Errorf("%q, want the committed data", got)
	}
}

// A client that hangs up does not undo a refresh in flight.
func TestStreamHangUpDuringARefresh(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "data")
	world.clock.Move(6 * time.Minute)
	w := jar.do(s.Require(httpWho(s)), func(r *http.Request) {
		ctx, cancel := context.WithCancel(r.Context())
		cancel()
		*r = *r.WithContext(ctx)
	})
	if w.Code != http.StatusOK || len(w.Header()["Set-Cookie"]) != 2 {
		t.Errorf("%d with %d cookies", w.Code, len(w.Header()["Set-Cookie"]))
	}
	tokens, err := codec.NewRefreshTokens(world.ring, httpInstance)
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Parse(t.Context(), world.clock.Now(), jar[httpRefresh])
	if err != nil || token.Generation != 2 {
		t.Errorf("the browser has generation %d, %v", token.Generation, err)
	}
}
