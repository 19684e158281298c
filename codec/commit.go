package codec

import (
	"context"
	"time"

	"github.com/waferkit/wafer/internal/xaes"
	"github.com/waferkit/wafer/keyring"
)

const (
	// MaxCommit is the length of the longest committed session data in
	// bytes, before sealing. It is small because it is server state.
	MaxCommit = 4096
	// MaxCommitSealed is the length of the longest sealed value in bytes.
	MaxCommitSealed = headSize + xaes.Overhead + MaxCommit
)

// Commits seals session data that is kept in the store (committed value,
// version 1). The family's id is authenticated with the data, so the rows of a
// store cannot be swapped.
type Commits struct{ sealer sealer }

// NewCommits returns the codec of committed values.
func NewCommits(ring *keyring.Ring, realm string) (*Commits, error) {
	s, err := newSealer(ring, keyring.Commit, realm)
	if err != nil {
		return nil, err
	}
	return &Commits{s}, nil
}

// Seal returns the sealed data of a family. The error is [ErrLength] if data
// has more than [MaxCommit] bytes.
func (c *Commits) Seal(now time.Time, family ID, data []byte) ([]byte, error) {
	if len(data) > MaxCommit {
		return nil, ErrLength
	}
	return c.sealer.seal(nil, now, string(family[:]), data)
}

// Open returns the data that Seal sealed for the same family. It does not
// modify sealed. ctx bounds the reload that an unknown key id causes.
func (c *Commits) Open(ctx context.Context, now time.Time, family ID, sealed []byte) ([]byte, error) {
	if len(sealed) > MaxCommitSealed {
		return nil, ErrLength
	}
	return c.sealer.open(ctx, now, string(family[:]), append([]byte(nil), sealed...))
}
