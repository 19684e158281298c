// Package keyring holds the secrets that wafer seals with: which keys exist,
// which one seals now, which ones still open, and how they are replaced.
//
// Start with [Static] for one machine and a secret from the environment, or
// with [Create] and [Open] over a [File] and a [Keeper] for keys that rotate.
//
//	ring, err := keyring.Static(os.Getenv("WAFER_SECRET"))
//
// [Ring.Maintain] in each node rotates and prunes; so does the command line, from
// a timer. [Import] takes an application from Static to a document, [Move] takes
// a document elsewhere, [Ring.Rewrap] puts it under another keeper, and none of
// them logs anybody out. Package passphrase has a keeper for people.
//
// A [Ring] is the live handle; it is safe for concurrent use and owns no
// goroutine, so there is nothing to close. A [Set] is an immutable snapshot of
// its keys. The rules of rotation, revocation and pruning live in the methods
// that change a set, so that no caller can break them.
//
// The package reads no clock, but in Maintain: whoever asks passes the time. That
// way one decision about a cookie uses one time throughout.
//
// Secrets leave the package in two ways only: as subkeys handed to the builder
// function of [Derived], and sealed by a Keeper. Printing a Key, Set or Ring
// with any verb of package fmt shows ids.
//
// Until version 1.0 the Go API may change between minor versions; a document
// written by one release is read by all later ones.
package keyring
