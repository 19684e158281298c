package wafer

import (
	"errors"

	"github.com/waferkit/wafer/internal/sentinel"
)

// The errors that calls return. Match them with [errors.Is]. [Sessions.Error]
// turns each into its status code; the client learns no more than that code.
var (
	// ErrNoSession if the request is anonymous: its credentials were absent, not
	// authentic, past a limit or revoked. The observer got the exact reason. 401.
	ErrNoSession = sentinel.ErrNoSession
	// ErrUnavailable if the store did not answer and its answer was needed. The
	// request may well have a session. No cookie was touched, except by End,
	// which deletes them all the same. 503.
	ErrUnavailable = sentinel.ErrUnavailable
	// ErrReauthenticate if the session's last authentication is too long ago for
	// the route. 403.
	ErrReauthenticate = sentinel.ErrReauthenticate
	// ErrActor if somebody acts for the subject in this session ([Actor]), and only
	// the subject may do that. 403.
	ErrActor = sentinel.ErrActor
	// ErrEnded if the session ended or was revoked during the request.
	// [Config.Reload] returns an error that wraps ErrEnded to end the session.
	// 401.
	ErrEnded = sentinel.ErrEnded
	// ErrExpired if the session cookie is past its own lifetime: it can no longer
	// be saved to or, from [Sessions.Check], a refresh is due. 409.
	ErrExpired = sentinel.ErrExpired
	// ErrConflict if another request committed to the session first. Start again
	// from its data. 409.
	ErrConflict = sentinel.ErrConflict
	// ErrNotBefore if the subject was revoked after the position given to
	// [NotBefore]. Check the credentials again. 409.
	ErrNotBefore = sentinel.ErrNotBefore
	// ErrLimit if the subject already has the maximum number of sessions. 409.
	ErrLimit = sentinel.ErrLimit
	// ErrTooLarge if the session does not fit into a cookie. The text says by how
	// many bytes. 413.
	ErrTooLarge = sentinel.ErrTooLarge
)

// errNotAttached is a programmer's mistake, so Error answers it with 500.
var errNotAttached = errors.New("wafer: the request has not passed Handler, Require or Attach of these Sessions")
