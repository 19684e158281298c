// Readme is the program of the README: login, a page that needs a session,
// logout. Give it a secret:
//
//	WAFER_SECRET=$(openssl rand -base64 32) go run ./examples/readme
package main
