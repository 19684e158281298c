// Package codec encodes and decodes sessions and tokens: sealed session cookies
// ([Cookies]), an application's own sealed values ([Values]), committed session
// data ([Commits]), the seals of families ([FamilySeals]), refresh tokens
// ([RefreshTokens]), access tokens ([AccessTokens]), and cookies in the format
// of gorilla/securecookie ([Gorilla]). It uses neither HTTP nor a store.
// docs/formats.md specifies every format.
//
// Applications use [Values] for small secrets of their own, such as the state
// before a login, and [Gorilla] to use gorilla/sessions with keys of the ring.
// Services that accept the access tokens of another service use [ParseJWKS] and
// [NewAccessVerifier]. The other codecs are what the root package is built
// from.
//
// All types of this package are immutable and safe for concurrent use.
//
// Every format is canonical: opening a value and sealing it again yields the
// same bytes, except for the salt, nonce and tag. (Access tokens are JSON, and
// their signature covers the exact text.) The length is checked before decoding
// and the authenticity before parsing. The only key that is tried is the one
// that the input names.
//
// The Go API may change between minor versions until version 1.0. A format of
// version 1 does not change; a new one would have version 2.
package codec
