package redis

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// The server's records and replies are packed, in big-endian:
//
//	record:  version (1) ‖ flags (1): 1 native, 2 ended ‖ birth ‖ position ‖
//	         last commit (8 each) ‖ generation (4) ‖ copy ‖ used (2 each) ‖ started ‖
//	         authenticated ‖ issued ‖ idle ‖ absolute (8 each, in milliseconds) ‖
//	         subject ‖ label (a byte of length each) ‖ value (2 bytes of length)
//	entry:   position ‖ previous ‖ time (8 each) ‖ kind (1) ‖ id (16) ‖
//	         name ‖ reason ‖ actor (a byte of length each)
//	reply:   outcome ‖ state (1 each) ‖ head ‖ floor ‖ entry ‖ now (8 each) ‖
//	         log (16) ‖ record, without the family's id
//
// An entry's id is 96 random bits and a counter, so that a call passes randomness
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

// number reads an integer that a double in the server's Lua can hold exactly.
func (r *reader) number() uint64 {
	s := r.take(8)
	if r.bad {
		return 0
	}
	n := binary.BigEndian.Uint64([]byte(s))
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

const (
	recordVersion = 2 // also in scripts/family.lua
	flagNative    = 1
	flagEnded     = 2
)

func parseRecord(text string, id store.ID) (store.Family, error) {
	r := reader{rest: text}
	version, flags := r.byte(), r.byte()
	f := store.Family{ID: id, Native: flags&flagNative != 0}
	f.Birth, f.Position, f.LastCommit = r.position(), r.position(), r.position()
	f.Generation, f.Copy, f.Used = r.uint32(), r.uint16(), r.uint16()
	f.Started, f.Authenticated, f.Issued = r.time(), r.time(), r.time()
	idle := r.number()
	f.Absolute = r.time()
	f.Subject, f.Label = strings.Clone(r.short()), strings.Clone(r.short())
	if value := r.take(int(r.uint16())); f.LastCommit != 0 {
		f.Value = []byte(value)
	} else if value != "" {
		r.bad = true
	}
	if idle > math.MaxInt64/uint64(time.Millisecond) {
		r.bad = true
	}
	f.Idle = time.Duration(idle) * time.Millisecond
	if version != recordVersion || flags > flagNative|flagEnded {
		r.bad = true
	}
	if f.Generation == 0 || f.Generation > store.MaxGeneration || max(f.Copy, f.Used) > store.MaxCopy {
		r.bad = true
	}
	if err := r.end("a family"); err != nil {
		return store.Family{}, err
	}
	return f, nil
}

func parseEntry(text string) (store.Entry, error) {
	r := reader{rest: text}
	e := store.Entry{Position: r.position(), Previous: r.position(), Time: r.time(), Kind: store.Kind(r.byte()), ID: r.id()}
	name := r.short()
	e.Reason, e.Actor = r.short(), r.short()
	switch e.Kind {
	case store.KindEveryone:
		r.bad = r.bad || name != ""
	case store.KindSubject:
		e.Subject = name
		r.bad = r.bad || name == ""
	case store.KindSession, store.KindSuperseding:
		r.bad = r.bad || copy(e.Session[:], name) != len(e.Session) || len(name) != len(e.Session)
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
	s := store.Snapshot{Outcome: outcome, State: state, Head: r.position(), Floor: r.position(), Entry: r.position(), Now: r.time(), Log: r.id()}
	if r.bad || outcome > store.Taken || state > store.Alive || (state == store.Absent) != (r.rest == "") {
		return store.Snapshot{}, fmt.Errorf("an answer: %w", errDamaged)
	}
	if state == store.Absent {
		return s, nil
	}
	var err error
	s.Family, err = parseRecord(r.rest, id)
	return s, err
}
