package store

import (
	"encoding/hex"
	"fmt"
	"log/slog"
	"time"
)

// ID names a session and its family, a log, or an entry: 128 random bits.
type ID [16]byte

// String returns the id as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// IsZero reports whether the id is the zero value, which names nothing.
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

// Position is a place in the log: a number that only rises,
// max(previous+1, microseconds since 1970), in 53 bits. It orders. It is never
// read as a time.
type Position uint64

// MaxPosition is the highest position.
const MaxPosition Position = 1<<53 - 1

// Bounds that every engine keeps and every caller may rely on.
const (
	MaxSubject = 255  // bytes of a subject
	MaxLabel   = 255  // bytes of a label
	MaxReason  = 255  // bytes of a reason, and of an actor
	MaxValue   = 4200 // bytes of a committed value, sealed
	MaxEntries = 1000 // entries that one Revoke appends, and that one Batch holds
	MaxListed  = 1000 // families that one call of Families returns
)

// Family is the server-side record of a session. Times are stamped by the
// engine's clock, in whole milliseconds.
type Family struct {
	ID      ID
	Subject string
	Label   string
	Native  bool // a native client's for life; else a browser's

	Birth      Position // it lives only while no cutoff of its subject or everyone is above
	Position   Position // what is minted from it carries this; it never falls
	LastCommit Position // 0: none. Data sealed below it is out of date
	Value      []byte   // the committed value, sealed; nil: none

	Generation uint32 // from 1
	Forgiven   uint32 // the one generation that was forgiven; 0: none

	Started       time.Time
	Authenticated time.Time
	Issued        time.Time     // when Generation was issued, or last forgiven for
	Idle          time.Duration // the limit, counted from Issued
	Absolute      time.Time     // the deadline
}

// IdleDeadline returns when the family ends unless it is refreshed before.
func (f *Family) IdleDeadline() time.Time { return f.Issued.Add(f.Idle) }

// Past reports whether the family is past one of its limits at time now.
func (f *Family) Past(now time.Time) bool {
	return !now.Before(f.IdleDeadline()) || !now.Before(f.Absolute)
}

// LogValue logs the family without its value.
func (f *Family) LogValue() slog.Value {
	return slog.GroupValue(slog.String("id", f.ID.String()), slog.Uint64("generation", uint64(f.Generation)), slog.Uint64("position", uint64(f.Position)))
}

// State is what an engine knows of a family besides its record. Limits of time
// are not part of it: they follow from the record and the Snapshot's Now.
type State uint8

const (
	// Absent: there is no such family, or it is gone. Snapshot.Family is zero.
	Absent State = iota
	// Ended: it was ended, for whatever reason, and cut off or not.
	Ended
	// CutOff: a cutoff of its subject or of everyone is above its birth.
	CutOff
	// Alive: neither.
	Alive
)

// String returns the state in lower case.
func (s State) String() string {
	return [...]string{"absent", "ended", "cut off", "alive"}[s]
}

// Outcome is what became of a request to write.
type Outcome uint8

const (
	// Unwritten: nothing was asked to be written, or the family's state,
	// limits, generation or age did not allow it: the Snapshot tells which.
	Unwritten Outcome = iota
	// Written: done, durably.
	Written
	// Behind: the data that the caller goes on from is older than the family's
	// last Commit. Nothing was written.
	Behind
	// Early: a cutoff or the floor is above NotBefore. Nothing was written.
	Early
	// Full: the subject has as many families as it may. Nothing was written.
	Full
	// Taken: a family with that id exists, or existed. Nothing was written.
	Taken
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	return [...]string{"unwritten", "written", "behind", "early", "full", "taken"}[o]
}

// Snapshot is the family, the log and the engine's clock, of one moment: for a
// write, the moment right after it.
type Snapshot struct {
	Family  Family
	State   State
	Outcome Outcome
	Head    Position
	Floor   Position
	Log     ID
	Now     time.Time
	// Entry is the position of the last entry that the call appended, or
	// found in its place. 0: none.
	Entry Position
}

