package wafer

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// Endpoints returns the handler of the endpoints below. Mount it under any
// prefix:
//
//	mux.Handle("/session/", http.StripPrefix("/session", sessions.Endpoints()))
//
// For browsers, and for clients with an access token:
//
//	POST   /logout         End; 204
//	GET    /devices        the subject's living sessions, as JSON
//	DELETE /devices/{id}   ends one of them; needs an authentication within
//	                       [Config.Recent], by the subject, else 403; 204, or 404
//
// If [Config.Tokens] is set:
//
//	POST   /token          mints an access token from a browser's session, for
//	                       the audience in the form field "audience"; off
//	                       without [TokenConfig.BrowserAudiences]
//	POST   /refresh        grant_type=refresh_token for native clients (RFC 6749
//	                       section 6); takes "audience" too
//	POST   /revoke         ends the session of a token (RFC 7009)
//	POST   /introspect     says whether a token is active (RFC 7662); off
//	                       without [TokenConfig.Introspect]
//	GET    /jwks.json      the public keys (RFC 7517)
//
// Requests from other sites that would change something are refused, except those
// from [Config.TrustedOrigins].
//
// Rate limits are the application's; put them in front. Limit refresh, revoke and
// introspect by the client's address: each forged token costs an HMAC or the
// verification of a signature, and no store call. Limit the others by session.
func (s *Sessions[T]) Endpoints() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /logout", s.logoutEndpoint)
	mux.Handle("GET /devices", s.Require(http.HandlerFunc(s.devicesEndpoint)))
	mux.Handle("DELETE /devices/{id}", s.requireSubject(s.RequireRecent(s.config.Recent)(http.HandlerFunc(s.deleteDeviceEndpoint))))
	if tokens := s.config.Tokens; tokens != nil {
		if len(tokens.BrowserAudiences) > 0 {
			mux.HandleFunc("POST /token", s.tokenEndpoint)
		}
		mux.HandleFunc("POST /refresh", s.refreshEndpoint)
		mux.HandleFunc("POST /revoke", s.revokeEndpoint)
		if tokens.Introspect != nil {
			mux.HandleFunc("POST /introspect", s.introspectEndpoint)
		}
		mux.HandleFunc("GET /jwks.json", s.jwksEndpoint)
	}
	return s.protection.Handler(mux)
}

// protect returns the protection from requests of other sites.
func (c *Config[T]) protect() (*http.CrossOriginProtection, error) {
	protection := http.NewCrossOriginProtection()
	for _, origin := range c.TrustedOrigins {
		if err := protection.AddTrustedOrigin(origin); err != nil {
			return nil, err
		}
	}
	return protection, nil
}

func (s *Sessions[T]) logoutEndpoint(w http.ResponseWriter, r *http.Request) {
	r, _ = s.Attach(w, r) // a bearer token names its session too
	if err := s.End(w, r); err != nil {
		s.Error(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

// deviceJSON is the JSON form of a Device.
type deviceJSON struct {
	ID            store.ID  `json:"id"`
	Actor         string    `json:"actor,omitempty"`
	Label         string    `json:"label"`
	Native        bool      `json:"native"`
	Started       time.Time `json:"started"`
	Authenticated time.Time `json:"authenticated"`
	Seen          time.Time `json:"seen"`
	Current       bool      `json:"current"`
}

func (s *Sessions[T]) devicesEndpoint(w http.ResponseWriter, r *http.Request) {
	session, err := s.Get(r.Context())
	if err != nil {
		s.Error(w, r, err)
		return
	}
	devices, err := s.Devices(r.Context(), session.header().Subject.Text())
	if err != nil {
		s.Error(w, r, err)
		return
	}
	list := make([]deviceJSON, len(devices))
	for i, d := range devices {
		list[i] = deviceJSON{
			d.ID, d.Actor, d.Label, d.Native, d.Started.UTC(), d.Authenticated.UTC(), d.Seen.UTC(), d.ID == session.id(),
		}
	}
	writeJSON(w, http.StatusOK, map[string]any{"devices": list})
}

// deleteDeviceEndpoint ends a session of the caller's own subject. The session of
// another subject gets the same answer as one that never existed.
func (s *Sessions[T]) deleteDeviceEndpoint(w http.ResponseWriter, r *http.Request) {
	session, err := s.Get(r.Context())
	if err != nil {
		s.Error(w, r, err)
		return
	}
	id, err := store.ParseID(strings.ToLower(r.PathValue("id")))
	if err != nil || id.IsZero() {
		http.Error(w, http.StatusText(http.StatusNotFound), http.StatusNotFound)
		return
	}
	snap, err := s.node.Family(r.Context(), id)
	if err != nil {
		s.Error(w, r, err)
		return
	}
	if snap.State != store.Alive || snap.Family.Subject != session.header().Subject.Text() || snap.Family.Past(snap.Now) {
		http.Error(w, http.StatusText(http.StatusNotFound), http.StatusNotFound)
		return
	}
	if err := s.node.End(r.Context(), "ended on the page of devices", session.header().Subject.Text(), id); err != nil {
		s.Error(w, r, err)
		return
	}
	w.WriteHeader(http.StatusNoContent)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, http.StatusText(http.StatusInternalServerError), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
