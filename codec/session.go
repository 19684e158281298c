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
	// fixedSize is the size of the header without the subject: flags, id,
	// position, generation, six times, and the length of the subject.
	fixedSize = 1 + len(ID{}) + 8 + 4 + 6*timeSize + 1
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
	dst = append(dst, 0) // flags; no flag is defined
	dst = append(dst, s.ID[:]...)
	dst = binary.BigEndian.AppendUint64(dst, s.Position)
	dst = binary.BigEndian.AppendUint32(dst, s.Generation)
	for _, t := range [...]time.Time{s.Issued, s.Access, s.Idle, s.Absolute, s.Started, s.Authenticated} {
		var err error
		if dst, err = appendTime(dst, t); err != nil {
			return nil, err
		}
	}
	dst = append(dst, byte(len(subject)))
	return append(dst, subject...), nil
}

// parse reads the header from b and returns the rest.
func (s *Session) parse(b []byte) ([]byte, error) {
	if len(b) < fixedSize || b[0] != 0 {
		return nil, ErrContent
	}
	n := int(b[fixedSize-1])
	if n == 0 || len(b) < fixedSize+n {
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
	s.Subject = Hide(string(b[fixedSize : fixedSize+n]))
	return b[fixedSize+n:], nil
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
