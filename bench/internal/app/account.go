// Package app is one small application on each of several session libraries,
// with the same data, the same paths and the same answers.
package app

import (
	"encoding/gob"
	"fmt"
	"slices"
	"time"
)

// Account is typical session data, the same as in the root module's benchmarks.
type Account struct {
	Email   string         `cbor:"1,keyasint" json:"email"`
	Roles   []string       `cbor:"2,keyasint" json:"roles"`
	Cart    map[string]int `cbor:"3,keyasint" json:"cart"`
	Theme   string         `cbor:"4,keyasint" json:"theme"`
	Counter int            `cbor:"5,keyasint" json:"counter"`
	Since   time.Time      `cbor:"6,keyasint" json:"since"`
	// Padding makes sessions of other sizes.
	Padding string `cbor:"7,keyasint,omitempty" json:"padding,omitempty"`
}

func init() { gob.Register(Account{}) }

// Subject is the subject of every session.
const Subject = "3f1f2c0e-6a55-4f0b-9d0e-2f4f4b9f2a11"

// Counter is the counter of a new account.
const Counter = 42

// NewAccount returns the data that each login begins with.
func NewAccount() Account {
	return Account{
		Email:   "alice@example.com",
		Roles:   []string{"customer", "reviewer", "editor"},
		Cart:    map[string]int{"apple": 1, "pear": 2, "plum": 3, "fig": 4},
		Theme:   "dark",
		Counter: Counter,
		Since:   time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
	}
}

var want = NewAccount()

// arrived checks a session that was read, at a negligible cost.
func arrived(subject string, a *Account) error {
	same := subject == Subject && a.Email == want.Email && a.Theme == want.Theme &&
		a.Counter >= want.Counter && a.Since.Equal(want.Since) &&
		slices.Equal(a.Roles, want.Roles) && len(a.Cart) == len(want.Cart)
	if !same || a.Cart["fig"] != 4 {
		return fmt.Errorf("app: the session of %q has %+v", subject, *a)
	}
	return nil
}

// text returns the answer to a request that reads the session's data, which has
// been checked. It costs nothing if the data is unchanged: an application's own
// work on its data is not measured.
func (a *Account) text() []byte {
	if a.Counter == Counter {
		return unchanged
	}
	return fmt.Appendf(nil, "%s %s %d\n", Subject, a.Email, a.Counter)
}

var unchanged = fmt.Appendf(nil, "%s %s %d\n", Subject, want.Email, want.Counter)

// Text is the answer to a request of a session that was not changed.
func Text() string { return string(unchanged) }
