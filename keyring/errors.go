package keyring

import "errors"

// Why a ring does not hand out a key, or does not change. Match with
// [errors.Is].
var (
	// ErrUnknown: no key has that id, also after a reload where one was due.
	ErrUnknown = errors.New("keyring: unknown key id")
	// ErrExpired: the key's successor took over longer ago than anything
	// sealed under it may live.
	ErrExpired = errors.New("keyring: key expired")
	// ErrRevoked: the key was revoked.
	ErrRevoked = errors.New("keyring: key revoked")
	// ErrNoPrimary: no key may seal now. The clock is before the first
	// activation, or every key was revoked.
	ErrNoPrimary = errors.New("keyring: no key may seal now")

	// ErrAbsent: the source holds no document. Make one with [Create].
	ErrAbsent = errors.New("keyring: no key set there; make one with Create")
	// ErrExists: the source already holds a document, so Create made none.
	ErrExists = errors.New("keyring: a key set exists there already; use Open")
	// ErrStatic: static secrets change with the program's configuration only.
	ErrStatic = errors.New("keyring: static secrets cannot be changed by the ring")
	// ErrRollback: the source holds an older version than this ring has seen,
	// as after a restored backup. The ring keeps the newer one.
	ErrRollback = errors.New("keyring: the key set went back to an older version")
)
