// Package refresh implements the rules for refresh tokens. The rule is that a
// token is good until its successor is used: then it, and every other successor of
// it, is theft.
//
// A token names a generation of its family, which counts the advances, and a
// copy, which tells apart the successors that were issued in place of lost
// answers. [Policy.Judge] is the table of rules, a pure function of a [Request]
// and a [store.Snapshot]: it decides whether a token's family advances, gets the
// same token again, or gets a copy, or whether the token was stolen.
// [Refresher.Do] carries out the verdict on a store.
//
// A family that is bound to a device's key is served only with a live proof by that
// key. A browser with a proof is judged as if it had presented the newest token: a
// proven device is no thief, whatever its jar fell back to. A native client needs the
// proof beside a good token, since its key is copied with its tokens. A family whose
// row is not as it was sealed is refused before any of this is asked.
//
// Applications use the root package. This package is for other transports that
// follow the same rules.
package refresh
