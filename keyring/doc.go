// Package keyring manages the secret keys that wafer seals with: it holds them,
// selects the one that seals now, rotates, revokes and prunes them.
//
// Use [Static] for a single machine whose secret comes from the environment.
// Use [Create] and [Open] with a [File] and a [Keeper] for keys that rotate.
//
//	ring, err := keyring.Static(os.Getenv("WAFER_SECRET"))
//
// [Ring.Maintain] rotates and prunes the keys from within each node; the
// command line does the same from a timer. [Import] turns the secrets of Static
// into a document, [Move] copies a document to another source, and
// [Ring.Rewrap] seals it under another keeper. None of these logs anybody out.
// Package passphrase has a keeper whose secret is a passphrase.
//
// A [Ring] is the live handle. It is safe for concurrent use and owns no
// goroutine, so it needs no closing. A [Set] is an immutable snapshot of its
// keys. The rules of rotation, revocation and pruning live in the methods that
// change a set, so no caller can break them.
//
// Only [Ring.Maintain] judges keys by the system clock. All other functions are
// passed the time, so that one decision about a cookie uses one time
// throughout.
//
// Secrets leave the package in two ways only: as subkeys that [Derived] passes
// to its build function, and sealed by a Keeper. Printing a Key, Set or Ring
// with any verb of package fmt shows key ids alone.
//
// The Go API may change between minor versions until version 1.0. A document
// that one release wrote can be read by all later releases.
package keyring
