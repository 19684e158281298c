package store

import (
	"crypto/sha256"
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
	MaxSubject  = 255  // bytes of a subject, also of an actor of a family
	MaxLabel    = 255  // bytes of a label
	MaxReason   = 255  // bytes of a reason or of an actor of an entry
	MaxText     = 255  // bytes of methods, of a level, of a realm, of an instance
	MaxSettings = 1000 // bytes of a node's settings
	MaxNames    = 4    // names of a family
	MaxValue    = 4200 // bytes of a committed value, sealed
	MaxEntries  = 1000 // entries appended by one Revoke, and entries in one Batch
	MaxLooked   = 1000 // rows of an index that one call looks at, and families in one Page
	MaxPeers    = 256  // nodes that a store remembers
)

// PeerLife is how long a node counts as living after it announced itself.
const PeerLife = 3 * time.Minute

// Name is the hash of an outside system's handle on a session, such as an
// identity provider's issuer and session id. Revoking a name ends the sessions
// that bear it. The zero Name names nothing.
type Name [32]byte

// NameOf returns the SHA-256 hash of a handle, which is 1 to 255 bytes of UTF-8
// without NUL.
func NameOf(handle string) (Name, error) {
	if handle == "" {
		return Name{}, badArgument("an empty name")
	}
	if err := checkText("name", handle, MaxText); err != nil {
		return Name{}, err
	}
	return sha256.Sum256([]byte(handle)), nil
}

// IsZero reports whether the name is the zero value.
func (n Name) IsZero() bool { return n == Name{} }

// String returns the hash as 64 hexadecimal digits.
func (n Name) String() string { return hex.EncodeToString(n[:]) }

// Key identifies a key that lives in a device: its JWK thumbprint with SHA-256
// (RFC 7638). The zero Key is no key.
type Key [32]byte

// IsZero reports whether the key is the zero value.
func (k Key) IsZero() bool { return k == Key{} }

// Seal authenticates to whom a family belongs. It is opaque to an engine, which
// keeps it and compares it for equality. See codec.FamilySeals.
type Seal [20]byte

// Family is the server-side record of a session. Its times are by the engine's
// clock, in whole milliseconds.
//
// The Seal authenticates what could make somebody else of a family: ID, Subject,
// Native, Key, Names, Actor, Methods, Level, Started, Authenticated, Idle and
// Absolute. An engine keeps these together with the Seal and changes none of
// them alone.
type Family struct {
	ID      ID
	Subject string
	Label   string
	Native  bool   // belongs to a native client, for life; otherwise to a browser
	Names   []Name // in rising order, without repetition; at most MaxNames
	Actor   string // acts for the subject; empty if the subject acts
	Methods string // of the latest authentication, as in RFC 8176, separated by spaces
	Level   string // of the latest authentication, as in the claim acr

	// Key is the device key to which the family is bound. It is asked for only
	// once it Counts: the answer that bound the family may have been lost.
	Key    Key
	Counts bool
	// First is the family that was bound, if this one took over its key. An ended
	// First names the newest family with its key as Successor.
	First     ID
	Successor ID

	Seal Seal

	Birth      Position // the family lives only while no cutoff of its subject, its actor or everyone is above
	Position   Position // credentials minted from the family carry it; it never falls
	LastCommit Position // data sealed below it is out of date; 0 if there was no Commit
	Value      []byte   // the committed value, sealed; nil if there is none

	Generation uint32 // from 1 to MaxGeneration; counts the advances
	Copy       uint16 // the newest copy of Generation: how many answers were lost since the last advance
	Used       uint16 // the copy of the generation before that was used for the last advance

	Started       time.Time
	Authenticated time.Time     // of the latest authentication; may be before Started
	Issued        time.Time     // of the last advance or copy
	Idle          time.Duration // the idle limit, counted from Issued
	Absolute      time.Duration // the absolute limit, counted from the later of Started and Authenticated
}

// IdleDeadline returns the time at which the family ends unless it is refreshed
// before.
func (f *Family) IdleDeadline() time.Time { return f.Issued.Add(f.Idle) }

// Deadline returns the time at which the family ends even if it is refreshed.
func (f *Family) Deadline() time.Time {
	if f.Authenticated.After(f.Started) {
		return f.Authenticated.Add(f.Absolute)
	}
	return f.Started.Add(f.Absolute)
}

// Past reports whether the family is past one of its limits at the time now.
func (f *Family) Past(now time.Time) bool {
	return !now.Before(f.IdleDeadline()) || !now.Before(f.Deadline())
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
	// CutOff: a cutoff of the family's subject, of its actor or of everyone is
	// above its birth.
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
	// OffClock: a time that the caller has sealed is off the engine's clock.
	// Nothing was written. Seal again by the Snapshot's Now.
	OffClock
	// Changed: the row's seal is not the one that the caller verified. Nothing
	// was written. Read the family and verify it again.
	Changed
	// Again: the call met more than MaxLooked rows that it had to pass. Those
	// that it met are out of the way. Call again with the same arguments.
	Again
)

