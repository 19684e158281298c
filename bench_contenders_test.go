package wafer_test

import (
	"context"
	"crypto/rand"
	"encoding/gob"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/alexedwards/scs/v2"
	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// The contenders are used as their documentation says, with their defaults.
// Types are registered with gob once. docs/benchmarks.md describes how they
// differ: only wafer and scs end a session on the server, and the memstore of
// scs loses everything at a restart and keeps its data in the process.
// gorilla-format is gorilla/sessions over this library's own codec.
var contenders = []struct {
	name string
	open func(testing.TB) contender
}{
	{"wafer", func(b testing.TB) contender { return openWafer(b) }},
	{"gorilla", openGorilla},
	{"gorilla-format", openGorillaFormat},
	{"scs-memstore", openSCS},
}

func init() { gob.Register(benchAccount{}) }

func benchRing(b testing.TB) *keyring.Ring {
	b.Helper()
	ring, err := keyring.Static(strings.Repeat("5a", keyring.SecretSize))
	if err != nil {
		b.Fatal(err)
	}
	return ring
}

// waferApp is an application on wafer, over the memory store. Both use the same
// clock, which the refresh benchmark moves.
type waferApp struct {
	*wafer.Sessions[benchAccount]
	skipped time.Duration
}

const benchAccess = 5 * time.Minute

func openWafer(b testing.TB) *waferApp {
	b.Helper()
	app := new(waferApp)
	var err error
	app.Sessions, err = wafer.New(context.Background(), benchRing(b), memory.New(memory.Options{Now: app.now}), wafer.Config[benchAccount]{
		Realm: "bench", Observe: func(wafer.Event) {}, Access: benchAccess, Now: app.now, MaxStaleness: time.Hour,
	})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(app.Close)
	return app
}

func (a *waferApp) now() time.Time { return time.Now().Add(a.skipped) }

func (a *waferApp) middleware(h http.Handler) http.Handler { return a.Handler(h) }

func (a *waferApp) login(w http.ResponseWriter, r *http.Request, subject string, data benchAccount) error {
	return a.Start(w, r, subject, data)
}

func (a *waferApp) identity(r *http.Request) (string, error) {
	s, err := a.Get(r.Context())
	if err != nil {
		return "", err
	}
	return s.Subject, nil
}

func (a *waferApp) read(r *http.Request) (string, benchAccount, error) {
	s, err := a.Get(r.Context())
	if err != nil {
		return "", benchAccount{}, err
	}
	data, err := s.Data()
	return s.Subject, data, err
}

func (a *waferApp) save(w http.ResponseWriter, r *http.Request, data benchAccount) error {
	return a.Save(w, r, data)
}

func (a *waferApp) logout(w http.ResponseWriter, r *http.Request) error { return a.End(w, r) }

// gorillaApp is an application on gorilla/sessions.
type gorillaApp struct{ sessions.Store }

// openGorilla encrypts, as wafer does. With the MAC alone gorilla would be
// faster and its cookie smaller, but readable.
func openGorilla(testing.TB) contender {
	keys := make([]byte, 64+32)
	rand.Read(keys)
	return gorillaApp{sessions.NewCookieStore(keys[:64], keys[64:])}
}

func openGorillaFormat(b testing.TB) contender {
	c, err := codec.NewGorilla(benchRing(b), codec.GorillaConfig{Realm: "bench", Lifetime: 12 * time.Hour})
	if err != nil {
		b.Fatal(err)
	}
	store := sessions.NewCookieStore()
	store.Codecs = []securecookie.Codec{c}
	return gorillaApp{store}
}

func (g gorillaApp) middleware(h http.Handler) http.Handler { return h }

func (g gorillaApp) login(w http.ResponseWriter, r *http.Request, subject string, a benchAccount) error {
	s, err := g.New(r, "session")
	if err != nil {
		return err
	}
	s.Values["subject"], s.Values["account"] = subject, a
	return s.Save(r, w)
}

func (g gorillaApp) identity(r *http.Request) (string, error) {
	s, err := g.Get(r, "session")
	if err != nil {
		return "", err
	}
	subject, _ := s.Values["subject"].(string)
	return subject, nil
}

func (g gorillaApp) read(r *http.Request) (string, benchAccount, error) {
	s, err := g.Get(r, "session")
	if err != nil {
		return "", benchAccount{}, err
	}
	subject, _ := s.Values["subject"].(string)
	a, _ := s.Values["account"].(benchAccount)
	return subject, a, nil
}

func (g gorillaApp) save(w http.ResponseWriter, r *http.Request, a benchAccount) error {
	s, err := g.Get(r, "session")
	if err != nil {
		return err
	}
	s.Values["account"] = a
	return s.Save(r, w)
}

func (g gorillaApp) logout(w http.ResponseWriter, r *http.Request) error {
	s, err := g.Get(r, "session")
	if err != nil {
		return err
	}
	s.Options.MaxAge = -1
	return s.Save(r, w)
}

// scsApp is an application on scs.
type scsApp struct{ *scs.SessionManager }

func openSCS(testing.TB) contender { return scsApp{scs.New()} }

func (a scsApp) middleware(h http.Handler) http.Handler { return a.LoadAndSave(h) }

func (a scsApp) login(_ http.ResponseWriter, r *http.Request, subject string, data benchAccount) error {
	if err := a.RenewToken(r.Context()); err != nil {
		return err
	}
	a.Put(r.Context(), "subject", subject)
	a.Put(r.Context(), "account", data)
	return nil
}

func (a scsApp) identity(r *http.Request) (string, error) {
	return a.GetString(r.Context(), "subject"), nil
}

func (a scsApp) read(r *http.Request) (string, benchAccount, error) {
	data, _ := a.Get(r.Context(), "account").(benchAccount)
	return a.GetString(r.Context(), "subject"), data, nil
}

func (a scsApp) save(_ http.ResponseWriter, r *http.Request, data benchAccount) error {
	a.Put(r.Context(), "account", data)
	return nil
}

func (a scsApp) logout(_ http.ResponseWriter, r *http.Request) error { return a.Destroy(r.Context()) }
