// Package storetest proves an engine against the contract of package store.
//
// An engine's module calls [Run] in one test and keeps no copy of any check:
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) storetest.Engine {
//			path := filepath.Join(t.TempDir(), "wafer.db")
//			open := func(t *testing.T) store.Store {
//				db, err := sqlite.Open(t.Context(), path, sqlite.Options{})
//				if err != nil {
//					t.Fatal(err)
//				}
//				t.Cleanup(func() { db.Close() })
//				return db
//			}
//			return storetest.Engine{Store: open(t), Reopen: open}
//		})
//	}
//
// Every call of the function opens a store that is new and empty. What else
// the suite may do to an engine (move its clock, open a second handle, count
// its rows) are the optional hooks of [Engine]; the more an engine offers the
// more is proven, and Run logs which are missing.
//
// A subtest is named after the sentence of the contract that it holds. Besides,
// every answer of the engine in every subtest is held against what all answers
// have in common: one log id, a head and a floor that never fall, a record that
// agrees with itself.
//
// The model (Model/…) runs random operations beside a plain in-memory truth,
// and the history (History/…) runs them from several goroutines and judges the
// answers by the log that remains. Two environment variables steer both:
// WAFER_SEED is the seed of a run to repeat, which a failure prints, and
// WAFER_LONG a duration, such as 10m, to go on for with ever new seeds. A third,
// WAFER_SCALE=full, tries 100,000 families of one subject, and everyone revoked
// over a million.
//
// By default everything is tried in few rounds, so that the suite takes seconds.
// With WAFER_FULL=1 races, random operations and bursts of news are repeated for
// as long as a change in an engine deserves: set it in CI, best together with
// the race detector.
//
// What no suite inside the process can show is left to each engine's own tests:
// a kill in mid-commit, a lost answer of the network, a failover.
//
// The package imports testing, and the standard library alone.
package storetest
