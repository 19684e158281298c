// Package sentinel defines the errors of package wafer, so that its internal
// packages can return them too. The root package documents them.
package sentinel

import "errors"

// Package wafer exports each of these under its name here.
var (
	ErrNoSession      = errors.New("wafer: no session")
	ErrUnavailable    = errors.New("wafer: the session store is unavailable")
	ErrReauthenticate = errors.New("wafer: a recent authentication is needed")
	ErrActor          = errors.New("wafer: only the subject may do that, and somebody acts for the subject")
	ErrEnded          = errors.New("wafer: the session has ended")
	ErrExpired        = errors.New("wafer: the session cookie has expired")
	ErrConflict       = errors.New("wafer: the session was changed by another request")
	ErrNotBefore      = errors.New("wafer: the subject was revoked since the login began")
	ErrLimit          = errors.New("wafer: too many sessions")
	ErrTooLarge       = errors.New("wafer: the session is too large for a cookie")
)
