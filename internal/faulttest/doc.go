// Package faulttest observes wafer's promises from outside, in tests that make an
// engine fail. A [World] has real nodes (wafer.Sessions) over real engines in real
// time, browsers, an operator who revokes, and thieves who keep what was revoked.
// Its observer sees what calls return, and when, and reports of theft. It does not
// look into the store.
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
//		world.Settle() // the fault is over: everything must recover by itself
//	})
//
// [World.Run] ends with a [World.Settle] of its own. A broken promise fails the
// test with the story of the session concerned. The observer checks:
//
//   - Promise 1. Once a revocation is acknowledged, its node refuses what it
//     covers, even after a restart, and so does a node that starts later. Every
//     other node refuses it MaxStaleness later. A 503 is a refusal. The effect of
//     a call that returned an error is unknown: both outcomes are allowed until
//     the call is repeated with success. A logout that the store did not accept
//     is in force on its node all the same.
//   - Promises 5 and 9. A browser whose session nobody has revoked gets 200 or 503,
//     never loses a cookie, and is never reported as a thief, however many answers
//     are lost. The one excuse is the README's: two tabs that overlap and are slow,
//     after a lost answer. [World.Excused] counts these. Within Config.Recovery
//     after a fault every such browser gets 200 from every node.
//   - Data. A browser reads the data of its last answer, or the data of a commit
//     that returned an error. Acknowledged data are never rolled back or lost,
//     even if the browser has lost its cookie or puts an older one back.
//   - Promise 4, by [World.ReadsCost].
//
// If the store itself is about to lose what it has acknowledged (a flush, the
// promotion of a lagging replica, a restored dump), the test first calls
// [World.Loses].
//
// Residents are browsers whose sessions nobody ends. Guests log out, log out
// everywhere else, and are revoked. [World.Browser] makes another browser for a
// test that goes step by step, [World.Revoke] makes a single revocation, and
// [World.Latency] measures how long one takes to reach the other nodes. The
// package is for tests only.
package faulttest
