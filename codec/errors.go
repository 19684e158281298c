package codec

import "errors"

// Why an input does not open. Each names one class of failure; besides these,
// the errors of package keyring say what is wrong with the key that the input
// names. They are for operators: a client gets one uniform refusal. No error
// quotes the input.
var (
	// ErrLength: too long or too short to be of the format.
	ErrLength = errors.New("codec: length out of range")
	// ErrEncoding: not strict unpadded base64url, or not the format's prefix.
	ErrEncoding = errors.New("codec: not in the format's encoding")
	// ErrVersion: a version of the format that this release does not know.
	ErrVersion = errors.New("codec: unknown version of the format")
	// ErrForged: not authentic under the key that it names, for this realm,
	// purpose and name.
	ErrForged = errors.New("codec: not authentic")
	// ErrContent: authentic, but the content is not of the form. It was sealed
	// by another release, or by a program that holds the ring.
	ErrContent = errors.New("codec: authentic, but malformed inside")
	// ErrExpired: authentic, but past its lifetime.
	ErrExpired = errors.New("codec: past its lifetime")
	// ErrEarly: authentic, but issued in the future, or not valid yet. The
	// clocks of two nodes are too far apart.
	ErrEarly = errors.New("codec: before its lifetime")
)
