// Package redis is the engine for Redis 6.2 and later, and for Valkey. It keeps
// families, revocations and the key set's document on one server, or in one hash
// slot of a Cluster.
//
//	db, err := redis.Open(ctx, client, redis.Options{}) // with the application's client
//	db, err := redis.OpenURL(ctx, "rediss://user:password@redis.example:6380/0", redis.Options{})
//	defer db.Close()
//
// All keys of a store begin with its name in braces, so they share a slot. Every
// write is one script, which the server runs atomically. A call that would block
// the server for long is divided into several scripts. The log is usually read
// without a script. Scripts compute some of the keys that they touch: the key of a
// subject, for example, is known only after the family has been read. Such keys
// are not declared, and lie in the same slot as the declared one.
//
// An acknowledged write is as durable as the server's settings make it: README.md
// lists what each setting can lose. [Open] refuses a server that would lose
// revocations silently, and logs a warning if a crash or a failover can lose them.
//
// The engine opens its own connections, with the options of the client that it is
// given, so that no write is ever retried. If the reply to a write is lost, the
// call returns an error, and the write may have happened.
package redis
