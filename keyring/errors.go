package keyring

import "errors"

// The errors of this package. Match them with [errors.Is].
var (
	// ErrUnknown is returned if no key has the id. A [Ring] with a source
	// reloads before it returns ErrUnknown.
	ErrUnknown = errors.New("keyring: unknown key id")
	// ErrExpired is returned if the key has expired: its successor took
	// over longer ago than the longest life of anything sealed under it.
	ErrExpired = errors.New("keyring: key expired")
	// ErrRevoked is returned if the key was revoked.
	ErrRevoked = errors.New("keyring: key revoked")
	// ErrNoPrimary is returned if no key may seal now, because the time is
	// before the first activation or because every key was revoked.
	ErrNoPrimary = errors.New("keyring: no key may seal now")

	// ErrAbsent is returned if the source holds no document. [Create] makes
	// one.
	ErrAbsent = errors.New("keyring: no key set there; make one with Create")
	// ErrExists is returned if the source already holds a document. Nothing
	// was written.
	ErrExists = errors.New("keyring: a key set exists there already; use Open")
	// ErrStatic is returned by every method that would change a ring of
	// static secrets, which change only with the program's configuration.
	ErrStatic = errors.New("keyring: static secrets cannot be changed by the ring")
	// ErrRollback is returned if the source holds an older version than
	// this ring has seen, or other content under the same version, for
	// example after a backup was restored. The ring keeps its own set.
	ErrRollback = errors.New("keyring: the key set went back to an older version")
	// ErrAnother is returned if the source holds the key set of another ring than
	// before. The ring keeps its own set until the program is started again.
	ErrAnother = errors.New("keyring: the key set is that of another ring")
)
