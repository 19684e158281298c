// Package wafer keeps web sessions in the browser. Session data is sealed
// (encrypted and authenticated) into a cookie under a rotating keyring. The cookie
// is good for minutes, and a server-side refresh token renews it silently. A small
// revocation list, held in memory on every node, makes logout and admin revocation
// take effect at once, without a session store on the request path.
//
// Start with three lines, and the middleware:
//
//	ring, err := keyring.Static(os.Getenv("WAFER_SECRET"))
//	sessions, err := wafer.New(ctx, ring, memory.New(memory.Options{}), wafer.Config[Account]{Realm: "shop.example/production"})
//	mux.Handle("/", sessions.Handler(app))
//
// In a handler, [Sessions.Get] returns the request's [Session]. Begin one with
// Start after a login, change its data with Save or Commit, end it with End.
// [Sessions.Require] lets only requests with a session pass, and
// [Sessions.Error] answers any error of this package.
//
// Start, Save, Commit, Renew, Reauthenticate, EndOthers and End write cookies into
// the response's header. Call them before the first byte of the body, as with
// http.SetCookie. Package wafertest fails a handler that calls them later.
//
// The application's own routes that change something need protection from
// cross-site requests, as always: wrap them in [net/http.CrossOriginProtection].
//
// Until version 1.0 the Go API may change between minor versions. Cookies and
// tokens of format version 1 are read by all later releases.
package wafer
