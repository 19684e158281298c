package store

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"
)

// ID identifies a session and its family, a log, or an entry. It has 128 random
// bits.
type ID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is the zero value, which identifies nothing.
func (id ID) IsZero() bool { return id == ID{} }

// MarshalText returns what String returns.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is the inverse of MarshalText. It accepts lower case only.
func (id *ID) UnmarshalText(text []byte) error {
	parsed, err := ParseID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}

// ParseID is the inverse of [ID.String]. It accepts lower case only.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != hex.EncodedLen(len(id)) {
		return ID{}, fmt.Errorf("store: an id of %d characters: want %d hexadecimal digits", len(s), hex.EncodedLen(len(id)))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil || id.String() != s {
		return ID{}, fmt.Errorf("store: an id that is not in lower-case hexadecimal digits")
	}
	return id, nil
}

// Position is a place in the log. It is a number that only rises,
// max(previous+1, microseconds since 1970), in 53 bits. Positions define an
// order; they are never read as times.
type Position uint64

// MaxPosition is the highest position.
const MaxPosition Position = 1<<53 - 1

// MaxAhead is a day of positions. No argument's Above may be more than that beyond
// both the log's head and the engine's clock, so that one caller with a wrong
// position cannot use up those that are left.
const MaxAhead = Position(24 * time.Hour / time.Microsecond)

// MaxGeneration and MaxCopy are the highest generation and the highest copy of
// one. A refresh token has 20 bits for the generation and 12 for the copy.
const (
	MaxGeneration = 1<<20 - 1
	MaxCopy       = 1<<12 - 1
)

// Limits that every engine enforces and every caller may rely on.
const (
	MaxSubject = 255  // bytes of a subject
	MaxLabel   = 255  // bytes of a label
	MaxReason  = 255  // bytes of a reason or of an actor
	MaxValue   = 4200 // bytes of a committed value, sealed
	MaxEntries = 1000 // entries appended by one Revoke, and entries in one Batch
	MaxListed  = 1000 // families returned by one call of Families
)

// Family is the server-side record of a session. Its times are by the engine's
// clock, in whole milliseconds.
type Family struct {
	ID      ID
	Subject string
	Label   string
	Native  bool // belongs to a native client, for life; otherwise to a browser

	Birth      Position // the family lives only while no cutoff of its subject or of everyone is above
	Position   Position // credentials minted from the family carry it; it never falls
	LastCommit Position // data sealed below it is out of date; 0 if there was no Commit
	Value      []byte   // the committed value, sealed; nil if there is none

	Generation uint32 // from 1 to MaxGeneration; counts the advances
	Copy       uint16 // the newest copy of Generation: how many answers were lost since the last advance
	Used       uint16 // the copy of the generation before that was used for the last advance

	Started       time.Time
	Authenticated time.Time
	Issued        time.Time     // of the last advance or copy
	Idle          time.Duration // the idle limit, counted from Issued
	Absolute      time.Time     // the deadline
}

// IdleDeadline returns the time at which the family ends unless it is refreshed
// before.
func (f *Family) IdleDeadline() time.Time { return f.Issued.Add(f.Idle) }

// Past reports whether the family is past one of its limits at the time now.
func (f *Family) Past(now time.Time) bool {
	return !now.Before(f.IdleDeadline()) || !now.Before(f.Absolute)
}

// LogValue returns the family without its value, for logs.
func (f *Family) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", f.ID.String()), slog.Uint64("generation", uint64(f.Generation)), slog.Uint64("position", uint64(f.Position)))
}

// State is the state of a family besides its record. Limits of time are not
// part of it: they follow from the record and the Snapshot's Now.
type State uint8

const (
	// Absent: there is no such family, or it was removed. Snapshot.Family is
	// zero.
	Absent State = iota
	// Ended: the family was ended, for whatever reason, and may also be cut
	// off.
	Ended
	// CutOff: a cutoff of the family's subject or of everyone is above its
	// birth.
	CutOff
	// Alive: the family is neither ended nor cut off.
	Alive
)

// String returns the state in lower case.
func (s State) String() string {
	return [...]string{"absent", "ended", "cut off", "alive"}[s]
}

// Outcome is the result of a request to write.
type Outcome uint8

