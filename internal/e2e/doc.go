// Package e2e holds the tests of whole nodes: one or more wafer.Sessions over
// one store, driven through HTTP as applications and browsers drive them.
//
// Promises are tested by functions named after them (TestPromise3_…):
//
//	go test ./... -run Promise
//
// world_test.go and world_http_test.go build the nodes, the store between them
// and the browser; fleet_test.go runs fifty nodes against an observer that knows
// what each answer had to be.
package e2e
