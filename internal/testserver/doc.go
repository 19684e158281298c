// Package testserver starts the real servers that tests and benchmarks of the
// engines need, each on a free port of the loopback interface with a data
// directory of its own, and ends them. It knows redis-server and postgres, and
// a TCP proxy that loses requests or answers on purpose.
//
// The functions that take a [testing.TB] skip where the server's program is not
// installed, naming the package; in CI (the variable WAFER_CI is set) they fail.
package testserver
