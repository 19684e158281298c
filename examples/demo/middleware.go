package main

import (
	"log/slog"
	"net/http"
	"path"
	"runtime/debug"
	"strings"
)

// secure sets the headers of every answer. Pages have no scripts, and their
// styles come from this site alone.
func secure(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		header := w.Header()
		header.Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Referrer-Policy", "same-origin")
		header.Add("Vary", "Accept")
		h.ServeHTTP(w, r)
	})
}

// bounded bounds the body of a request.
func bounded(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		h.ServeHTTP(w, r)
	})
}

// recovered answers a request whose handler panicked. Handlers write their
// answer in one piece at the end, so nothing of it has been sent by then.
func (s *shop) recovered(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			v := recover()
			if v == nil {
				return
			}
			if v == http.ErrAbortHandler {
				panic(v)
			}
			slog.Error("panic", "method", r.Method, "path", r.URL.Path, "value", v, "stack", string(debug.Stack()))
			s.fail(w, r, errInternal)
		}()
		h.ServeHTTP(w, r)
	})
}

// plainPaths answers paths that are not in their shortest form. ServeMux would
// redirect them with an HTML page.
func (s *shop) plainPaths(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if p := r.URL.Path; !strings.HasPrefix(p, "/") || p != path.Clean(p) {
			s.fail(w, r, errNotFound)
			return
		}
		h.ServeHTTP(w, r)
	})
}

// elsewhere answers requests that no route matches.
func (s *shop) elsewhere(mux *http.ServeMux) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		var allowed []string
		for _, method := range []string{http.MethodGet, http.MethodHead, http.MethodPost} {
			probe := &http.Request{Method: method, Host: r.Host, URL: r.URL}
			if _, pattern := mux.Handler(probe); pattern != "/" {
				allowed = append(allowed, method)
			}
		}
		if allowed == nil {
			s.fail(w, r, errNotFound)
			return
		}
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, errNotAllowed)
	}
}
