package wafer

import "errors"

// What a call can answer. Match with [errors.Is]; [Sessions.Refuse] turns each
// into its status code. A client learns no more than that code.
var (
	// ErrNoSession: the request is anonymous. Whatever it brought was absent,
	// not authentic, over or revoked; the observer was told which. 401.
	ErrNoSession = errors.New("wafer: no session")
	// ErrUnavailable: the store did not answer where its answer was needed.
	// The request may well have a session; no cookie was touched, but by End,
	// which deletes them all the same. 503.
	ErrUnavailable = errors.New("wafer: the session store is unavailable")
	// ErrReauthenticate: the session's last authentication is too long ago for
	// what was asked. 403.
	ErrReauthenticate = errors.New("wafer: a recent authentication is needed")
	// ErrEnded: the session ended or was revoked while the request was under
	// way. [Config.Reload] returns an error that wraps it to end the session.
	// 401.
	ErrEnded = errors.New("wafer: the session has ended")
	// ErrExpired: the session cookie is past its own lifetime, so it cannot be
	// saved to, or, from [Sessions.Check], a refresh would be due. 409.
	ErrExpired = errors.New("wafer: the session cookie has expired")
	// ErrConflict: another request committed to the session first; start again
	// from its data. 409.
	ErrConflict = errors.New("wafer: the session was changed by another request")
	// ErrNotBefore: the subject was revoked since the position given to
	// [NotBefore]; check the credentials again. 409.
	ErrNotBefore = errors.New("wafer: the subject was revoked since the login began")
	// ErrLimit: the subject has as many sessions as it may have. 409.
	ErrLimit = errors.New("wafer: too many sessions")
	// ErrTooLarge: the session does not fit into a cookie. The error's text
	// says by how many bytes. 413.
	ErrTooLarge = errors.New("wafer: the session is too large for a cookie")
)

// errNotAttached is a programmer's mistake: it has no place in Refuse's table
// and is answered by 500.
var errNotAttached = errors.New("wafer: the request has not passed Handler, Require or Attach of these Sessions")
