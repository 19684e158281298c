package app

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/sessions"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// Realm is the realm of the application on wafer.
const Realm = "bench"

// Options are the settings of wafer that a benchmark changes.
type Options struct {
	// Access is the access lifetime. The default is 5 minutes.
	Access time.Duration
	// Ring is the key ring. The default is a ring of a single new key.
	Ring *keyring.Ring
	// MaxRevocations is that of [wafer.Config].
	MaxRevocations int
}

// Ring returns a static ring with that many new keys.
func Ring(keys int) (*keyring.Ring, error) {
	secrets := make([]string, keys)
	for i := range secrets {
		secret := make([]byte, keyring.SecretSize)
		rand.Read(secret)
		secrets[i] = hex.EncodeToString(secret)
	}
	return keyring.Static(secrets...)
}

// Wafer returns the application on wafer over a store. The caller closes the
// sessions.
func Wafer(ctx context.Context, name string, db store.Store, o Options) (app *App, sessions *wafer.Sessions[Account], err error) {
	if o.Ring == nil {
		if o.Ring, err = Ring(1); err != nil {
			return nil, nil, err
		}
	}
	sessions, err = wafer.New(ctx, o.Ring, db, wafer.Config[Account]{
		Realm: Realm, Observe: func(wafer.Event) {}, Access: o.Access, MaxRevocations: o.MaxRevocations,
	})
	if err != nil {
		return nil, nil, err
	}
	return newApp(name, waferLibrary{sessions}), sessions, nil
}

type waferLibrary struct{ *wafer.Sessions[Account] }

func (l waferLibrary) middleware(h http.Handler) http.Handler { return l.Handler(h) }

func (l waferLibrary) login(w http.ResponseWriter, r *http.Request, subject string, a Account) error {
	return l.Start(w, r, subject, a)
}

func (l waferLibrary) identity(r *http.Request) (string, error) {
	s, err := l.Get(r.Context())
	if err != nil {
		return "", err
	}
	return s.Subject, nil
}

func (l waferLibrary) read(r *http.Request) (string, Account, error) {
	s, err := l.Get(r.Context())
	if err != nil {
		return "", Account{}, err
	}
	a, err := s.Data()
	return s.Subject, a, err
}

func (l waferLibrary) save(w http.ResponseWriter, r *http.Request, a Account) error {
	return l.Save(w, r, a)
}

func (l waferLibrary) commit(w http.ResponseWriter, r *http.Request, a Account) error {
	return l.Commit(w, r, a)
}

func (l waferLibrary) logout(w http.ResponseWriter, r *http.Request) error { return l.End(w, r) }

// SCS returns the application on scs over one of its stores; nil means its own
// in memory.
func SCS(name string, db scs.Store) *App {
	m := scs.New()
	if db != nil {
		m.Store = db
	}
	return newApp(name, scsLibrary{m})
}

type scsLibrary struct{ *scs.SessionManager }

func (l scsLibrary) middleware(h http.Handler) http.Handler { return l.LoadAndSave(h) }

func (l scsLibrary) login(_ http.ResponseWriter, r *http.Request, subject string, a Account) error {
	if err := l.RenewToken(r.Context()); err != nil {
		return err
	}
	l.Put(r.Context(), "subject", subject)
	l.Put(r.Context(), "account", a)
	return nil
}

func (l scsLibrary) identity(r *http.Request) (string, error) {
	return l.GetString(r.Context(), "subject"), nil
}

func (l scsLibrary) read(r *http.Request) (string, Account, error) {
	a, _ := l.Get(r.Context(), "account").(Account)
	return l.GetString(r.Context(), "subject"), a, nil
}

func (l scsLibrary) save(_ http.ResponseWriter, r *http.Request, a Account) error {
	l.Put(r.Context(), "account", a)
	return nil
}

func (l scsLibrary) logout(_ http.ResponseWriter, r *http.Request) error {
	return l.Destroy(r.Context())
}

// Gorilla returns the application on gorilla/sessions over one of its stores.
func Gorilla(name string, db sessions.Store) *App { return newApp(name, gorillaLibrary{db}) }

type gorillaLibrary struct{ sessions.Store }

func (l gorillaLibrary) middleware(h http.Handler) http.Handler { return h }

func (l gorillaLibrary) login(w http.ResponseWriter, r *http.Request, subject string, a Account) error {
	s, err := l.New(r, "session")
	if err != nil {
		return err
	}
	s.Values["subject"], s.Values["account"] = subject, a
	return s.Save(r, w)
}

func (l gorillaLibrary) identity(r *http.Request) (string, error) {
	s, err := l.Get(r, "session")
	if err != nil {
		return "", err
	}
	subject, _ := s.Values["subject"].(string)
	return subject, nil
}

func (l gorillaLibrary) read(r *http.Request) (string, Account, error) {
	s, err := l.Get(r, "session")
	if err != nil {
		return "", Account{}, err
	}
	subject, _ := s.Values["subject"].(string)
	a, _ := s.Values["account"].(Account)
	return subject, a, nil
}

func (l gorillaLibrary) save(w http.ResponseWriter, r *http.Request, a Account) error {
	s, err := l.Get(r, "session")
	if err != nil {
		return err
	}
	s.Values["account"] = a
	return s.Save(r, w)
}

func (l gorillaLibrary) logout(w http.ResponseWriter, r *http.Request) error {
	s, err := l.Get(r, "session")
	if err != nil {
		return err
	}
	s.Options.MaxAge = -1
	return s.Save(r, w)
}
