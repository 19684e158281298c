// Package storetest tests an engine against the contract of package store.
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
// Every call of the function opens a store that is new and empty. The optional
// hooks of [Engine] let the suite do more with an engine: move its clock, open
// a second handle, count its rows. Each hook adds tests, and Run logs which
// hooks are missing.
//
// A subtest is named after the sentence of the contract that it tests. In every
// subtest, every answer of the engine is also checked for what all answers have
// in common: one log id, a head and a floor that never fall, and a consistent
// record.
//
// The model (Model/…) runs random operations beside a simple reference in
// memory. The history (History/…) runs them from several goroutines, and judges
// the answers by the resulting log. Two environment variables control both.
// WAFER_SEED repeats the run with that seed, which a failure prints. WAFER_LONG
// is a duration, such as 10m, for which the run continues with new seeds. A
// third, WAFER_SCALE=full, tests 100,000 families of one subject, and a
// revocation of everyone over a million.
//
// By default everything runs in few rounds, so that the suite takes seconds.
// With WAFER_FULL=1, races, random operations and bursts of entries are
// repeated for as long as a change in an engine deserves. Set it in CI,
// preferably together with the race detector.
//
// Each engine has tests of its own for failures that a suite inside the process
// cannot cause: a kill in mid-commit, an answer lost by the network, a
// failover.
//
// The package imports testing, and otherwise only the standard library.
package storetest
