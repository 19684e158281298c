package main

import (
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"

	"github.com/waferkit/wafer"
)

// problem is an answer other than success: a code for programs, and two
// sentences for people.
type problem struct {
	Status      int
	Code        string
	Title, Text string
}

func (p *problem) Error() string { return p.Code }

var (
	errUnauthenticated = &problem{401, "unauthenticated", "Please log in", "Log in to go on."}
	errCredentials     = &problem{401, "credentials", "That did not match", "The name or the password is not right. Please try again."}
	errReauthenticate  = &problem{403, "reauthenticate", "Confirm that it is you", "It has been a while since you gave your password. Please give it once more to go on."}
	errForbidden       = &problem{403, "forbidden", "Staff only", "This page is for the administrator. Log in as admin to see it."}
	errCrossOrigin     = &problem{403, "cross-origin", "That came from another site", "Another site sent this form. Nothing was changed."}
	errNotFound        = &problem{404, "not found", "Nothing here", "There is no page at this address."}
	errNotAllowed      = &problem{405, "method not allowed", "Not like that", "This address does not answer to that method."}
	errConflict        = &problem{409, "conflict", "Another tab was faster", "Your session was changed by another tab or device in the meantime. Nothing was changed by this one. Have a look, and try again."}
	errFull            = &problem{409, "conflict", "Too many devices", "You are logged in on as many devices as this shop allows. Log out on one of them, and try again."}
	errTooLarge        = &problem{413, "too large", "That is too much", "It does not fit. Take something out, and try again."}
	errInternal        = &problem{500, "internal", "Something broke", "That was our mistake. Nothing more is known yet; please try again."}
	errUnavailable     = &problem{503, "unavailable", "Back in a moment", "We cannot check your session right now. You are still logged in: please try again in a few seconds."}
)

func badRequest(text string) *problem {
	return &problem{400, text, "That was not understood", "The form was not as expected: " + text + "."}
}

// problemOf returns the answer to an error. Clients learn no more than the
// status; the log has the rest.
func problemOf(err error) *problem {
	if p := (*problem)(nil); errors.As(err, &p) {
		return p
	}
	if errors.Is(err, wafer.ErrLimit) {
		return errFull
	}
	switch wafer.Status(err) {
	case http.StatusUnauthorized:
		return errUnauthenticated
	case http.StatusForbidden:
		return errReauthenticate
	case http.StatusConflict:
		return errConflict
	case http.StatusRequestEntityTooLarge:
		return errTooLarge
	case http.StatusServiceUnavailable:
		return errUnavailable
	}
	return errInternal
}

// fail answers a request with an error, as HTML or JSON. It is the
// Config.ErrorHandler too, so that wafer's own Require and RequireRecent use
// it.
func (s *shop) fail(w http.ResponseWriter, r *http.Request, err error) {
	p := problemOf(err)
	switch p {
	case errInternal:
		slog.Error("request failed", "method", r.Method, "path", r.URL.Path, "error", err)
	case errUnavailable:
		w.Header().Set("Retry-After", "1")
	}
	if w.Header().Get("Cache-Control") == "" {
		w.Header().Set("Cache-Control", "no-store")
	}
	if wantsJSON(r) {
		writeJSON(w, p.Status, map[string]string{"error": p.Code})
		return
	}
	switch {
	case p == errUnauthenticated:
		s.page(w, r, p.Status, "login", loginView{Next: nextOf(r.URL.Path), Problem: p})
	case p == errReauthenticate:
		s.page(w, r, p.Status, "elevate", loginView{Next: nextOf(r.URL.Path), Problem: p})
	case p == errCredentials && formOf[r.URL.Path] != "":
		s.page(w, r, p.Status, formOf[r.URL.Path], loginView{Next: nextOf(r.PostFormValue("next")), User: r.PostFormValue("user"), Problem: p})
	default:
		s.page(w, r, p.Status, "message", p)
	}
}

// formOf maps a path to the page whose form posts to it.
var formOf = map[string]string{"/login": "login", "/elevate": "elevate", "/password": "password"}

// pages are the pages that a login may lead back to. Any other target, such as
// another site, leads to the front page.
var pages = map[string]bool{"/cart": true, "/me": true, "/devices": true, "/password": true, "/transfer": true, "/admin": true}

func nextOf(path string) string {
	path = strings.TrimSuffix(path, "/end") // of a form on the page itself
	if pages[path] {
		return path
	}
	return "/"
}

// done answers a change. JSON clients get v, and browsers are redirected to a
// page that shows the note.
func (s *shop) done(w http.ResponseWriter, r *http.Request, v any, path, note string) {
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, v)
		return
	}
	if note != "" {
		path += "?" + url.Values{"note": {note}}.Encode()
	}
	http.Redirect(w, r, path, http.StatusSeeOther)
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err) // our own types: recovered answers with a 500
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}

// wantsJSON reports whether a request accepts JSON, and not HTML before it. The
// API and the endpoints answer in JSON alone.
func wantsJSON(r *http.Request) bool {
	if strings.HasPrefix(r.RequestURI, "/api/") || strings.HasPrefix(r.RequestURI, "/session/") {
		return true
	}
	for _, line := range r.Header.Values("Accept") {
		for accepted := range strings.SplitSeq(line, ",") {
			media, _, _ := strings.Cut(accepted, ";")
			switch strings.ToLower(strings.TrimSpace(media)) {
			case "application/json":
				return true
			case "text/html":
				return false
			}
		}
	}
	return false
}
