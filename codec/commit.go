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

// Commits seals the session data of one instance that is kept in the store
// (committed value, version 1). The instance and the family's id are
// authenticated with the data. So the rows of a store cannot be swapped, and
// the data of one instance cannot be read as another's.
type Commits struct {
	sealer sealer
	cookie string
}

// NewCommits returns the codec of an instance's committed values.
func NewCommits(ring *keyring.Ring, instance Instance) (*Commits, error) {
	if err := instance.check(); err != nil {
		return nil, err
	}
	s, err := newSealer(ring, keyring.Commit, instance.Realm)
	if err != nil {
		return nil, err
	}
	return &Commits{s, instance.SessionCookie}, nil
}

// Seal returns the sealed data of a family. The error is [ErrLength] if data
// has more than [MaxCommit] bytes.
func (c *Commits) Seal(now time.Time, family ID, data []byte) ([]byte, error) {
	if len(data) > MaxCommit {
		return nil, ErrLength
	}
	return c.sealer.seal(nil, now, c.name(family), data)
}

// Open returns the data that Seal sealed for the same family. It does not
// modify sealed. ctx bounds the reload that an unknown key id causes.
func (c *Commits) Open(ctx context.Context, now time.Time, family ID, sealed []byte) ([]byte, error) {
	if len(sealed) > MaxCommitSealed {
		return nil, ErrLength
	}
	return c.sealer.open(ctx, now, c.name(family), append([]byte(nil), sealed...))
}

// name returns what follows the realm in the additional data: the rest of the
// instance, and the family.
func (c *Commits) name(family ID) string { return c.cookie + "\x00" + string(family[:]) }
