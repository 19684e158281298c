package codec

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"time"
)

// ID is the id of a session and of its family: 128 random bits.
type ID [16]byte

const (
	// MaxSubject is the length of the longest subject in bytes.
	MaxSubject = 255
	// MaxPosition is the highest position. It has 53 bits, so that a JSON
	// number holds it in any language.
	MaxPosition = 1<<53 - 1

	timeSize = 6
	maxTime  = 1<<48 - 1
	// fixedSize is the size of the header without the subject and without what
	// its flags announce: flags, id, position, generation, six times, and the
	// length of the subject.
	fixedSize = 1 + len(ID{}) + 8 + 4 + 6*timeSize + 1
)

// The flags of a header. What they announce follows the subject, in this order. A
// field that is empty has no flag, so each session has one encoding.
const (
	flagBound  byte = 1 << iota // announces nothing
	flagProved                  // the time of the last proof; only beside flagBound
	flagActor                   // a text, as the next two
	flagMethods
	flagLevel

	allFlags = flagBound | flagProved | flagActor | flagMethods | flagLevel
)

// Session is the header of a session cookie: everything that wafer itself needs
// from a session. Times are whole milliseconds since 1970. They are fixed when
// the cookie is sealed; none is recomputed from configuration.
type Session struct {
	ID         ID
	Subject    Hidden // 1 to MaxSubject bytes
	Position   uint64 // the position of the family at minting; at most MaxPosition
	Generation uint32 // that of the refresh token issued with it; at least 1

	Issued        time.Time
	Access        time.Time // the end of the access lifetime
	Idle          time.Time // the idle deadline
	Absolute      time.Time // the absolute deadline
	Started       time.Time // the login
	Authenticated time.Time // the last authentication of the user

	// The zero values of these take no room in the cookie. Each text has at most
	// 255 bytes.
	Bound   bool      // the family is refreshed only with a proof by a key of the device
	Proved  time.Time // the last such proof; zero if there was none, as for all that are not Bound
	Actor   Hidden    // acts for the subject; empty if the subject acts
	Methods Hidden    // of the last authentication (RFC 8176), separated by spaces
	Level   Hidden    // of the last authentication, as in the claim acr
}

// Format prints only the session's id.
func (s Session) Format(f fmt.State, _ rune) { fmt.Fprintf(f, "%x", s.ID[:]) }

// LogValue logs only the session's id.
func (s Session) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(s)) }

// Expires returns when the cookie expires: the earliest of its access expiry,
// its idle deadline, its absolute deadline, and Issued plus access. access is
// the access lifetime that is configured now.
func (s *Session) Expires(access time.Duration) time.Time {
	end := s.Issued.Add(access)
	if s.Access.Before(end) {
		end = s.Access
	}
	if deadline := s.Deadline(); deadline.Before(end) {
		end = deadline
	}
	return end
}

// Deadline returns the earlier of the idle and the absolute deadline. The
// session ends then unless it is refreshed.
func (s *Session) Deadline() time.Time {
	if s.Absolute.Before(s.Idle) {
		return s.Absolute
	}
	return s.Idle
}

func (s *Session) append(dst []byte) ([]byte, error) {
	subject := s.Subject.Text()
	if subject == "" || len(subject) > MaxSubject {
		return nil, fmt.Errorf("codec: a subject of %d bytes: want 1 to %d", len(subject), MaxSubject)
	}
	if s.Position > MaxPosition {
		return nil, fmt.Errorf("codec: position %d is above 53 bits", s.Position)
	}
	if s.Generation == 0 {
		return nil, errors.New("codec: generations start at 1")
	}
	if !s.Bound && !s.Proved.IsZero() {
		return nil, errors.New("codec: a proof of a session that is not bound")
	}
	dst = append(dst, s.flags())
	dst = append(dst, s.ID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, s.Position)
	dst = binary.BigEndian.AppendUint32(dst, s.Generation)
	for _, t := range [...]time.Time{s.Issued, s.Access, s.Idle, s.Absolute, s.Started, s.Authenticated} {
		var err error
		if dst, err = appendTime(dst, t); err != nil {
			return nil, err
		}
	}
	dst = append(append(dst, byte(len(subject))), subject...)
	if !s.Proved.IsZero() {
		var err error
		if dst, err = appendTime(dst, s.Proved); err != nil {
			return nil, err
		}
	}
	for _, hidden := range [...]Hidden{s.Actor, s.Methods, s.Level} {
		if text := hidden.Text(); text != "" {
			if len(text) > maxText {
				return nil, fmt.Errorf("codec: an actor, methods or a level of %d bytes: want at most %d", len(text), maxText)
			}
			dst = append(append(dst, byte(len(text))), text...)
		}
	}
	return dst, nil
}

