package store

import (
	"context"
	"errors"
	"time"
)

// Store is what an engine implements. All methods are safe for concurrent use,
// by any number of processes where the engine can be shared.
//
// An error is a fault of the engine, of the network, or of the context: never
// of the client. What a client's state does not allow is an Outcome. After an
// error the write may have happened or not; calling again with the same
// arguments finds one consistent result. Callers do not retry writes by
// themselves, and neither does the engine's client library.
//
// What every engine must get right:
//
//   - Positions rise in commit order. The new one is taken under a lock on the
//     head, or in the engine's own serial order; a reader that has seen a
//     position never misses one below it. Head is locked before family, and in
//     a statement before the one that checks the birth.
//   - A family lives only while its birth is not below the cutoffs of its
//     subject and of everyone, and while it is not ended. Every method checks
//     that with a head that is read no later than the check.
//   - A family's position is the head at its last Create or Advance, or exactly
//     the position of its last Commit or rebirth. It never falls.
//   - A new position is max(head+1, Above+1, microseconds since 1970), at most
//     MaxPosition.
//   - Ending a family, for whatever reason, appends its entry in the same
//     transaction. The log begins with an entry that revokes everyone.
//   - Entries may be dropped, oldest first, by raising the floor to the last
//     one dropped in the same step, once they are older than the longest
//     announced access lifetime plus leeway. A cutoff of a subject or everyone
//     is not dropped with its entry: it is kept for the longest announced
//     absolute limit plus leeway. Before the first Announce nothing is dropped.
//   - A write is durable when it returns, in an engine set up as its
//     documentation says.
//   - Families past their limits go away in bounded steps.
//
// A method that is given what its type forbids (a zero id, a subject too long)
// returns an error that matches [ErrArgument] and does nothing.
type Store interface {
	// Create makes a family: generation 1, birth = position = the head after
	// the entries of the families that it ends. The Outcome is Written, Early,
	// Full, Taken; or, of Renews, Unwritten or Behind with that family's
	// Snapshot.
	Create(ctx context.Context, c Creation) (Snapshot, error)

	// Advance makes generation g+1 of exactly generation g, if the family is
	// alive, within its limits and of the kind, and g was issued at least Age
	// ago. Its position rises to the head. Of any number of callers with one
	// generation, one is Written. The Outcome is Written, Unwritten or Behind;
	// Behind comes only where nothing else stands in the way.
	Advance(ctx context.Context, a Advance) (Snapshot, error)

	// Commit appends a superseding entry at P, keeps the value, and sets
	// position and last Commit to P, if the family is alive and within its
	// limits. Generation and issue time stay. The Outcome is Written,
	// Unwritten or Behind; Entry is P.
	Commit(ctx context.Context, c Commit) (Snapshot, error)

	// Forgive records that generation was forgiven and sets the issue time to
	// now, if the family is alive and within its limits, generation is the one
	// before the current, and none was forgiven before. The Outcome is Written
	// or Unwritten.
	Forgive(ctx context.Context, id ID, generation uint32) (Snapshot, error)

	// Family reads one family.
	Family(ctx context.Context, id ID) (Snapshot, error)

	// Families lists the living families of a subject that are within their
	// limits, those started last first, at most limit (1 to MaxListed).
	Families(ctx context.Context, subject string, limit int) ([]Family, error)

	// Revoke appends the revocation's entries, ends the rows of the sessions
	// in the same transaction, and gives the last entry's position as the
	// Snapshot's Entry. A session that is already ended gets no new entry, and
	// one that is absent gets one unless the log holds it. The Snapshot's
	// family is Except's. The Outcome is Written; Behind, of Except; or
	// Unwritten if nothing had to be appended. The entries have consecutive
	// positions, in the order of Sessions, Subjects, Everyone.
	Revoke(ctx context.Context, r Revocation) (Snapshot, error)

	// Restore appends again, in the order given, what the log has lost and a
	// node still holds. An entry is lost if the cutoffs of its name and of
	// everyone are below its position. That of a session is lost as well while
	// its family is alive, and it is not if the family is not alive and the
	// floor has reached its position: what it covers can only be refreshed,
	// and the family refuses that. (That the family is ended is not enough: its
	// end may be below what was minted before the loss.) A new entry has a new
	// id and position, the kind, name, reason and actor that were given, and
	// ends its session's row in the same transaction. So any number of nodes
	// that restore the same append it once, also after it was dropped again, as
	// long as cutoffs are kept. The Outcome is Written, with the last new
	// position as Entry; or Unwritten, with none, if nothing was lost. The
	// Snapshot's family is zero.
	Restore(ctx context.Context, r Restoration) (Snapshot, error)

	// Since returns the entries above after, in order, at most limit (1 to
	// MaxEntries). If there are none it waits for news up to wait.
	Since(ctx context.Context, after Position, limit int, wait time.Duration) (Batch, error)

	// Cutoffs reads what is revoked for one session and its subject. The zero
	// id and the empty subject ask for nothing.
	Cutoffs(ctx context.Context, session ID, subject string) (Cutoffs, error)

	// Announce raises the durations that dropping goes by to at least those
	// given. Every node calls it when it starts.
	Announce(ctx context.Context, a Announcement) error

	// LoadKeys and SwapKeys keep one sealed key set: see keyring.Source.
	LoadKeys(ctx context.Context) (version uint64, document []byte, err error)
	SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error)
}

// ErrArgument says that a method was called with what its type forbids.
var ErrArgument = errors.New("store: bad argument")
