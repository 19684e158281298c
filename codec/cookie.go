package codec

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/waferkit/wafer/internal/hidden"
	"github.com/waferkit/wafer/keyring"
)

// Cookies seals and opens session cookies of one realm and one cookie name
// (sealed cookie, version 1).
type Cookies struct {
	sealer sealer
	name   string
}

// NewCookies returns the codec of the session cookies with that name. realm
// names the application and its environment: 1 to 255 bytes without NUL.
func NewCookies(ring *keyring.Ring, realm, name string) (*Cookies, error) {
	s, err := newSealer(ring, keyring.Cookie, realm)
	if err != nil {
		return nil, err
	}
	if err := checkCookieName(name); err != nil {
		return nil, err
	}
	return &Cookies{s, name}, nil
}

// Size returns the length of the sealed text of a session with so many bytes of
// data. It does not depend on the key.
func (c *Cookies) Size(s *Session, data int) int {
	return encoding.EncodedLen(Overhead + s.size() + data)
}

// Seal returns the cookie value of a session with its data, sealed under the
// key that is primary at time now. It may be longer than browsers accept; see
// [Cookies.Size].
func (c *Cookies) Seal(now time.Time, s *Session, data []byte) (string, error) {
	plaintext, err := s.append(make([]byte, 0, s.size()+len(data)))
	if err != nil {
		return "", err
	}
	plaintext = append(plaintext, data...)
	sealed, err := c.sealer.seal(make([]byte, 0, Overhead+len(plaintext)), now, c.name, plaintext)
	if err != nil {
		return "", err
	}
	return encoding.EncodeToString(sealed), nil
}

// Open authenticates a cookie value and returns its session and data. The
// caller owns both. Open checks the times of the key but not those of the
// session: an authentic cookie past its lifetime opens. ctx bounds the reload
// that an unknown key id causes.
func (c *Cookies) Open(ctx context.Context, now time.Time, value string) (s Session, data []byte, err error) {
	content, err := c.OpenContent(ctx, now, value, &s)
	if err != nil {
		return Session{}, nil, err
	}
	return s, content.Data(), nil
}

// Content is the plaintext of a cookie: a session and its data, in half the
// memory of the two. Printing shows neither. The zero value has neither session
// nor data.
type Content struct{ plaintext hidden.Bytes }

// OpenContent is [Cookies.Open] for callers that keep the content. It sets s to
// the session. If the cookie does not open, s is unspecified.
func (c *Cookies) OpenContent(ctx context.Context, now time.Time, value string, s *Session) (Content, error) {
	if len(value) > MaxSealed {
		return Content{}, ErrLength
	}
	sealed, err := decode(value, c.sealer.room(c.name))
	if err != nil {
		return Content{}, err
	}
	plaintext, err := c.sealer.open(ctx, now, c.name, sealed)
	if err != nil {
		return Content{}, err
	}
	if _, err := s.parse(plaintext); err != nil {
		return Content{}, err
	}
	return Content{hidden.Hide(plaintext)}, nil
}

// Format prints only the session's id.
func (c Content) Format(f fmt.State, verb rune) { c.Session().Format(f, verb) }

// LogValue logs only the session's id.
func (c Content) LogValue() slog.Value { return c.Session().LogValue() }

// Equal reports whether c and other are the same bytes.
func (c Content) Equal(other Content) bool {
	return bytes.Equal(c.plaintext.Reveal(), other.plaintext.Reveal())
}

// Session returns the session. The caller owns it.
func (c Content) Session() (s Session) {
	s.parse(c.plaintext.Reveal()) // cannot fail: OpenContent has parsed it
	return s
}

// Data returns the data, which shares its memory with the content and must not
// be modified. It is nil for the zero value.
func (c Content) Data() []byte {
	b := c.plaintext.Reveal()
	if b == nil {
		return nil
	}
	return b[headerSize(b):]
}