// maxText is the length of the longest text that a flag announces.
const maxText = 255

func (s *Session) flags() (flags byte) {
	for _, f := range [...]struct {
		flag byte
		set  bool
	}{
		{flagBound, s.Bound}, {flagProved, !s.Proved.IsZero()},
		{flagActor, s.Actor.Text() != ""}, {flagMethods, s.Methods.Text() != ""}, {flagLevel, s.Level.Text() != ""},
	} {
		if f.set {
			flags |= f.flag
		}
	}
	return flags
}

// size returns the size of the header.
func (s *Session) size() int {
	size := fixedSize + len(s.Subject.Text())
	if !s.Proved.IsZero() {
		size += timeSize
	}
	for _, hidden := range [...]Hidden{s.Actor, s.Methods, s.Level} {
		if text := hidden.Text(); text != "" {
			size += 1 + len(text)
		}
	}
	return size
}

// headerSize returns the size of the header that b begins with. It returns 0 if a
// flag is unknown or stands for nothing, a text is empty, or b is too short.
func headerSize(b []byte) int {
	if len(b) < fixedSize || b[0]&^allFlags != 0 || b[0]&(flagBound|flagProved) == flagProved {
		return 0
	}
	size := textEnd(b, fixedSize-1)
	if b[0]&flagProved != 0 {
		size += timeSize
	}
	for flag := flagActor; flag <= flagLevel; flag <<= 1 {
		if b[0]&flag != 0 {
			size = textEnd(b, size)
		}
	}
	if size > len(b) {
		return 0
	}
	return size
}

// textEnd returns where the text ends whose length is at b[at], or more than
// len(b) if it is empty or not there.
func textEnd(b []byte, at int) int {
	if at >= len(b) || b[at] == 0 {
		return len(b) + 1
	}
	return at + 1 + int(b[at])
}

// parse reads the header from b and returns the rest.
func (s *Session) parse(b []byte) ([]byte, error) {
	size := headerSize(b)
	if size == 0 {
		return nil, ErrContent
	}
	s.ID = ID(b[1:17])
	s.Position = binary.BigEndian.Uint64(b[17:])
	s.Generation = binary.BigEndian.Uint32(b[25:])
	if s.Position > MaxPosition || s.Generation == 0 {
		return nil, ErrContent
	}
	t := b[29:]
	s.Issued = parseTime(t[0*timeSize:])
	s.Access = parseTime(t[1*timeSize:])
	s.Idle = parseTime(t[2*timeSize:])
	s.Absolute = parseTime(t[3*timeSize:])
	s.Started = parseTime(t[4*timeSize:])
	s.Authenticated = parseTime(t[5*timeSize:])

	texts := string(b[fixedSize-1 : size]) // one allocation for all of them
	s.Subject, texts = cutText(texts)
	s.Bound, s.Proved = b[0]&flagBound != 0, time.Time{}
	s.Actor, s.Methods, s.Level = Hidden{}, Hidden{}, Hidden{}
	if b[0]&flagProved != 0 {
		s.Proved = parseTime(b[size-len(texts):])
		texts = texts[timeSize:]
	}
	if b[0]&flagActor != 0 {
		s.Actor, texts = cutText(texts)
	}
	if b[0]&flagMethods != 0 {
		s.Methods, texts = cutText(texts)
	}
	if b[0]&flagLevel != 0 {
		s.Level, _ = cutText(texts)
	}
	return b[size:], nil
}

// cutText returns the first of several texts that each have their length in front.
func cutText(texts string) (first Hidden, rest string) {
	end := 1 + int(texts[0])
	return Hide(texts[1:end]), texts[end:]
}

func appendTime(dst []byte, t time.Time) ([]byte, error) {
	ms := t.UnixMilli()
	if ms < 0 || ms > maxTime {
		return nil, fmt.Errorf("codec: the time %v is outside the 48 bits of milliseconds since 1970", t)
	}
	return append(dst, byte(ms>>40), byte(ms>>32), byte(ms>>24), byte(ms>>16), byte(ms>>8), byte(ms)), nil
}

func parseTime(b []byte) time.Time {
	_ = b[5]
	return time.UnixMilli(int64(b[0])<<40 | int64(b[1])<<32 | int64(b[2])<<24 | int64(b[3])<<16 | int64(b[4])<<8 | int64(b[5]))
}
