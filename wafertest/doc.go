// Package wafertest supports tests of applications that use wafer.
//
// [New] returns sessions over a memory store, with a clock that the test moves.
// [Harness.Login] logs in a client of an httptest server. [FailLateWrites] fails
// the test if a handler writes a session after the first byte of its response.
package wafertest
