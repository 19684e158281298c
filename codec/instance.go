package codec

import (
	"errors"
	"strings"
)

// Instance names one set of sessions. Applications and environments that share
// a ring have different realms. Two sets of sessions of one application, such
// as those of its members and of its staff, share the realm and have different
// session cookies. Nothing that belongs to one instance is authentic in another.
type Instance struct {
	// Realm names the application and its environment: 1 to 255 bytes without
	// NUL.
	Realm string
	// SessionCookie is the name of the session cookie: at least one byte,
	// without NUL.
	SessionCookie string
}

func (i Instance) check() error {
	if err := checkRealm(i.Realm); err != nil {
		return err
	}
	return checkCookieName(i.SessionCookie)
}

// text returns the form in which the instance is authenticated. Neither part
// contains NUL, so no two instances have the same text.
func (i Instance) text() string { return i.Realm + "\x00" + i.SessionCookie }

func checkCookieName(name string) error {
	if name == "" || strings.ContainsRune(name, 0) {
		return errors.New("codec: a cookie needs a name, without NUL")
	}
	return nil
}
