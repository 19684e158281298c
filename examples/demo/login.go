package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// maxLogins bounds the attempts of a login. It starts again if the user's
// sessions were revoked while the password was being checked.
const maxLogins = 3

// login begins a session. It does not slow down password guessing: a real shop
// puts a rate limit in front.
func (s *shop) login(w http.ResponseWriter, r *http.Request, f fields) error {
	user, err := f.need("user")
	if err != nil {
		return err
	}
	password, err := f.need("password")
	if err != nil {
		return err
	}
	remember, err := f.flag("remember")
	if err != nil {
		return err
	}
	options := []wafer.StartOption{wafer.Label(deviceLabel(r.UserAgent()))}
	if remember {
		options = append(options, wafer.Limits(s.remember, s.remember))
	}
	err = s.begin(r.Context(), user, password, func(at store.Position) error {
		return s.sessions.Start(w, r, user, basket{}, append(options, wafer.NotBefore(at))...)
	})
	if err != nil {
		return err
	}
	if wantsJSON(r) {
		return s.writeMe(w, r)
	}
	// The browser's next request shows whether it kept the cookies.
	http.Redirect(w, r, "/welcome?next="+nextOf(f["next"]), http.StatusSeeOther)
	return nil
}

// begin checks a password and starts a session by calling start. It reads the
// position before it checks the password. If the password is changed in
// between, start fails instead of slipping past the change, and the password is
// checked again.
func (s *shop) begin(ctx context.Context, user, password string, start func(notBefore store.Position) error) error {
	for attempt := 1; ; attempt++ {
		at, err := s.sessions.Position(ctx)
		if err != nil {
			return err
		}
		ok, err := s.users.verify(ctx, user, password)
		if err != nil {
			return err
		}
		if !ok {
			return errCredentials
		}
		err = start(at)
		if !errors.Is(err, wafer.ErrNotBefore) || attempt == maxLogins {
			return err
		}
	}
}

// welcome is the target of a login. A browser that comes without a session has
// not kept its cookies, and the page explains that to the user.
func (s *shop) welcome(w http.ResponseWriter, r *http.Request) {
	_, err := s.sessions.Get(r.Context())
	switch {
	case wantsJSON(r):
		s.fail(w, r, errNotFound)
	case err == nil:
		http.Redirect(w, r, nextOf(r.URL.Query().Get("next")), http.StatusSeeOther)
	case errors.Is(err, wafer.ErrUnavailable):
		s.fail(w, r, err)
	default:
		s.page(w, r, http.StatusUnauthorized, "nocookie", nil)
	}
}

func (s *shop) logout(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.End(w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	s.done(w, r, map[string]bool{"ok": true}, "/", "bye")
}

func (s *shop) logoutOthers(w http.ResponseWriter, r *http.Request) {
	if err := s.sessions.EndOthers(w, r); err != nil {
		s.fail(w, r, err)
		return
	}
	s.doneMe(w, r, "/devices", "others")
}

// changePassword writes the new password, ends the user's other sessions, and
// gives this one a new id, in that order. A login with the old password before
// it is replaced is cut off by the revocation that follows, and a login in
// progress fails by its NotBefore. The new id is for a thief who copied this
// very session: the old refresh token is dead.
func (s *shop) changePassword(w http.ResponseWriter, r *http.Request, f fields) error {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	old, err := f.need("old")
	if err != nil {
		return err
	}
	text, err := f.need("new")
	if err != nil {
		return err
	}
	ok, err := s.users.change(r.Context(), session.Subject, old, text)
	if err != nil {
		return err
	}
	if !ok {
		return errCredentials
	}
	if err := s.sessions.EndOthers(w, r); err != nil {
		return s.endAll(r.Context(), session.Subject, err)
	}
	if err := s.sessions.Renew(w, r); err != nil {
		return s.endAll(r.Context(), session.Subject, err)
	}
	s.doneMe(w, r, "/me", "password")
	return nil
}

// endAll handles a password change whose second half failed. The password is
// changed, so no older session may live on. All are ended, including this one,
// now or as soon as the store accepts it. The user logs in again.
func (s *shop) endAll(ctx context.Context, subject string, cause error) error {
	_, err := s.sessions.Revoke(ctx, wafer.Revocation{Subjects: []string{subject}, Reason: "password changed", Actor: subject})
	if err != nil {
		s.pending.add(subject)
		return err
	}
	if errors.Is(cause, wafer.ErrUnavailable) {
		return cause
	}
	return wafer.ErrEnded
}

// elevate authenticates the user again, for routes that require that.
func (s *shop) elevate(w http.ResponseWriter, r *http.Request, f fields) error {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		return err
	}
	password, err := f.need("password")
	if err != nil {
		return err
	}
	ok, err := s.users.verify(r.Context(), session.Subject, password)
	if err != nil {
		return err
	}
	if !ok {
		return errCredentials
	}
	if err := s.sessions.Reauthenticate(w, r); err != nil {
		return err
	}
	s.doneMe(w, r, nextOf(f["next"]), "elevated")
	return nil
}
