// Package codec turns sessions and tokens into bytes and back: sealed session
// cookies ([Cookies]), sealed values of the application's own ([Values]),
// committed session data ([Commits]), refresh tokens ([RefreshTokens]), access
// tokens ([AccessTokens]), and cookies in gorilla/securecookie's format
// ([Gorilla]). It knows no HTTP and no store. docs/formats.md is the
// specification of every format.
//
// Applications need [Values], for small secrets of their own such as the state
// before a login, and [Gorilla] to put the ring under gorilla/sessions. Services
// that take access tokens of another one need [ParseJWKS] and
// [NewAccessVerifier]. The other codecs are what the root package is built
// from.
//
// Everything here is immutable and safe for concurrent use. Every format has
// one encoding: what opens, seals back to the same bytes but for salt, nonce
// and tag. (An access token is JSON, and its signature vouches for the text.) Length is checked before decoding, authenticity before parsing, and
// the one key that the input names is the only one tried.
//
// Until version 1.0 the Go API may change between minor versions. A format
// that carries version 1 does not change; a new one would carry version 2.
package codec
