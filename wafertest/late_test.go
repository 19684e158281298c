package wafertest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/wafertest"
)

// fakeT records failures in place of a test.
type fakeT struct {
	testing.TB
	mu     sync.Mutex
	errors []string
}

func (f *fakeT) Helper() {}

func (f *fakeT) Errorf(format string, args ...any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}

func (f *fakeT) failed() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(f.errors, "\n")
}

func write(t *testing.T, w io.Writer) {
	t.Helper()
	if _, err := io.WriteString(w, "x"); err != nil {
		t.Error(err)
	}
}

func TestFailLateWrites(t *testing.T) {
	h := wafertest.New(t, wafer.Config[string]{})
	s := h.Sessions
	start := func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, "alice", "data"); err != nil {
			t.Error(err)
		}
	}
	save := func(w http.ResponseWriter, r *http.Request) {
		if err := s.Save(w, r, "new"); err != nil {
			t.Error(err)
		}
	}
	for name, c := range map[string]struct {
		handle http.HandlerFunc
		late   bool
	}{
		"nothing":            {func(w http.ResponseWriter, r *http.Request) {}, false},
		"a body":             {func(w http.ResponseWriter, r *http.Request) { write(t, w) }, false},
		"Start":              {func(w http.ResponseWriter, r *http.Request) { start(w, r) }, false},
		"Start, then a body": {func(w http.ResponseWriter, r *http.Request) { start(w, r); write(t, w) }, false},
		"early hints": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusEarlyHints)
			start(w, r)
			w.(http.Flusher).Flush()
		}, false},
		"another header": {func(w http.ResponseWriter, r *http.Request) { start(w, r); write(t, w); w.Header().Set("X-Late", "1") }, false},
		"a trailer": {func(w http.ResponseWriter, r *http.Request) {
			start(w, r)
			write(t, w)
			w.Header().Set(http.TrailerPrefix+"X", "1")
		}, false},
		"after a body":         {func(w http.ResponseWriter, r *http.Request) { write(t, w); start(w, r) }, true},
		"after an empty write": {func(w http.ResponseWriter, r *http.Request) { w.Write(nil); start(w, r) }, true},
		"after WriteHeader":    {func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusAccepted); start(w, r) }, true},
		"after 101": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(http.StatusSwitchingProtocols)
			start(w, r)
		}, true},
		"after a flush": {func(w http.ResponseWriter, r *http.Request) { w.(http.Flusher).Flush(); start(w, r) }, true},
		"after a controlled one": {func(w http.ResponseWriter, r *http.Request) {
			if err := http.NewResponseController(w).Flush(); err != nil {
				t.Error(err)
			}
			start(w, r)
		}, true},
		"after http.Error": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", 400); start(w, r) }, true},
		"after http.Redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/", http.StatusSeeOther)
			start(w, r)
		}, true},
		"after io.Copy": {func(w http.ResponseWriter, r *http.Request) { io.Copy(w, strings.NewReader("x")); start(w, r) }, true},
		"after ServeContent": {func(w http.ResponseWriter, r *http.Request) {
			http.ServeContent(w, r, "x", time.Time{}, strings.NewReader("x"))
			start(w, r)
		}, true},
		"the second of two": {func(w http.ResponseWriter, r *http.Request) { start(w, r); write(t, w); save(w, r) }, true},
		"End":               {func(w http.ResponseWriter, r *http.Request) { start(w, r); write(t, w); s.End(w, r) }, true},
		"a cookie of its own": {func(w http.ResponseWriter, r *http.Request) {
			write(t, w)
			http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		}, true},
		"a cookie taken away": {func(w http.ResponseWriter, r *http.Request) { start(w, r); write(t, w); w.Header().Del("Set-Cookie") }, true},
		"in another goroutine": {func(w http.ResponseWriter, r *http.Request) {
			write(t, w)
			done := make(chan struct{})
			go func() { defer close(done); start(w, r) }()
			<-done
		}, true},
		"before a panic": {func(w http.ResponseWriter, r *http.Request) { write(t, w); start(w, r); panic(http.ErrAbortHandler) }, true},
	} {
		t.Run(name, func(t *testing.T) {
			fake := &fakeT{TB: t}
			app := wafertest.FailLateWrites(fake, s.Handler(c.handle))
			func() {
				defer func() {
					if r := recover(); r != nil && r != http.ErrAbortHandler {
						panic(r)
					}
				}()
				app.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/some/path", nil))
			}()
			failure := fake.failed()
			if (failure != "") != c.late {
				t.Errorf("the failure is %q, want one: %v", failure, c.late)
			}
			if c.late && !strings.Contains(failure, "POST /some/path") {
				t.Errorf("the failure does not say which request: %q", failure)
			}
		})
	}
}

// Over a real server, FailLateWrites hides nothing that the middleware must not
// hide, and a hijack that fails does not count as a first byte.
func TestFailLateWritesHidesNothing(t *testing.T) {
	for _, two := range []bool{false, true} {
		t.Run(map[bool]string{false: "HTTP1", true: "HTTP2"}[two], func(t *testing.T) {
			h := wafertest.New(t, wafer.Config[string]{})
			fake := &fakeT{TB: t}
			server := httptest.NewUnstartedServer(wafertest.FailLateWrites(fake, h.Sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				controller := http.NewResponseController(w)
				if err := controller.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
					t.Error(err)
				}
				conn, _, err := controller.Hijack()
				if two {
					if err == nil {
						t.Error("HTTP/2 was hijacked")
					}
					// The answer is an ordinary response.
					if err := h.Sessions.Start(w, r, "alice", ""); err != nil {
						t.Error(err)
					}
					write(t, w)
					return
				}
				if err != nil {
					t.Error(err)
					return
				}
				defer conn.Close()
				fmt.Fprint(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nx")
			}))))
			server.EnableHTTP2 = two
			server.StartTLS()
			defer server.Close()
			resp, err := server.Client().Get(server.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if body, err := io.ReadAll(resp.Body); string(body) != "x" || err != nil {
				t.Errorf("%q, %v", body, err)
			}
			if failure := fake.failed(); failure != "" {
				t.Errorf("an honest handler was failed: %s", failure)
			}
		})
	}
}

// A cookie after a hijack never reaches the browser.
func TestFailLateWritesAfterAHijack(t *testing.T) {
	h := wafertest.New(t, wafer.Config[string]{})
	fake := &fakeT{TB: t}
	app := wafertest.FailLateWrites(fake, h.Sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, _, err := w.(http.Hijacker).Hijack(); err != nil {
			t.Error(err)
		}
		if err := h.Sessions.Start(w, r, "alice", ""); err != nil {
			t.Error(err)
		}
	})))
	app.ServeHTTP(hijackable{httptest.NewRecorder()}, httptest.NewRequest(http.MethodGet, "/", nil))
	if fake.failed() == "" {
		t.Error("not noticed")
	}
}

type hijackable struct{ *httptest.ResponseRecorder }

func (hijackable) Hijack() (net.Conn, *bufio.ReadWriter, error) { return nil, nil, nil }
