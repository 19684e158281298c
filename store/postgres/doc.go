// Package postgres is the engine for several machines: families, revocations
// and the key set's document in one schema of a PostgreSQL database, version 14
// or later.
//
//	db, err := postgres.OpenURL(ctx, "postgres://app@db.internal/app", postgres.Options{})
//	defer db.Close()
//
// What a call has returned is committed and flushed, also where the server's
// own setting of synchronous_commit is off. What that means for replicas and a
// failover is in the README beside this file, as are the setting behind a pooler
// and the rights that a role needs.
//
// All of one method's work is one round trip: the transaction is run by
// functions in the schema, and is sent whole, so a node that is paused in the
// middle holds no lock. One that is cut off from the network in the middle holds
// its locks until the server gives the connection up, some ten seconds later:
// the engine's transactions set the server's keepalives so. Calls that wait at
// the same time share a transaction.
//
// Times are by the server's clock. Two servers of one log must agree on it only
// as well as a failover should: positions rise regardless.
package postgres
