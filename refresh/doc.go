// Package refresh implements the rules for refresh tokens. They decide whether
// a token's family advances, gets the same generation again, or is forgiven a
// lost answer, or whether the token was stolen. [Policy.Judge] is the table of
// rules, a pure function of a [Request] and a [store.Snapshot]. [Refresher.Do]
// carries out its verdict on a store.
//
// Applications use the root package. This package is for other transports that
// follow the same rules.
package refresh
