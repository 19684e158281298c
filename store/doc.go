// Package store is the contract between wafer and the database behind it: the
// [Store] interface, the types that it moves, and nothing else. An engine
// implements it; store/memory is the one for tests and for a single process
// that may forget at restart, and others are modules of their own.
//
// Applications open an engine and hand it to wafer.New; only authors of engines
// need more of this package. The comments on the interface are the contract,
// and package storetest proves an engine against it.
//
// A store holds the families, the log of revocations, and the sealed document
// of the key set, so that one transaction covers a revocation whole.
//
// Engines stay dumb: they keep what is said here in one atomic step each, and
// answer with a [Snapshot] of what they saw. What it means is decided in
// package refresh.
package store
