package codec

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/waferkit/wafer/keyring"
)

// ValuesConfig configures [NewValues].
type ValuesConfig struct {
	// Realm names the application and its environment: 1 to 255 bytes
	// without NUL. Required.
	Realm string
	// Lifetime is how long a value opens after it was sealed: at most the
	// ring's Life. Required.
	Lifetime time.Duration
	// Now returns the current time. Default [time.Now].
	Now func() time.Time
}

// Values seals an application's own small secrets: the state before a login, a
// pending second factor, a link in an e-mail. A value opens only under the name
// that it was sealed under. Values and session cookies have different subkeys,
// so a value is never accepted as a session.
//
// A sealed value can be used any number of times until its lifetime ends, and
// its holder can replace it by an older one. To limit it to one use, keep state
// on the server.
//
// Values implements [securecookie.Codec], so gorilla/sessions can use it.
type Values struct {
	sealer   sealer
	lifetime time.Duration
	now      func() time.Time
}

var _ securecookie.Codec = (*Values)(nil)

// NewValues returns the codec of sealed values.
func NewValues(ring *keyring.Ring, c ValuesConfig) (*Values, error) {
	s, err := newSealer(ring, keyring.Value, c.Realm)
	if err != nil {
		return nil, err
	}
	if c.Lifetime <= 0 || c.Lifetime > ring.Life() {
		return nil, fmt.Errorf("codec: ValuesConfig.Lifetime is %v: want more than 0 and at most the ring's %v", c.Lifetime, ring.Life())
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return &Values{s, c.Lifetime, c.Now}, nil
}

// valueTimes is the size of the two times that precede a value: issued and
// expires.
const valueTimes = 2 * timeSize

// Seal returns the sealed text of value under a name. The error matches
// [ErrLength] if the text would be longer than [MaxSealed], and states by how
// much.
func (v *Values) Seal(name string, value []byte) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if excess := encoding.EncodedLen(Overhead+valueTimes+len(value)) - MaxSealed; excess > 0 {
		return "", fmt.Errorf("codec: the value %q is %d bytes too long when sealed: %w", name, excess, ErrLength)
	}
	now := v.now()
	plaintext, err := appendTime(make([]byte, 0, valueTimes+len(value)), now)
	if err == nil {
		plaintext, err = appendTime(plaintext, now.Add(v.lifetime))
	}
	if err != nil {
		return "", err
	}
	sealed, err := v.sealer.seal(nil, now, name, append(plaintext, value...))
	if err != nil {
		return "", err
	}
	return encoding.EncodeToString(sealed), nil
}

// Open returns the value that was sealed under the same name, ring and realm.
// The error is [ErrExpired] after the lifetime with which the value was sealed,
// and also after the lifetime that is configured now. ctx bounds the reload
// that an unknown key id causes.
func (v *Values) Open(ctx context.Context, name, sealed string) ([]byte, error) {
	if err := checkName(name); err != nil {
		return nil, err
	}
	if len(sealed) > MaxSealed {
		return nil, ErrLength
	}
	b, err := decode(sealed, v.sealer.room(name))
	if err != nil {
		return nil, err
	}
	now := v.now()
	plaintext, err := v.sealer.open(ctx, now, name, b)
	if err != nil {
		return nil, err
	}
	if len(plaintext) < valueTimes {
		return nil, ErrContent
	}
	issued, expires := parseTime(plaintext), parseTime(plaintext[timeSize:])
	if !now.Before(expires) || !now.Before(issued.Add(v.lifetime)) {
		return nil, ErrExpired
	}
	return plaintext[valueTimes:], nil
}

// Encode seals a Go value, encoded by package gob. It implements
// [securecookie.Codec].
func (v *Values) Encode(name string, value any) (string, error) {
	b, err := securecookie.GobEncoder{}.Serialize(value)
	if err != nil {
		return "", err
	}
	return v.Seal(name, b)
}

// Decode opens text that Encode returned for the same name into the value that
// dst points to. Every error implements [securecookie.Error].
func (v *Values) Decode(name, sealed string, dst any) error {
	b, err := v.Open(context.Background(), name, sealed)
	if err != nil {
		return decodeFailure(err)
	}
	return decodeFailure(deserialize(b, dst))
}

// deserialize reads gob. Its error names types, never values.
func deserialize(b []byte, dst any) error {
	if (securecookie.GobEncoder{}).Deserialize(b, dst) != nil {
		return fmt.Errorf("codec: the value does not decode into %T; was its type changed?: %w", dst, ErrContent)
	}
	return nil
}

// decodeError is an error of Decode in the form that callers of securecookie
// expect. Applications call IsDecode to distinguish a bad cookie, which makes
// the request anonymous, from a fault of the server.
type decodeError struct{ error }

var _ securecookie.Error = decodeError{}

func decodeFailure(err error) error {
	if err == nil {
		return nil
	}
	return decodeError{err}
}

func (r decodeError) Unwrap() error  { return r.error }
func (r decodeError) Cause() error   { return r.error }
func (decodeError) IsUsage() bool    { return false }
func (decodeError) IsDecode() bool   { return true }
func (decodeError) IsInternal() bool { return false }

func checkName(name string) error {
	if name == "" || strings.ContainsRune(name, 0) {
		return errors.New("codec: a sealed value needs a name, without NUL")
	}
	return nil
}
