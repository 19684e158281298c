// Package wafertest is for the tests of applications that use wafer: [New]
// gives sessions over a memory store and one clock that the test moves,
// [Harness.Login] logs a client of an httptest server in, and
// [FailLateWrites] fails a handler that writes a session after its first byte.
package wafertest