const (
	// Unwritten: there was nothing to write, or the family's state, limits,
	// generation or age did not allow it. The Snapshot shows which.
	Unwritten Outcome = iota
	// Written: the write is done, durably.
	Written
	// Behind: the caller's data is older than the family's last Commit. Nothing
	// was written.
	Behind
	// Early: a cutoff or the floor is above NotBefore. Nothing was written.
	Early
	// Full: the subject has as many families as it may have. Nothing was
	// written.
	Full
	// Taken: a family with that id exists, or existed. Nothing was written.
	Taken
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	return [...]string{"unwritten", "written", "behind", "early", "full", "taken"}[o]
}

// Snapshot is the state of a family, of the log and of the engine's clock at
// one moment. After a write it is the moment right after it.
type Snapshot struct {
	Family  Family
	State   State
	Outcome Outcome
	Head    Position
	Floor   Position
	Log     ID
	Now     time.Time
	// Entry is the position of the last entry that the call appended, or found
	// in its place. It is 0 if there is none.
	Entry Position
}

// Creation holds the arguments of Create.
type Creation struct {
	ID       ID // random
	Subject  string
	Label    string
	Native   bool
	Idle     time.Duration
	Absolute time.Duration // counted from the start

	// NotBefore, unless 0, makes the Outcome Early if the cutoff of the subject
	// or of everyone, or the floor, is above it.
	NotBefore Position
	// Ends names families that this one replaces. Those that are alive, also
	// past their limits, are ended in the same transaction. One that is absent
	// gets an entry unless the log holds one: the store may have lost it, and
	// then other nodes still accept its credentials. Families that are ended or
	// cut off are skipped, and zero ids are ignored.
	Ends [2]ID
	// Renews, unless nil, names a family that this one continues. That family
	// must have the same subject and kind, be alive and be within its limits,
	// else the Outcome is Unwritten. It must not be committed above Basis, else
	// the Outcome is Behind. In both cases the Snapshot is that family's. The
	// family is ended in the same transaction. The new one keeps its start,
	// idle limit, absolute deadline and label, and its authentication time
	// unless Renewal.Authenticated is set. Idle, Absolute and Label above are
	// then ignored.
	Renews *Renewal
	// Limit, unless 0, is the number of families of the subject that may live,
	// including this one but not those that it replaces.
	Limit int
	// EndOldest ends the families beyond Limit, those that were started first,
	// in place of refusing this one as Full.
	EndOldest bool
	// Value is stored as the committed value if Renews names a family that has
	// one. LastCommit is then the new family's birth.
	Value []byte
	// Above is the caller's highest known position. New positions exceed it. If
	// it is more than MaxAhead beyond both the log's head and the engine's clock,
	// the error is ErrAbove.
	Above Position
	// Reason is the reason in the entries of the families that this one ends.
	Reason string
	Actor  string
}

// Renewal names the family that a new one continues.
type Renewal struct {
	ID    ID
	Basis Position // the position of the caller's data
	// Authenticated sets the authentication time to now.
	Authenticated bool
}

// Advance holds the arguments of [Store.Advance].
type Advance struct {
	ID         ID
	Generation uint32 // of the token presented: exactly this generation is advanced
	Copy       uint16 // of the token presented: at most the family's newest
	Native     bool   // the family must be of this kind
	// Basis is the position of the caller's data. If it is below the family's
	// last Commit, nothing is written and the Outcome is Behind.
	Basis Position
	// Age is the minimum age of the family's last advance or copy. A younger
	// family is advanced all the same if Lag is above 0 and its newest copy is at
	// least Lag above Copy.
	Age time.Duration
	Lag uint16
	// Skew is how far the last advance or copy may be ahead of the engine's
	// clock. One further ahead counts as long ago: the clock was set back since.
	Skew time.Duration
	// PositionOnly raises the family's position to the head and keeps the
	// generation, its copies and its issue time. Copy, Age, Lag and Skew are then
	// ignored.
	PositionOnly bool
}

// Reissue holds the arguments of [Store.Reissue].
type Reissue struct {
	ID         ID
	Generation uint32        // of the token presented: the one before the family's
	Copy       uint16        // of the token presented: the one that was used for the last advance
	Native     bool          // as in Advance
	Basis      Position      // as in Advance
	Age        time.Duration // as in Advance, without Lag
	Skew       time.Duration // as in Advance
}

// Commit holds the arguments of [Store.Commit].
type Commit struct {
	ID    ID
	Basis Position // as in Advance
	Value []byte   // sealed; 1 to MaxValue bytes
	Above Position // as in Creation
	Actor string
}

