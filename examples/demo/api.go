package main

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"net/http"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

const (
	issuer   = "https://demo.wafer.example"
	audience = "demo-api"
)

// tokens configures access tokens for native clients and, if the flags are set,
// for scripts of the shop's pages and for services that introspect.
func tokens(f *flags) *wafer.TokenConfig[basket] {
	c := &wafer.TokenConfig[basket]{
		Issuer: issuer, Audience: audience,
		Claims: func(_ context.Context, session *wafer.Session[basket]) (wafer.TokenClaims, error) {
			if session.Subject == administrator {
				return wafer.TokenClaims{Scope: "shop admin"}, nil
			}
			return wafer.TokenClaims{Scope: "shop"}, nil
		},
	}
	if f.tokenAudience != "" {
		c.BrowserAudiences = []string{f.tokenAudience}
		if f.tokenAudience != audience {
			c.Audiences = c.BrowserAudiences
		}
	}
	if f.introspectSecret != "" {
		want := sha256.Sum256([]byte(f.introspectSecret))
		c.Introspect = func(r *http.Request) bool {
			_, secret, _ := r.BasicAuth()
			got := sha256.Sum256([]byte(secret))
			return subtle.ConstantTimeCompare(got[:], want[:]) == 1
		}
	}
	return c
}

// api returns the routes for native clients. They answer in JSON, whatever a
// client accepts.
func (s *shop) api() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /api/login", s.post(s.apiLogin))
	mux.Handle("GET /api/whoami", s.sessions.Bearer(http.HandlerFunc(s.whoami)))
	mux.HandleFunc("/", s.elsewhere(mux))
	return mux
}

// apiLogin begins a session of a native client. It answers with the token
// response of RFC 6749 section 5.1. The client refreshes at POST
// /session/refresh.
func (s *shop) apiLogin(w http.ResponseWriter, r *http.Request, f fields) error {
	user, err := f.need("user")
	if err != nil {
		return err
	}
	password, err := f.need("password")
	if err != nil {
		return err
	}
	var pair *wafer.TokenPair
	err = s.begin(r.Context(), user, password, func(at store.Position) error {
		pair, err = s.sessions.Issue(r.Context(), user, wafer.Label(deviceLabel(r.UserAgent())), wafer.NotBefore(at))
		return err
	})
	if err != nil {
		return err
	}
	pair.WriteResponse(w)
	return nil
}

// whoami returns the session of the client's access token.
func (s *shop) whoami(w http.ResponseWriter, r *http.Request) {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		Subject string   `json:"subject"`
		ID      store.ID `json:"id"`
		Scope   string   `json:"scope"`
	}{session.Subject, session.ID, session.Scope()})
}
