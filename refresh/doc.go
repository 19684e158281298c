// Package refresh decides what becomes of a refresh token: whether its family
// advances, gets the same generation again, is forgiven a lost answer, or was
// stolen from. [Policy.Judge] is the whole table of rules, as a pure function
// of a generation and a [store.Snapshot]; [Refresher.Do] carries the verdict
// out over a store.
//
// Applications use the root package; this one is for those who build another
// transport on the same rules. A Refresher is safe for concurrent use, owns no
// goroutine, and needs no closing.
package refresh
