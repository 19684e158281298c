package store

import (
	"context"
	"errors"
	"time"
)

// Store is the interface that an engine implements. All methods are safe for
// concurrent use, and by any number of processes if the engine can be shared.
//
// An error is a fault of the engine, the network or the context, never of the
// client. If a client's state does not allow a write, the result is an Outcome
// and not an error. After an error the write may or may not have happened.
// Repeating the call with the same arguments leads to one consistent result.
// Neither callers nor the engine's client library retry writes automatically.
//
// Every engine must satisfy these rules:
//
//   - Positions rise in commit order. A new position is taken under a lock on
//     the head, or in the engine's own serial order. A reader that has seen a
//     position never misses one below it. The head is locked before the family,
//     and in an earlier statement than the one that checks the birth.
//   - A family lives only while its birth is not below the cutoffs of its
//     subject, of its actor (if it has one) and of everyone, and while it is not
//     ended. Every method checks that with a head that is read no later than the
//     check.
//   - A family's position is the head at its last Create, Advance or Reissue, or
//     exactly the position of its last Commit or rebirth. It never falls.
//   - A new position is max(head+1, Above+1, microseconds since 1970), and at
//     most MaxPosition.
//   - Ending a family, for whatever reason, appends its entry in the same
//     transaction. The log begins with an entry that revokes everyone.
//   - Entries may be dropped, oldest first, once they are older than the
//     longest announced access lifetime plus leeway. The same step raises the
//     floor to the last entry dropped. A cutoff of a subject or of everyone is
//     not dropped with its entry: it is kept for the longest announced absolute
//     limit plus leeway. Nothing is dropped before the first Announce.
//   - A write is durable when it returns, in an engine set up as its
//     documentation requires.
//   - Families past their limits are removed in bounded steps.
//   - The cost of a call follows what lives. No index that a call walks holds
//     ended families: a row leaves it in the transaction that ends it. It may
//     hold families that time or a cutoff has killed: a call looks at no more
//     than MaxLooked rows, takes the dead that it met out of the index if it
//     writes, and says where it stopped.
//   - A subject has one record of its cutoff, which moves and is never appended.
//     A name's cutoff is kept until the floor has passed it.
//   - Since, Cutoffs and Announce have readers of their own: no number of other
//     calls keeps them waiting.
//
// A method returns [ErrArgument] and does nothing if an argument is outside the
// range of its type, such as a zero id or a subject that is too long. It returns
// [ErrAbove] and does nothing, whatever the state of the families, if an argument's
// Above is more than MaxAhead beyond both the log's head and the engine's clock.
type Store interface {
	// Create makes a family. Its generation is 1, and its birth and its
	// position are the head after the entries of the families that it ends. The
	// Outcome is Written, Early, Full, Taken, OffClock or Again. With Renews it may
	// also be Unwritten, Changed or Behind, and the Snapshot is then that of the
	// family to renew.
	Create(ctx context.Context, c Creation) (Snapshot, error)

	// Advance makes generation g+1 from exactly generation g and a copy of it
	// that was issued, if the family is alive, within its limits and of the
	// given kind, and if it is due: its last advance or copy is at least Age ago,
	// or the copy presented lags. The new generation has copy 0, and the copy
	// presented becomes the used one. The family's position rises to the head.
	// If several callers present the same generation, exactly one of them gets
	// Written. The Outcome is Written, Unwritten or Behind. It is Behind only if
	// all other conditions are met.
	Advance(ctx context.Context, a Advance) (Snapshot, error)

	// Reissue makes one more copy of the family's generation in place of an
	// answer that was lost, and sets the issue time to now. It does so if the
	// family is alive, within its limits and of the given kind, if the token
	// presented is the one that was used for the last advance, if the last
	// advance or copy is at least Age ago, and if the family has fewer than
	// MaxCopy copies. The family's position rises to the head. The Outcome is
	// Written, Unwritten or Behind. It is Behind only if all other conditions are
	// met.
	Reissue(ctx context.Context, r Reissue) (Snapshot, error)

	// Commit appends a superseding entry at P, stores the value, and sets the
	// family's position and last Commit to P, if the family is alive and within
	// its limits. The generation and its issue time stay. The Outcome is
	// Written, Unwritten or Behind; Entry is P.
	Commit(ctx context.Context, c Commit) (Snapshot, error)

	// Family reads one family.
	Family(ctx context.Context, id ID) (Snapshot, error)

	// Bind gives an unbound family its key and the seal that covers it, if the
	// family is alive, is within its limits and has the seal that the caller
	// verified. A family that has the key already is written only if the key does
	// not count yet and Binding.Counts is true; its seal stays. The Outcome is
	// Written, Unwritten, or Changed if only the seal differs.
	Bind(ctx context.Context, b Binding) (Snapshot, error)

	// Families returns families that are alive and within their limits: a
	// subject's, or everybody's. The one that was born last comes first, among
	// those born at one position the one that was started last, and among those
	// started in one millisecond the one with the highest id.
	Families(ctx context.Context, q Query) (Page, error)

	// Revoke appends the entries of a revocation and ends the rows of its
	// sessions in the same transaction. The Snapshot's Entry is the position of
	// the last entry. The entries have consecutive positions, in the order of
	// Sessions, Subjects, Everyone. A session that is already ended gets no new
	// entry. A session that is absent gets an entry unless the log holds one.
	// The Snapshot's family is that of Except. The Outcome is Written,
	// Unwritten if nothing had to be appended, or Behind if Except's family is
	// committed above its Basis.
	//
	// A revocation of a name appends the name's entry, unless the log holds one
	// with Revocation.ID, and in the same transaction ends the living families
	// that bear the name and were born below that entry, with an entry each. It
	// ends at most MaxEntries-1 of them and looks at no more rows; Snapshot.More
	// says whether there may be others. Entry is the highest position that it
	// appended, or that of the name's entry.
	Revoke(ctx context.Context, r Revocation) (Snapshot, error)

	// Restore appends again, in the order given, the entries that the log has
	// lost and a node still holds. An entry is lost if the cutoffs of its name
	// and of everyone are below its position.
	//
	// Two rules differ for the entry of a session. It is also lost while its
	// family is alive. It is not lost if the family is not alive and the floor
	// has reached the entry's position: what the entry covers can only be
	// refreshed, and the family refuses that. (It is not enough that the family
	// is ended, since its end may be below what was minted before the loss.)
	//
	// A new entry has a new id and position, and the kind, name, reason and
	// actor given. It ends its session's row in the same transaction. So any
	// number of nodes may restore the same entry, and it is appended once, even
	// if it has been dropped again, as long as cutoffs are kept. The Outcome is
	// Written, with the last new position as Entry, or Unwritten, with Entry 0,
	// if nothing was lost. The Snapshot's family is zero.
	Restore(ctx context.Context, r Restoration) (Snapshot, error)

	// Since returns the entries after a cursor, in order, at most limit (1 to
	// MaxEntries) of them. If there are none, it waits for new ones, for at
	// most wait. It does not wait if the cursor is broken.
	Since(ctx context.Context, after Cursor, limit int, wait time.Duration) (Batch, error)

	// Cutoffs returns the cutoffs that apply to one session and its subject.
	// The zero id and the empty subject are not looked up.
	Cutoffs(ctx context.Context, session ID, subject string) (Cutoffs, error)

	// Announce raises the durations after which entries and cutoffs are dropped
	// to at least those given, notes the realm, the ring and the node, and returns
	// what the other living nodes have announced. Every node calls it when it
	// starts and every minute from then on. The engine keeps the MaxPeers nodes
	// that announced themselves last.
	Announce(ctx context.Context, a Announcement) (Peers, error)

	// LoadKeys and SwapKeys store one sealed key set: see keyring.Source.
	LoadKeys(ctx context.Context) (version uint64, document []byte, err error)
	SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error)
}

// ErrArgument if a method is called with an argument that is outside the range
// of its type.
var ErrArgument = errors.New("store: bad argument")

// ErrAbove if an argument's Above is more than MaxAhead beyond both the log's head
// and the engine's clock. Either the log went back, or no log has ever reached that
// position.
var ErrAbove = errors.New("store: Above is more than a day beyond the log and the clock")
