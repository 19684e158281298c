package wafertest

import (
	"bufio"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// FailLateWrites wraps a handler under test, including its middleware, and fails
// the test if it sets a cookie after the first byte of its response. Such a
// cookie never reaches the browser, so a session that was saved or renewed there
// is lost. The returned handler is safe for concurrent use if h is.
func FailLateWrites(t testing.TB, h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		watched := &watchedWriter{ResponseWriter: w}
		defer func() {
			if watched.late() {
				t.Errorf("wafertest: %s %s set a cookie after the first byte of its response; the browser never sees it. Save, Start and the like come before the first Write", r.Method, r.URL.Path)
			}
		}()
		h.ServeHTTP(watched, r)
	})
}

// watchedWriter records the cookies at the moment when the header was sent.
type watchedWriter struct {
	http.ResponseWriter
	mu   sync.Mutex
	sent bool
	then []string
}

func (w *watchedWriter) send() { w.sentWith(w.Header()["Set-Cookie"]) }

func (w *watchedWriter) sentWith(cookies []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.sent {
		w.sent, w.then = true, slices.Clone(cookies)
	}
}

func (w *watchedWriter) late() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sent && !slices.Equal(w.then, w.Header()["Set-Cookie"])
}

func (w *watchedWriter) WriteHeader(status int) {
	// A 1xx is followed by another header, except 101, which ends HTTP.
	if status >= 200 || status == http.StatusSwitchingProtocols {
		w.send()
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *watchedWriter) Write(b []byte) (int, error) {
	w.send()
	return w.ResponseWriter.Write(b)
}

func (w *watchedWriter) Flush() {
	cookies := slices.Clone(w.Header()["Set-Cookie"])
	if http.NewResponseController(w.ResponseWriter).Flush() == nil {
		w.sentWith(cookies)
	}
}

func (w *watchedWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	cookies := slices.Clone(w.Header()["Set-Cookie"])
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err == nil { // if it fails, the handler may still answer
		w.sentWith(cookies)
	}
	return conn, rw, err
}

// Unwrap lets [http.ResponseController] reach the methods that are not wrapped.
func (w *watchedWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
