package codec

import "errors"

// The errors of this package: each names one class of failure. If the key that
// the input names is unknown, expired or revoked, the error is that of package
// keyring. The errors are for operators; clients get one uniform refusal. No
// error quotes the input.
var (
	// ErrLength is returned if the input is too long or too short for the
	// format.
	ErrLength = errors.New("codec: length out of range")
	// ErrEncoding is returned if the input is not strict unpadded
	// base64url, or lacks the format's prefix.
	ErrEncoding = errors.New("codec: not in the format's encoding")
	// ErrVersion is returned if this release does not support the version
	// of the format.
	ErrVersion = errors.New("codec: unknown version of the format")
	// ErrForged is returned if the input is not authentic under the key
	// that it names, for this realm or instance, purpose and name.
	ErrForged = errors.New("codec: not authentic")
	// ErrContent is returned if the input is authentic but malformed
	// inside. It was sealed by another release, or by another program that
	// holds the ring.
	ErrContent = errors.New("codec: authentic, but malformed inside")
	// ErrExpired is returned if the input is authentic but past its
	// lifetime.
	ErrExpired = errors.New("codec: past its lifetime")
	// ErrEarly is returned if the input is authentic but was issued in the
	// future, or is not valid yet. The clocks of two nodes are too far
	// apart.
	ErrEarly = errors.New("codec: before its lifetime")
)
