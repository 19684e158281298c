// Package redis is the engine for Redis 6.2 and later, and for Valkey: families,
// revocations and the key set's document in one server, or in one hash slot of a
// Cluster.
//
//	db, err := redis.Open(ctx, client, redis.Options{}) // the client that the application has
//	db, err := redis.OpenURL(ctx, "rediss://user:password@redis.example:6380/0", redis.Options{})
//	defer db.Close()
//
// All keys of a store begin with its name in braces, so they share a slot, and
// every write is one script that the server runs whole; a call that would hold it
// up for long is several. The log is read without one. Scripts compute some of
// the keys that they touch (the key of a subject is known once the family is
// read): those are not declared, and are in the slot of the one that is.
//
// What a call has returned is as durable as the server is set up to be: README.md
// says which setting keeps what. [Open] refuses a server that would lose
// revocations in silence, and warns where a crash or a failover can lose them.
//
// The engine opens connections of its own, by the options of the client that it
// is given, so that no write is ever retried: a write whose answer was lost is
// an error, and may have happened.
package redis
