// Package postgres is the engine for several machines. It keeps families,
// revocations and the key set's document in one schema of a PostgreSQL database,
// version 14 or later.
//
//	db, err := postgres.OpenURL(ctx, "postgres://app@db.internal/app", postgres.Options{})
//	defer db.Close()
//
// A write is committed and flushed when its call returns, even if the server's
// synchronous_commit is off. The README beside this file says what that means for
// replicas and a failover, which setting a pooler needs, and which rights a role
// needs.
//
// The calls that keep a node fresh have connections of their own besides the pool,
// so that no number of other calls keeps them waiting.
//
// Each method is one round trip. Functions in the schema run the transaction,
// and the engine sends it whole, so a node that is paused meanwhile holds no
// lock. A node that is cut off from the network meanwhile holds its locks until
// the server gives up the connection, some ten seconds later: the engine's
// transactions set the server's keepalives for that. Calls that wait at the same
// time share a transaction.
//
// All times are by the server's clock. If a log moves from one server to another,
// their clocks need to agree only as well as for any failover: positions rise
// regardless.
package postgres
