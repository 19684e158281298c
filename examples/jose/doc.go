// Package jose tests that wafer's access tokens conform to the standards.
// verify.mjs verifies them in Node with jose, a JWT library that shares no code
// with wafer, and forge.mjs forges tokens that wafer must refuse. The package
// consists of its test:
//
//	go test ./examples/jose
//
// It needs Debian's packages nodejs (20 or later) and npm, and the npm registry or
// a cache of it. Without them the test is skipped, or fails in CI.
package jose
