// Package jose shows that wafer's access tokens are what the standards say:
// verify.mjs verifies them in Node with jose, a JWT library that shares no code
// with ours, and forge.mjs forges them, which wafer must refuse. The package is
// its test:
//
//	go test ./examples/jose
//
// It needs Debian's packages nodejs (20 or later) and npm, and the npm registry
// or a cache of it, and is skipped without them; in CI it fails then.
package jose
