package main

import (
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// me is the answer of GET /me.
type me struct {
	Subject       string    `json:"subject"`
	ID            store.ID  `json:"id"`
	Started       time.Time `json:"started"`
	Authenticated time.Time `json:"authenticated"`
	Data          basket    `json:"data"`
}

func newMe(session *wafer.Session[basket]) (me, error) {
	data, err := session.Data()
	if data.Cart == nil {
		data.Cart = map[string]int{}
	}
	return me{session.Subject, session.ID, session.Started.UTC(), session.Authenticated.UTC(), data}, err
}

// writeMe answers with the session as this request has made it.
func (s *shop) writeMe(w http.ResponseWriter, r *http.Request) error {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	v, err := newMe(session)
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, v)
	return nil
}

// doneMe answers a change of the session. JSON clients get the session.
func (s *shop) doneMe(w http.ResponseWriter, r *http.Request, path, note string) {
	if !wantsJSON(r) {
		s.done(w, r, nil, path, note)
		return
	}
	if err := s.writeMe(w, r); err != nil {
		s.fail(w, r, err)
	}
}

type meView struct {
	me
	Deadline time.Time
	Items    int
}

func (s *shop) showMe(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) {
		s.doneMe(w, r, "", "")
		return
	}
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	v, err := newMe(session)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	s.page(w, r, http.StatusOK, "me", meView{v, session.Deadline(), v.Data.count()})
}

// device is one row of GET /devices.
type device struct {
	ID      store.ID  `json:"id"`
	Current bool      `json:"current"`
	Started time.Time `json:"started"`
	Seen    time.Time `json:"seen"`
	Label   string    `json:"label"`
}

func (s *shop) devices(r *http.Request, subject string) ([]device, error) {
	var current store.ID
	if session, err := s.sessions.Get(r.Context()); err == nil {
		current = session.ID
	}
	living, err := s.sessions.Devices(r.Context(), subject)
	list := make([]device, len(living))
	for i, d := range living {
		list[i] = device{d.ID, d.ID == current, d.Started.UTC(), d.Seen.UTC(), d.Label}
	}
	return list, err
}

func (s *shop) showDevices(w http.ResponseWriter, r *http.Request) {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	list, err := s.devices(r, session.Subject)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case wantsJSON(r):
		writeJSON(w, http.StatusOK, list)
	default:
		s.page(w, r, http.StatusOK, "devices", list)
	}
}

// endDevice ends one of the user's own sessions. It is the page's counterpart
// of DELETE /session/devices/{id}. The id of another user's session gets the
// same answer as an unknown one.
func (s *shop) endDevice(w http.ResponseWriter, r *http.Request, f fields) error {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	id, err := store.ParseID(f["id"])
	if err != nil || id.IsZero() {
		return badRequest("id is not a session's id")
	}
	living, err := s.sessions.Devices(r.Context(), session.Subject)
	if err != nil {
		return err
	}
	if !slices.ContainsFunc(living, func(d wafer.Device) bool { return d.ID == id }) {
		return errNotFound
	}
	if id == session.ID {
		s.logout(w, r) // its own cookies are deleted too
		return nil
	}
	_, err = s.sessions.Revoke(r.Context(), wafer.Revocation{Sessions: []store.ID{id}, Reason: "ended on the page of devices", Actor: session.Subject})
	if err != nil {
		return err
	}
	s.done(w, r, map[string]bool{"ok": true}, "/devices", "device")
	return nil
}

const maxTransfer = 500

// transfer pretends to send a voucher, an action that needs a recent
// authentication. Both fields have a default, so that a client can try the
// route without them.
func (s *shop) transfer(w http.ResponseWriter, r *http.Request, f fields) error {
	to, amount := f["to"], 10
	if to == "" {
		to = "a friend"
	}
	if text := f["amount"]; text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 || n > maxTransfer {
			return badRequest("amount is not a whole number from 1 to " + strconv.Itoa(maxTransfer))
		}
		amount = n
	}
	s.done(w, r, map[string]any{"ok": true, "to": to, "amount": amount}, "/transfer", "sent")
	return nil
}
