package codec

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// Cookies seals and opens session cookies of one realm and one cookie name
// (sealed cookie, version 1).
type Cookies struct {
	sealer sealer
	name   string
}

// NewCookies returns the codec of session cookies. The realm names the
// application and its environment: 1 to 255 bytes without NUL.
func NewCookies(ring *keyring.Ring, realm, name string) (*Cookies, error) {
	s, err := newSealer(ring, keyring.Cookie, realm)
	if err != nil {
		return nil, err
	}
	if name == "" || strings.ContainsRune(name, 0) {
		return nil, errors.New("codec: a cookie needs a name, without NUL")
	}
	return &Cookies{s, name}, nil
}

// Size returns how long the sealed text is for a subject and data of the given
// lengths in bytes, whatever the key.
func (c *Cookies) Size(subject, data int) int {
	return encoding.EncodedLen(Overhead + fixedSize + subject + data)
}

// Seal returns the cookie value of a session with its data, under the key that
// is primary at time now. The result may be longer than a browser keeps; see
// [Cookies.Size].
func (c *Cookies) Seal(now time.Time, s *Session, data []byte) (string, error) {
	plaintext, err := s.append(make([]byte, 0, fixedSize+len(s.Subject)+len(data)))
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

// Open authenticates a cookie value and returns its session and data; the
// caller owns both. It judges no time but the key's: an authentic cookie past
// its lifetime opens. ctx bounds the reload that an unknown key id causes.
func (c *Cookies) Open(ctx context.Context, now time.Time, value string) (s Session, data []byte, err error) {
	if len(value) > MaxSealed {
		return Session{}, nil, ErrLength
	}
	sealed, err := decode(value, c.sealer.room(c.name))
	if err != nil {
		return Session{}, nil, err
	}
	plaintext, err := c.sealer.open(ctx, now, c.name, sealed)
	if err != nil {
		return Session{}, nil, err
	}
	if data, err = s.parse(plaintext); err != nil {
		return Session{}, nil, err
	}
	return s, data, nil
}