// String returns the outcome in lower case.
func (o Outcome) String() string {
	return [...]string{"unwritten", "written", "behind", "early", "full", "taken", "off the clock", "changed", "again"}[o]
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
	// Ended is the number of living families that a Revoke has ended or cut off:
	// exact for sessions and a name, counted up to MaxLooked for subjects, and
	// always 0 for everyone.
	Ended int
	// More is true if a Revoke of a name has left families that bear it. Repeat
	// the call with the same Revocation.ID.
	More bool
}

// Creation holds the arguments of Create.
type Creation struct {
	ID       ID // random
	Subject  string
	Label    string
	Native   bool
	Names    []Name // as in Family
	Actor    string
	Methods  string
	Level    string
	Key      Key // binds the family from its first moment
	Seal     Seal
	Idle     time.Duration // at least 1 ms
	Absolute time.Duration // at least 1 ms; as in Family

	// Started and Authenticated are the times that the Seal covers. If Started is
	// further than Leeway from the engine's clock, or Authenticated is later than
	// that, the Outcome is OffClock. A zero Started is the engine's time, and a
	// zero Authenticated is Started.
	Started       time.Time
	Authenticated time.Time
	Leeway        time.Duration

	// Known is how long the id stays known to Create at least, counted from the
	// start, even if the family ends before. It may be 0.
	Known time.Duration

	// NotBefore, unless 0, makes the Outcome Early if the cutoff of the subject,
	// of the actor, of a name or of everyone, or the floor, is above it.
	NotBefore Position
	// Ends names families that this one replaces. Those that are alive, also
	// past their limits, are ended in the same transaction. One that is absent
	// gets an entry unless the log holds one: the store may have lost it, and
	// then other nodes still accept its credentials. Families that are ended or
	// cut off are skipped, and zero ids are ignored.
	Ends [2]ID
	// Renews, unless nil, names a family that this one continues. That family
	// must have the same subject and kind, be alive and be within its limits,
	// else the Outcome is Unwritten. It must not be below the cutoff of one of
	// its names, else the Outcome is Unwritten and the Snapshot's State is Ended.
	// It must have the seal that the caller has verified, else the Outcome is
	// Changed. If its key counts, that key must be Renewal.Key, else the Outcome
	// is Unwritten. It must not be committed above Basis, else the Outcome is
	// Behind. In all these cases the Snapshot is that family's.
	//
	// The family is ended in the same transaction. The new one takes over its
	// label, names, actor, methods, level, key (which counts if it did), start,
	// authentication and limits, but for what the Renewal replaces. Only ID,
	// Subject, Native, Seal, Leeway, and the fields from NotBefore on are then
	// read. If the family is bound, the new one has its First, or else its id, as
	// First, and the row of First names the new one as Successor and is kept as
	// long as that.
	Renews *Renewal
	// Limit, unless 0, is the number of families of the subject that may live,
	// including this one but not those that it replaces.
	Limit int
	// EndOldest ends the families beyond Limit, the last in the order of Families, in
	// place of refusing this one as Full.
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
	// By is the actor in those entries.
	By string
}

// Renewal names the family that a new one continues.
type Renewal struct {
	ID    ID
	Basis Position // the position of the caller's data
	Seal  Seal     // the one that the caller has verified
	Key   Key      // of the live proof, or zero if there was none
	// Authenticated, unless zero, is the time of a new authentication, whose
	// Methods and Level replace the family's. If it is further than
	// Creation.Leeway from the engine's clock, the Outcome is OffClock.
	Authenticated time.Time
	Methods       string
	Level         string
}

// Binding holds the arguments of Bind.
type Binding struct {
	ID       ID
	Key      Key  // not zero
	Verified Seal // the one that the caller has verified
	Seal     Seal // the one that covers the key too
	Counts   bool // the key is asked for from now on
}

// Advance holds the arguments of [Store.Advance].
type Advance struct {
	ID         ID
	Generation uint32 // of the token presented: exactly this generation is advanced
	Copy       uint16 // of the token presented: at most the family's newest
	Native     bool   // the family must be of this kind
	// Key is that of the live proof, or zero if there was none. If the family's
	// key counts, it must be this one. If the family has this key and it does not
	// count yet, the advance makes it count.
	Key Key
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
	Key        Key           // as in Advance
	Basis      Position      // as in Advance
	Age        time.Duration // as in Advance, without Lag
	Skew       time.Duration // as in Advance
}

// Commit holds the arguments of [Store.Commit].
type Commit struct {
	ID    ID
	Basis Position // as in Advance
	Key   Key      // must be the family's, if that counts
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
	// KindName records that a name was revoked. It ends nothing by itself: the
	// sessions that bore the name have entries of their own.
	KindName
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
	case KindName:
		return "name"
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
	Name     Name   // for KindName
	// Ring and RingVersion, for KindEveryone, name the key set in which keys were
	// revoked just before. They are zero if no key was.
	Ring        ID
	RingVersion uint64
	Reason      string
	Actor       string
	Time        time.Time // of the commit, by the engine's clock; for human readers
}

