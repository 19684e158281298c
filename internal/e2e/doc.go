// Package e2e holds the tests of whole nodes: one or more wafer.Sessions over
// one store, driven through HTTP as applications and browsers drive them.
//
// Promises are tested by functions named after them (TestPromise3_…):
//
//	go test ./... -run Promise
//
// world_test.go and world_http_test.go build the nodes, their store and the
// browsers. fleet_test.go runs fifty nodes against an oracle that decides what
// each answer must be.
package e2e