// Kind is the scope and the effect of an entry.
type Kind uint8

const (
	// KindEveryone revokes every session.
	KindEveryone Kind = iota + 1
	// KindSubject revokes every session of a subject.
	KindSubject
	// KindSession ends one session.
	KindSession
	// KindSuperseding makes cookies of one session below the position out of
	// date. They are refreshed, not refused.
	KindSuperseding
)

// String returns the kind in lower case.
func (k Kind) String() string {
	switch k {
	case KindEveryone:
		return "everyone"
	case KindSubject:
		return "subject"
	case KindSession:
		return "session"
	case KindSuperseding:
		return "superseding"
	}
	return fmt.Sprintf("store.Kind(%d)", uint8(k))
}

// Entry is one revocation in the log.
type Entry struct {
	ID       ID // random
	Position Position
	Previous Position // the position of the entry before it; 0 in the first
	Kind     Kind
	Session  ID     // for KindSession and KindSuperseding
	Subject  string // for KindSubject
	Reason   string
	Actor    string
	Time     time.Time // of the commit, by the engine's clock; for human readers
}

// Revocation holds the arguments of Revoke. It stands for one entry for each
// session, then one for each subject, then one for everyone. There must be at
// least one entry and at most MaxEntries.
type Revocation struct {
	Sessions []ID
	Subjects []string
	Everyone bool
	// Except, unless nil, names a living family that is reborn at the position
	// of the last entry: that becomes its birth and its position. The
	// revocation must then be of exactly one subject, the family's, and of
	// nothing else. If the family is committed above Basis, the Outcome is
	// Behind. If the family is not alive or is past its limits, the entry is
	// appended all the same, and the Snapshot's State shows that.
	Except *Rebirth
	Above  Position // as in Creation
	Reason string
	Actor  string
}

// Parts splits a revocation that may be longer than MaxEntries into revocations
// that are not, in the order in which they are to be made: the sessions, then the
// subjects, then everyone. Each has the Above, Reason and Actor of r. There is no
// part if r names nothing. r must not have an Except.
func (r Revocation) Parts() (parts []Revocation) {
	for len(r.Sessions)+len(r.Subjects) > 0 || r.Everyone {
		part := Revocation{Above: r.Above, Reason: r.Reason, Actor: r.Actor}
		n := min(len(r.Sessions), MaxEntries)
		part.Sessions, r.Sessions = r.Sessions[:n], r.Sessions[n:]
		n = min(len(r.Subjects), MaxEntries-n)
		part.Subjects, r.Subjects = r.Subjects[:n], r.Subjects[n:]
		if len(part.Sessions)+len(part.Subjects) < MaxEntries {
			part.Everyone, r.Everyone = r.Everyone, false
		}
		parts = append(parts, part)
	}
	return parts
}

// Rebirth names the family that survives a revocation of its subject.
type Rebirth struct {
	ID    ID
	Basis Position // as in Advance
}

// Restoration holds the arguments of Restore: entries that the log has lost. Of
// each, its kind (KindEveryone, KindSubject or KindSession), its session or
// subject, its reason, actor and position are read. The position is from 1 to
// Above. There must be at least one entry and at most MaxEntries.
type Restoration struct {
	Entries []Entry
	Above   Position // as in Creation
}

// Batch is a part of the log.
type Batch struct {
	Log     ID
	Entries []Entry // in order, all above both the position asked for and the floor
	Head    Position
	Floor   Position
	More    bool // there are entries above the last one
	Now     time.Time
}

// Cutoffs holds the highest positions of the entries that name a session, its
// subject, or everyone. A position is 0 if there is no such entry.
type Cutoffs struct {
	Ending      Position // of the session, above the floor
	Superseding Position // of the session, above the floor
	Subject     Position
	Everyone    Position
	Floor       Position
	Head        Position
	Log         ID
	Now         time.Time
	// MaxStaleness is the longest that was announced, or 0 before the first
	// Announce. Every node that announced itself has applied an entry at the
	// latest that long after its commit.
	MaxStaleness time.Duration
}

// Announcement holds a node's durations. An engine derives from them how long it
// keeps entries and cutoffs.
type Announcement struct {
	Access       time.Duration // the longest access lifetime
	Absolute     time.Duration // the longest absolute limit
	Leeway       time.Duration
	MaxStaleness time.Duration
}
