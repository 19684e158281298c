package main

import (
	"net/http"
	"strconv"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// staff lets only the administrator pass. It stands behind Require.
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

// revoke ends one session, all of a user, or all there are. It does not wait
// for other nodes: they know at most MaxStaleness later.
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
		path = "/login" // the administrator's own session is over too
	}
	s.done(w, r, map[string]store.Position{"position": at}, path, "revoked")
	return nil
}

// health is what GET /healthz tells.
type health struct {
	State       string         `json:"state"`
	Position    store.Position `json:"position"` // up to which revocations are in force here
	Head        store.Position `json:"head"`     // of the log, as far as this node has heard
	Floor       store.Position `json:"floor"`
	Lag         *int64         `json:"lag_ms"` // since the store last confirmed the list; null: it has not
	Revocations int            `json:"revocations"`
	Key         string         `json:"key"` // the primary's id: no secret
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

// healthz answers programs, whatever they accept. Without a key nothing can be
// sealed; a stale replica still serves.
func (s *shop) healthz(w http.ResponseWriter, r *http.Request) {
	v := s.health()
	status := http.StatusOK
	if v.Key == "" {
		status = http.StatusServiceUnavailable
	}
	w.Header().Set("Cache-Control", "no-store")
	writeJSON(w, status, v)
}
