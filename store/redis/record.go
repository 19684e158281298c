package redis

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// The server's records and replies are packed, in big-endian. A text follows a byte
// with its length, unless another length is stated:
//
//	record:  version (1) ‖ native ‖ ended ‖ bound (1 each) ‖ birth ‖ position ‖
//	         last commit (8 each) ‖ generation (4) ‖ copy ‖ used (2 each) ‖ started ‖
//	         authenticated ‖ issued ‖ idle ‖ absolute (8 each, in milliseconds) ‖
//	         seal (20) ‖ subject ‖ actor ‖ label ‖ details ‖ value (2 bytes of
//	         length each)
//	details: known until (8, in milliseconds) ‖ methods ‖ level ‖ names (32 each) ‖
//	         key ‖ first ‖ successor; nothing if the family has none of these
//	entry:   position ‖ previous ‖ time (8 each) ‖ kind (1) ‖ id (16) ‖
//	         name ‖ reason ‖ actor
//	reply:   outcome ‖ state (1 each) ‖ head ‖ floor ‖ entry (8 each) ‖ ended (4) ‖
//	         more (1) ‖ now (8) ‖ log (16) ‖ record, without the family's id
//	node:    number ‖ time (8 each) ‖ ring (16) ‖ version (8) ‖ instance ‖
//	         settings (the rest); in replies the node's id stands in place of the
//	         number and the time
//
// bound is 0 without a key, 1 with a key that does not count yet, and 2 with one that
// counts. The name in the entry of everyone is empty, or the ring (16) and its version
// (8). An entry's id is 96 random bits and a counter, so that a call passes randomness
// once for all entries that it appends.

// errDamaged is returned if a record or a reply does not have this form.
var errDamaged = errors.New("what the server holds is not as the engine writes it")

// reader parses a packed text.
type reader struct {
	rest string
	bad  bool // set by the first error, and never reset
}

func (r *reader) take(n int) string {
	if r.bad || n > len(r.rest) {
		r.bad = true
		return ""
	}
	s := r.rest[:n]
	r.rest = r.rest[n:]
	return s
}

func (r *reader) byte() byte {
	s := r.take(1)
	if r.bad {
		return 0
	}
	return s[0]
}

func (r *reader) uint16() uint16 {
	s := r.take(2)
	if r.bad {
		return 0
	}
	return binary.BigEndian.Uint16([]byte(s))
}

func (r *reader) uint32() uint32 {
	s := r.take(4)
	if r.bad {
		return 0
	}
	return binary.BigEndian.Uint32([]byte(s))
}

func (r *reader) uint64() uint64 {
	s := r.take(8)
	if r.bad {
		return 0
	}
	return binary.BigEndian.Uint64([]byte(s))
}

// number reads an integer that a double in the server's Lua can hold exactly.
func (r *reader) number() uint64 {
	n := r.uint64()
	if n > uint64(store.MaxPosition) {
		r.bad = true
		return 0
	}
	return n
}

func (r *reader) position() store.Position { return store.Position(r.number()) }
func (r *reader) time() time.Time          { return time.UnixMilli(int64(r.number())) }
func (r *reader) short() string            { return r.take(int(r.byte())) }

func (r *reader) id() (id store.ID) {
	copy(id[:], r.take(len(id)))
	return id
}

// end returns an error if a read has failed or bytes are left over.
func (r *reader) end(what string) error {
	if r.bad || r.rest != "" {
		return fmt.Errorf("%s: %w", what, errDamaged)
	}
	return nil
}

func (r *reader) flag() bool {
	b := r.byte()
	r.bad = r.bad || b > 1
	return b == 1
}

func (r *reader) duration() time.Duration {
	ms := r.number()
	if ms > math.MaxInt64/uint64(time.Millisecond) {
		r.bad = true
	}
	return time.Duration(ms) * time.Millisecond
}

// optional reads a text that is empty or fills to, and not with zeros alone. It reports
// whether there is one.
func (r *reader) optional(to []byte) bool {
	text := r.short()
	copy(to, text)
	zero := len(bytes.Trim(to, "\x00")) == 0
	r.bad = r.bad || text != "" && (len(text) != len(to) || zero)
	return text != ""
}

func (r *reader) names() (list []store.Name) {
	text := r.short()
	r.bad = r.bad || len(text)%len(store.Name{}) != 0 || len(text) > store.MaxNames*len(store.Name{})
	for !r.bad && text != "" {
		n := store.Name([]byte(text[:len(store.Name{})]))
		r.bad = n.IsZero() || len(list) > 0 && bytes.Compare(list[len(list)-1][:], n[:]) >= 0
		list, text = append(list, n), text[len(n):]
	}
	return list
}

const (
	recordVersion = 3 // also in scripts/family.lua
	boundCounts   = 2
)

