// Package testserver starts and ends the real servers that tests and benchmarks of
// the engines need: redis-server and postgres. Each runs on a free port of the
// loopback interface with a data directory of its own. A [Proxy] in front of a
// server loses requests or answers on purpose. [Trips] counts what a client sends.
//
// If the server's program is not installed, the functions with a [testing.TB] skip
// the test and name the package to install. In CI, where the variable WAFER_CI is
// set, they fail it instead.
package testserver
