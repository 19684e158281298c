package codec

import (
	"context"
	"crypto/hkdf"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/gorilla/securecookie"

	"github.com/waferkit/wafer/keyring"
)

// GorillaConfig configures [NewGorilla].
type GorillaConfig struct {
	// Realm names the application and its environment: 1 to 255 bytes
	// without NUL. Required.
	Realm string
	// Lifetime is how long a cookie decodes after it was encoded: at least
	// a second and at most the ring's Life. Fractions of a second are
	// ignored. Required.
	Lifetime time.Duration
}

// Gorilla encodes cookies in the format of gorilla/securecookie (AES-256-CTR,
// then HMAC-SHA256, over gob) under subkeys of the ring, preceded by the key's
// id. It is for applications that use gorilla/sessions and want the rotation of
// the ring; [Values] is smaller and faster. It implements [securecookie.Codec].
//
// Gorilla decodes only cookies that it encoded. It does not accept cookies that
// an application sealed with its own securecookie keys.
//
// Gorilla reads the system clock, as securecookie does for its timestamp.
type Gorilla struct {
	ring   *keyring.Ring
	realm  string
	maxAge int
}

var _ securecookie.Codec = (*Gorilla)(nil)

// NewGorilla returns the codec of gorilla cookies.
func NewGorilla(ring *keyring.Ring, c GorillaConfig) (*Gorilla, error) {
	if ring == nil {
		return nil, errors.New("codec: no ring given")
	}
	if err := checkRealm(c.Realm); err != nil {
		return nil, err
	}
	if c.Lifetime < time.Second || c.Lifetime > ring.Life() {
		return nil, fmt.Errorf("codec: GorillaConfig.Lifetime is %v: want 1s to the ring's %v", c.Lifetime, ring.Life())
	}
	return &Gorilla{ring, c.Realm, int(c.Lifetime / time.Second)}, nil
}

// gorillaSeparator separates the key id from securecookie's text, which is
// base64 and never contains it.
const gorillaSeparator = '.'

// gorillaHead is the length of the key id and the separator.
const gorillaHead = 2*keyIDSize + 1

// Encode encodes value. The name is authenticated with it.
func (g *Gorilla) Encode(name string, value any) (string, error) {
	key, err := g.ring.Primary(time.Now())
	if err != nil {
		return "", err
	}
	sc, err := g.codec(key)
	if err != nil {
		return "", err
	}
	plain, err := securecookie.GobEncoder{}.Serialize(value)
	if err != nil {
		return "", err
	}
	text, err := sc.Encode(g.bind(name), plain)
	if err != nil {
		return "", err
	}
	return key.ID().String() + string(gorillaSeparator) + text, nil
}

// Decode decodes text that Encode returned for the same name into the value
// that dst points to. Every error implements [securecookie.Error].
func (g *Gorilla) Decode(name, value string, dst any) error {
	return decodeFailure(g.decode(name, value, dst))
}

func (g *Gorilla) decode(name, value string, dst any) error {
	if len(value) > MaxSealed || len(value) <= gorillaHead {
		return ErrLength
	}
	var id keyring.ID
	if value[gorillaHead-1] != gorillaSeparator {
		return ErrEncoding
	}
	if _, err := hex.Decode(id[:], []byte(value[:gorillaHead-1])); err != nil || id.String() != value[:gorillaHead-1] {
		return ErrEncoding
	}
	// securecookie's decoder ignores line breaks and trailing bits, but a value
	// has one encoding here too.
	b, err := base64.URLEncoding.DecodeString(value[gorillaHead:])
	if err != nil || base64.URLEncoding.EncodeToString(b) != value[gorillaHead:] {
		return ErrEncoding
	}
	key, err := g.ring.Key(context.Background(), id, time.Now())
	if err != nil {
		return err
	}
	sc, err := g.codec(key)
	if err != nil {
		return err
	}
	var plain []byte
	if sc.Decode(g.bind(name), value[gorillaHead:], &plain) != nil {
		return ErrForged
	}
	// An authentic text begins with its date. securecookie's own check of the
	// date would not distinguish expiry from forgery.
	date, _, _ := strings.Cut(string(b), "|")
	seconds, err := strconv.ParseInt(date, 10, 64)
	if err != nil {
		return ErrContent
	}
	if time.Now().Unix()-seconds > int64(g.maxAge) {
		return ErrExpired
	}
	return deserialize(plain, dst)
}

// bind joins the realm to the name that securecookie authenticates. Its MAC
// covers name|date|value, and neither realm nor date contains a NUL.
func (g *Gorilla) bind(name string) string { return g.realm + "\x00" + name }

// expandGorilla derives the two keys that securecookie needs from one subkey.
func expandGorilla(subkey []byte) ([]byte, error) {
	return hkdf.Expand(sha256.New, subkey, "wafer/1 gorilla keys", 64)
}

// codec returns securecookie's codec for a key of the ring. Its MAC key is the
// first half of the expansion, and its encryption key the second.
func (g *Gorilla) codec(key *keyring.Key) (*securecookie.SecureCookie, error) {
	keys, err := keyring.Derived(key, keyring.Gorilla, expandGorilla)
	if err != nil {
		return nil, err
	}
	sc := securecookie.New(keys[:32], keys[32:])
	sc.MaxAge(0) // no limit: decode checks the date
	sc.SetSerializer(securecookie.NopEncoder{})
	sc.MaxLength(MaxSealed - gorillaHead)
	return sc, nil
}