// record is a family as the server keeps it.
type record struct {
	store.Family
	ended bool
	keep  uint64 // the id stays known until then, in milliseconds since 1970
}

func parseRecord(text string, id store.ID) (record, error) {
	r := reader{rest: text}
	version := r.byte()
	f := record{Family: store.Family{ID: id, Native: r.flag()}, ended: r.flag()}
	bound := r.byte()
	f.Birth, f.Position, f.LastCommit = r.position(), r.position(), r.position()
	f.Generation, f.Copy, f.Used = r.uint32(), r.uint16(), r.uint16()
	f.Started, f.Authenticated, f.Issued = r.time(), r.time(), r.time()
	f.Idle, f.Absolute = r.duration(), r.duration()
	copy(f.Seal[:], r.take(len(f.Seal)))
	f.Subject, f.Actor, f.Label = strings.Clone(r.short()), strings.Clone(r.short()), strings.Clone(r.short())
	details := r.take(int(r.uint16()))
	if value := r.take(int(r.uint16())); f.LastCommit != 0 {
		f.Value = []byte(value)
	} else if value != "" {
		r.bad = true
	}
	if details != "" && !f.parseDetails(details) || version != recordVersion || f.Subject == "" {
		r.bad = true
	}
	f.Counts = bound == boundCounts
	if bound > boundCounts || (bound == 0) != f.Key.IsZero() {
		r.bad = true
	}
	if f.Generation == 0 || f.Generation > store.MaxGeneration || max(f.Copy, f.Used) > store.MaxCopy {
		r.bad = true
	}
	if err := r.end("a family"); err != nil {
		return record{}, err
	}
	return f, nil
}

// parseDetails reports whether a text has the form of the details, and is not empty
// details.
func (f *record) parseDetails(text string) bool {
	r := reader{rest: text}
	f.keep = r.number()
	f.Methods, f.Level, f.Names = strings.Clone(r.short()), strings.Clone(r.short()), r.names()
	key, first, successor := r.optional(f.Key[:]), r.optional(f.First[:]), r.optional(f.Successor[:])
	some := f.keep > 0 || f.Methods != "" || f.Level != "" || f.Names != nil || key || first || successor
	return some && r.end("details") == nil
}

func parseEntry(text string) (store.Entry, error) {
	r := reader{rest: text}
	e := store.Entry{Position: r.position(), Previous: r.position(), Time: r.time(), Kind: store.Kind(r.byte()), ID: r.id()}
	name := r.short()
	e.Reason, e.Actor = r.short(), r.short()
	switch e.Kind {
	case store.KindEveryone:
		if name != "" {
			ring := reader{rest: name}
			e.Ring, e.RingVersion = ring.id(), ring.uint64()
			r.bad = r.bad || ring.bad || packRing(e.Ring, e.RingVersion) != name
		}
	case store.KindSubject:
		e.Subject = name
		r.bad = r.bad || name == ""
	case store.KindSession, store.KindSuperseding:
		r.bad = r.bad || copy(e.Session[:], name) != len(e.Session) || len(name) != len(e.Session)
	case store.KindName:
		r.bad = r.bad || copy(e.Name[:], name) != len(e.Name) || len(name) != len(e.Name) || e.Name.IsZero()
	default:
		r.bad = true
	}
	if err := r.end("an entry"); err != nil {
		return store.Entry{}, err
	}
	return e, nil
}

// parseSnapshot parses a script's reply. id is the id of the family in it, if there
// is one.
func parseSnapshot(text string, id store.ID) (store.Snapshot, error) {
	r := reader{rest: text}
	outcome, state := store.Outcome(r.byte()), store.State(r.byte())
	s := store.Snapshot{Outcome: outcome, State: state, Head: r.position(), Floor: r.position(), Entry: r.position(),
		Ended: int(r.uint32()), More: r.flag(), Now: r.time(), Log: r.id()}
	if r.bad || outcome > store.Again || state > store.Alive || (state == store.Absent) != (r.rest == "") {
		return store.Snapshot{}, fmt.Errorf("an answer: %w", errDamaged)
	}
	if state == store.Absent {
		return s, nil
	}
	f, err := parseRecord(r.rest, id)
	s.Family = f.Family
	return s, err
}

// parsePeer parses a node of a reply to Announce.
func parsePeer(text string) (store.Peer, error) {
	r := reader{rest: text}
	p := store.Peer{Node: r.id(), Ring: r.id(), RingVersion: r.uint64(), Instance: strings.Clone(r.short())}
	p.Settings = strings.Clone(r.take(len(r.rest)))
	if p.Node.IsZero() || len(p.Settings) > store.MaxSettings {
		r.bad = true
	}
	return p, r.end("a node")
}
