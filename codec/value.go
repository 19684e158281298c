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
	// Realm names the application and its environment. Required; 1 to 255
	// bytes without NUL.
	Realm string
	// Lifetime is how long a value opens after it was sealed. Required; at
	// most the ring's Life.
	Lifetime time.Duration
	// Now is the clock. Default [time.Now].
	Now func() time.Time
}

// Values seals small secrets of the application's own: the state before a
// login, a pending second factor, a link in an e-mail. Each is sealed under a
// name, and opens under that name only. They are sealed under another subkey
// than sessions: a value is never a session.
//
// A sealed value can be used again until its lifetime ends, and its holder can
// put back an older one. What must work only once needs server state.
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

// valueTimes is the size of the times in front of a value: issued and expires.
const valueTimes = 2 * timeSize

// Seal returns the sealed text of value under a name. A result longer than
// [MaxSealed] is an error that says by how much.
func (v *Values) Seal(name string, value []byte) (string, error) {
	if err := checkName(name); err != nil {
		return "", err
	}
	if over := encoding.EncodedLen(Overhead+valueTimes+len(value)) - MaxSealed; over > 0 {
		return "", fmt.Errorf("codec: the value %q is %d bytes too long when sealed: %w", name, over, ErrLength)
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

// Open returns what was sealed under the same name, ring and realm less than
// its lifetime ago; both the lifetime it was sealed with and the one that is
// configured now are kept. ctx bounds the reload that an unknown key id causes.
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

// Encode seals a Go value in gob, as [securecookie.Codec] has it.
func (v *Values) Encode(name string, value any) (string, error) {
	b, err := securecookie.GobEncoder{}.Serialize(value)
	if err != nil {
		return "", err
	}
	return v.Seal(name, b)
}

// Decode opens what Encode sealed into the value that dst points to.
func (v *Values) Decode(name, sealed string, dst any) error {
	b, err := v.Open(context.Background(), name, sealed)
	if err != nil {
		return refusal(err)
	}
	return refusal(deserialize(b, dst))
}

// deserialize reads gob. Its error tells types, never values.
func deserialize(b []byte, dst any) error {
	if (securecookie.GobEncoder{}).Deserialize(b, dst) != nil {
		return fmt.Errorf("codec: the value does not decode into %T; was its type changed?: %w", dst, ErrContent)
	}
	return nil
}

// refused is a refusal as securecookie's callers know it. Applications ask
// IsDecode to tell a bad cookie, which is an anonymous request, from a fault.
type refused struct{ error }

var _ securecookie.Error = refused{}

func refusal(err error) error {
	if err == nil {
		return nil
	}
	return refused{err}
}

func (r refused) Unwrap() error  { return r.error }
func (r refused) Cause() error   { return r.error }
func (refused) IsUsage() bool    { return false }
func (refused) IsDecode() bool   { return true }
func (refused) IsInternal() bool { return false }

func checkName(name string) error {
	if name == "" || strings.ContainsRune(name, 0) {
		return errors.New("codec: a sealed value needs a name, without NUL")
	}
	return nil
}
