package main

import (
	"net/http"
	"strconv"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// staff admits only the administrator. It must be wrapped in Require.
func (s *shop) staff(h http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		session, err := s.sessions.Get(r.Context())
		if err == nil && session.Subject != administrator {
			err = errForbidden
		}
		if err != nil {
			s.fail(w, r, err)
			return
		}
		h(w, r)
	}
}

type adminView struct {
	Users []adminUser
	health
}

type adminUser struct {
	Name    string
	Devices []device
}

func (s *shop) showAdmin(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) {
		s.fail(w, r, errNotAllowed)
		return
	}
	v := adminView{health: s.health()}
	for _, name := range userNames {
		list, err := s.devices(r, name)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		v.Users = append(v.Users, adminUser{name, list})
	}
	s.page(w, r, http.StatusOK, "admin", v)
}

// revoke ends one session, all sessions of a user, or all sessions. It does not
// wait for other nodes, on which the revocation is in force at most
// MaxStaleness later.
func (s *shop) revoke(w http.ResponseWriter, r *http.Request, f fields) error {
	revocation := wafer.Revocation{Reason: f["reason"], Actor: administrator}
	named := 0
	if text := f["session"]; text != "" {
		id, err := store.ParseID(text)
		if err != nil || id.IsZero() {
			return badRequest("session is not an id")
		}
		revocation.Sessions = []store.ID{id}
		named++
	}
	if text := f["subject"]; text != "" {
		if len(text) > store.MaxSubject {
			return badRequest("subject is longer than " + strconv.Itoa(store.MaxSubject) + " bytes")
		}
		revocation.Subjects = []string{text}
		named++
	}
	everyone, err := f.flag("everyone")
	if err != nil {
		return err
	}
	if everyone {
		revocation.Everyone = true
		named++
	}
	if named != 1 {
		return badRequest("name one of subject, session and everyone=1")
	}
	if len(revocation.Reason) > store.MaxReason {
		return badRequest("reason is longer than " + strconv.Itoa(store.MaxReason) + " bytes")
	}
	at, err := s.sessions.Revoke(r.Context(), revocation)
	if err != nil {
		return err
	}
	path := "/admin"
	if everyone || f["subject"] == administrator {
		path = "/login" // the administrator's own session has ended too
	}
	s.done(w, r, map[string]store.Position{"position": at}, path, "revoked")
	return nil
}

// health is the answer of GET /healthz.
type health struct {
	State       string         `json:"state"`
	Position    store.Position `json:"position"` // revocations up to here are in force on this node
	Head        store.Position `json:"head"`     // of the log, as far as this node has read it
	Floor       store.Position `json:"floor"`
	Lag         *int64         `json:"lag_ms"` // since the store last confirmed the list; null if it never has
	Revocations int            `json:"revocations"`
	Key         string         `json:"key"` // the primary's id, which is not secret
}

func (s *shop) health() health {
	h := s.sessions.Health()
	v := health{State: h.State, Position: h.Position, Head: h.Head, Floor: h.Floor, Revocations: h.Revocations}
	if h.State != "unknown" {
		lag := h.Age.Milliseconds()
		v.Lag = &lag
	}
	if key, err := s.ring.Primary(s.now()); err == nil {
		v.Key = key.ID().String()
	}
	return v
}

// healthz answers programs in JSON, whatever they accept. Without a key nothing
// can be sealed, so that is a 503. A stale replica still serves.
func (s *shop) healthz(w http.ResponseWriter, r *http.Request) {
	v := s.health()
	status := http.StatusOK
	if v.Key == "" {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, v)
}
