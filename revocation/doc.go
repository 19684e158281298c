// Package revocation tells whether a token is revoked. Two comparisons of
// whole numbers decide ([Judge]); what they compare comes from a [Replica],
// a node's in-memory copy of the store's log, or from the store itself, whose
// answers a [Cache] keeps on nodes that hold no Replica.
//
// Applications get all of this through the root package. A service that only
// verifies tokens opens a Replica of its own with [Follow] over the read-only
// part of a store ([Source]).
package revocation
