// Package faulttest is the outside observer of wafer's promises for tests that
// hurt an engine: real nodes (wafer.Sessions) over real engines in real time,
// browsers, an operator who revokes, and a thief who keeps what was revoked.
// The observer knows what calls returned, and when; of the store it sees the
// answers to Advance and Forgive alone, since an excuse hangs on those.
//
//	world := faulttest.New(t, faulttest.Config{
//		Open: func(node int) (store.Store, io.Closer, error) {
//			db, err := redis.OpenURL(ctx, url, redis.Options{})
//			return db, db, err
//		},
//	})
//	world.Run(func() { // faults happen here, under load
//		server.Kill()
//		server.Start()
//		world.Settle() // the fault is over: all must be well again by itself
//	})
//
// [World.Run] ends with a [World.Settle] of its own. A broken promise fails the
// test with the story of the session concerned. What is held:
//
//   - Promise 1. After a revocation was acknowledged, its node refuses what it
//     covers, also when it was restarted, and so does a node that was started
//     later; every other node does MaxStaleness later. 503 is a refusal. What a
//     call did that returned an error is unknown: both are allowed until it is
//     repeated with success. A logout that the store did not take is in force on
//     its node all the same.
//   - Promise 5. A browser whose session nobody has revoked gets 200 or 503 and
//     never loses a cookie. The one excuse is README's: a second lost answer in
//     a session's life, where the first had to be forgiven. [World.Excused]
//     counts them. Within Config.Recovery after a fault every such browser gets
//     200 from every node.
//   - Data. What a browser reads is what its last answer said, or what a commit
//     tried that returned an error: nothing acknowledged is rolled back or lost,
//     also where the browser has lost its cookie, or puts an older one back.
//   - Promise 4, by [World.ReadsCost].
//
// Where the store itself loses what it has acknowledged (a flush, a lagging
// replica that is promoted, a restored dump), the test says so by
// [World.Loses] before it does that.
//
// Residents are browsers whose sessions nobody ends; guests log out, log out
// everywhere else, and are revoked. [World.Browser] makes another for a test
// that goes step by step, [World.Revoke] is a revocation by hand, and
// [World.Latency] measures how long one takes to reach the other nodes. Nothing
// here is for use outside of tests.
package faulttest
