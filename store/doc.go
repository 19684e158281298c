// Package store is the contract between wafer and the database behind it. It
// holds the [Store] interface, the types of its arguments and results, and
// nothing else. An engine implements Store. Package store/memory is the engine
// for tests, and for a single process that may lose its state at a restart. The
// other engines are modules of their own.
//
// Applications open an engine and pass it to wafer.New. Only authors of engines
// need more of this package. The comments on the interface are the contract,
// and package storetest tests an engine against it.
//
// A store holds the families, the log of revocations, and the sealed document
// of the key set, so that one transaction covers a whole revocation.
//
// Engines make no decisions. Each method is one atomic step, and returns a
// [Snapshot] of what it saw. Package refresh decides what that means.
package store
