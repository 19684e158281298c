// Package revocation decides whether a token is revoked. [Judge] decides by two
// comparisons of whole numbers. The numbers come from a [Replica], which is a
// node's in-memory copy of the store's log. On nodes that hold no Replica, they
// come from the store itself through a [Cache].
//
// Applications get all of this through the root package. A service that only
// verifies tokens opens a Replica of its own with [Follow] over the read-only
// part of a store ([Source]).
package revocation