// Creation asks for a new family.
type Creation struct {
	ID       ID // random
	Subject  string
	Label    string
	Native   bool
	Idle     time.Duration
	Absolute time.Duration // from the start

	// NotBefore, unless 0, makes the call fail as Early if the cutoff of the
	// subject or of everyone, or the floor, is above it.
	NotBefore Position
	// Ends names families that this one replaces: those that live are ended in
	// the same transaction, the others are passed over. Zero ids are ignored.
	Ends [2]ID
	// Renews, unless nil, takes over from a family of the same subject, which
	// must be of the same kind, alive and within its limits (else Unwritten,
	// with its Snapshot) and not committed above Basis (else Behind, likewise).
	// It is ended in the same transaction; its start, authentication, idle
	// limit, absolute deadline and label go on, and Idle, Absolute and Label
	// above are ignored.
	Renews *Renewal
	// Limit, unless 0, is how many families of the subject may live, this one
	// included and those that it replaces not.
	Limit int
	// EndOldest ends the families that are too many, those that were started
	// first, instead of refusing this one as Full.
	EndOldest bool
	// Value is kept as the committed value if Renews names a family that has
	// one; LastCommit is then the new family's birth.
	Value []byte
	// Above is the caller's highest known position: new ones exceed it.
	Above Position
	// Reason is written into the entries of the families that this one ends.
	Reason string
	Actor  string
}

// Renewal says which family a new one takes over from.
type Renewal struct {
	ID    ID
	Basis Position // of the data that the caller goes on from
	// Authenticated sets the authentication time to now.
	Authenticated bool
}

// Advance asks for the next generation of a family.
type Advance struct {
	ID         ID
	Generation uint32 // exactly this one is advanced
	Native     bool   // the family must be of this kind
	// Basis is the position of the data that the caller goes on from. If it is
	// below the family's last Commit nothing is written: Behind.
	Basis Position
	// Age is how old the generation must be at least, since it was issued.
	Age time.Duration
	// PositionOnly raises the family's position to the head and leaves the
	// generation and its time alone. Age is then ignored.
	PositionOnly bool
}

// Commit asks to keep a value.
type Commit struct {
	ID    ID
	Basis Position // as in Advance
	Value []byte   // sealed; at most MaxValue bytes
	Above Position
	Actor string
}

// Kind is what an entry names.
type Kind uint8

const (
	// KindEveryone: every session.
	KindEveryone Kind = iota + 1
	// KindSubject: every session of a subject.
	KindSubject
	// KindSession ends one session.
	KindSession
	// KindSuperseding says that cookies of one session below the position are
	// out of date: they are to be refreshed, not refused.
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
	Previous Position // the position of the entry before it; 0: the first
	Kind     Kind
	Session  ID     // of KindSession and KindSuperseding
	Subject  string // of KindSubject
	Reason   string
	Actor    string
	Time     time.Time // of the commit, by the engine's clock; for people
}

// Revocation asks for entries: one for each session, then one for each
// subject, then one for everyone. At least one and at most MaxEntries.
type Revocation struct {
	Sessions []ID
	Subjects []string
	Everyone bool
	// Except, unless nil, is a living family that is reborn at the position of
	// the last entry: its birth and position become that. Exactly one subject,
	// the family's, and nothing else may then be revoked. A family that is
	// committed above Basis makes the call fail as Behind. If it is not alive
	// or past its limits, the entry is appended all the same and the Snapshot's
	// State tells.
	Except *Rebirth
	Above  Position
	Reason string
	Actor  string
}

// Rebirth names the family that survives a revocation of its subject.
type Rebirth struct {
	ID    ID
	Basis Position // as in Advance
}

// Restoration asks to append entries again that the log has lost. Of each, the
// kind (KindEveryone, KindSubject or KindSession), what it names, its reason,
// actor and position are read; the position is at most Above. At least one and
// at most MaxEntries.
type Restoration struct {
	Entries []Entry
	Above   Position // as in Creation
}

// Batch is a part of the log.
type Batch struct {
	Log     ID
	Entries []Entry // in order, all above the position asked for and the floor
	Head    Position
	Floor   Position
	More    bool // entries above the last one remain
	Now     time.Time
}

// Cutoffs are the highest positions of the entries that name a session, its
// subject, or everyone. 0: none.
type Cutoffs struct {
	Ending      Position // of the session, above the floor
	Superseding Position // of the session, above the floor
	Subject     Position
	Everyone    Position
	Floor       Position
	Head        Position
	Log         ID
	Now         time.Time
	// MaxStaleness is the longest announced, 0 before the first Announce: that
	// long after a commit every node that announced itself has it.
	MaxStaleness time.Duration
}

// Announcement tells an engine for how long what a node accepts can live.
type Announcement struct {
	Access       time.Duration // the longest access lifetime
	Absolute     time.Duration // the longest absolute limit
	Leeway       time.Duration
	MaxStaleness time.Duration
}