// Revocation holds the arguments of Revoke. It stands for one entry for each
// session, then one for each subject, then one for everyone; or for the entry of
// a name and one for each family that bears it. There must be at least one entry
// and at most MaxEntries.
type Revocation struct {
	Sessions []ID
	Subjects []string
	Everyone bool
	// Ring and RingVersion stand in the entry of everyone: see Entry.
	Ring        ID
	RingVersion uint64
	// Name, unless zero, is revoked, and nothing else may be. See Store.Revoke.
	Name Name
	// ID, unless zero, is the id of the name's entry. It makes the revocation of a
	// name repeatable: an entry with that id is found and not appended again.
	ID ID
	// Except, unless nil, names a living family that is reborn at the position
	// of the last entry: that becomes its birth and its position. The
	// revocation must then be of exactly one subject, the family's, and of
	// nothing else. If the family is committed above Basis, the Outcome is
	// Behind. If the family is not alive, is past its limits, is below the cutoff
	// of one of its names (State is then Ended), or has a key that counts and is
	// not the one given, the entry is appended all the same, and the Snapshot
	// shows that its birth is below Entry.
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
	Key   Key      // as in Commit
}

// Restoration holds the arguments of Restore: entries that the log has lost. Of
// each, its kind (KindEveryone, KindSubject or KindSession), its session or
// subject, its ring, reason, actor and position are read. The position is from 1 to
// Above. There must be at least one entry and at most MaxEntries.
type Restoration struct {
	Entries []Entry
	Above   Position // as in Creation
}

// Cursor is a place in the log that a reader has reached: a position and the id
// of the entry there. The zero Cursor is before the first entry.
type Cursor struct {
	Position Position
	ID       ID
}

// Cursor returns the place of the entry in the log.
func (e *Entry) Cursor() Cursor { return Cursor{Position: e.Position, ID: e.ID} }

// Batch is a part of the log.
type Batch struct {
	Log ID
	// Entries are in order, and above both the cursor asked for and the floor.
	Entries []Entry
	// Broken is true if the cursor is not zero and the log does not have, or no
	// longer has, the cursor's entry at its position, as after a log went back or
	// when the cursor is below the floor. (At the floor the engine knows the id of
	// the last entry dropped.) There are then no Entries.
	Broken bool
	Head   Position
	HeadID ID // of the entry at Head, also if that was dropped
	Floor  Position
	More   bool // there are entries above the last one
	Now    time.Time
}

// Query holds the arguments of Families.
type Query struct {
	Subject string     // empty for the families of everybody
	After   PageCursor // of the page before; zero for the first page
	Limit   int        // 1 to MaxLooked
}

// PageCursor is a place in a list of families: the last row that was looked at.
type PageCursor struct {
	Birth   Position
	Started int64 // milliseconds since 1970
	ID      ID
}

// Page is a part of a list of families.
type Page struct {
	// Families are without their values. There may be none although there are
	// more on the next page: rows that time or a cutoff has killed are passed.
	Families []Family
	Next     PageCursor // zero on the last page
	Now      time.Time
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

// Announcement holds what a node tells the store and the other nodes.
type Announcement struct {
	Access       time.Duration // the longest access lifetime
	Absolute     time.Duration // the longest absolute limit
	Leeway       time.Duration
	MaxStaleness time.Duration

	// Realm is at most MaxText bytes. The store belongs to the first that is
	// announced. An empty one says nothing and is accepted, so that a command can
	// ask.
	Realm string
	// Ring and RingVersion identify the key set. A zero Ring is a static key set,
	// which has neither.
	Ring        ID
	RingVersion uint64
	// Adopt makes the store belong to Realm, and to Ring at RingVersion, whatever
	// it belonged to before. It is for an operator's command.
	Adopt bool

	// Node, unless zero, is the node's id, random for each start. Instance and
	// Settings are told to the other nodes.
	Node     ID
	Instance string // at most MaxText bytes
	Settings string // at most MaxSettings bytes
}

// Peers is what Announce returns.
type Peers struct {
	// Accepted is false if the store belongs to another realm or another ring.
	// Nothing was written then. A lower version of the ring is accepted, and does
	// not lower RingVersion unless Adopt is set: a node may read the ring a little
	// later than others.
	Accepted    bool
	Realm       string
	Ring        ID
	RingVersion uint64 // the highest announced
	// Nodes are the other nodes that announced themselves within PeerLife, at most
	// MaxPeers.
	Nodes []Peer
	Now   time.Time
}

// Peer is another node, as it announced itself last.
type Peer struct {
	Node        ID
	Instance    string
	Settings    string
	Ring        ID
	RingVersion uint64
}
