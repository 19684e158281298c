package main

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

const (
	realm = "demo.wafer.example/development"
	// rememberFor is how long a session lives that was begun with "remember
	// me", used or not.
	rememberFor = 30 * 24 * time.Hour
	// recent is how old an authentication may be for a transfer.
	recent = 5 * time.Minute

	firstPassword = "wafer"
	administrator = "admin"
)

var userNames = []string{"alice", "bob", administrator}

// basket is the session's data: it travels in the sealed cookie.
type basket struct {
	Cart   map[string]int `json:"cart" cbor:"1,keyasint"`
	Coupon string         `json:"coupon" cbor:"2,keyasint,omitempty"`
}

type shop struct {
	sessions *wafer.Sessions[basket]
	ring     *keyring.Ring
	users    *users
	owed     *owed
	remember time.Duration // the limits of a session with "remember me"
	now      func() time.Time
	leaving  context.Context // ends when the process is told to
	leave    func()
}

// newShop returns a shop over a ring, a store and its users. Of the
// configuration, Realm, the maxima and ErrorHandler are the shop's own.
func newShop(ctx context.Context, ring *keyring.Ring, db store.Store, users *users, config wafer.Config[basket]) (*shop, error) {
	s := &shop{ring: ring, users: users, now: config.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.remember = max(rememberFor, config.Idle, config.Absolute)
	config.Realm = realm
	config.MaxIdle, config.MaxAbsolute = s.remember, s.remember
	config.ErrorHandler = s.fail
	var err error
	if s.sessions, err = wafer.New(ctx, ring, db, config); err != nil {
		return nil, err
	}
	s.owed = newOwed(s.sessions)
	s.leaving, s.leave = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what newShop started.
func (s *shop) Close() {
	s.leave()
	s.owed.close()
	s.sessions.Close()
}

// handler returns the routes of the shop.
func (s *shop) handler() http.Handler {
	mux := http.NewServeMux()
	signedIn := func(h http.HandlerFunc) http.Handler { return s.sessions.Require(h) }

	mux.HandleFunc("GET /{$}", s.showFront)
	mux.HandleFunc("GET /login", s.form("login", "/login"))
	mux.HandleFunc("GET /welcome", s.welcome)
	mux.HandleFunc("POST /login", s.post(s.login))
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /healthz", s.healthz)

	mux.Handle("GET /me", signedIn(s.showMe))
	mux.Handle("GET /live", signedIn(s.live))
	mux.Handle("GET /cart", signedIn(s.showCart))
	mux.Handle("POST /cart", signedIn(s.post(s.addToCart)))
	mux.Handle("POST /coupon", signedIn(s.post(s.redeem)))
	mux.Handle("GET /devices", signedIn(s.showDevices))
	mux.Handle("POST /logout-others", signedIn(s.logoutOthers))
	mux.Handle("POST /devices/end", s.sessions.RequireRecent(recent)(s.post(s.endDevice)))
	mux.Handle("GET /password", signedIn(s.form("password", "/password")))
	mux.Handle("POST /password", signedIn(s.post(s.changePassword)))
	mux.Handle("GET /elevate", signedIn(s.form("elevate", "/elevate")))
	mux.Handle("POST /elevate", signedIn(s.post(s.elevate)))
	mux.Handle("GET /transfer", signedIn(s.form("transfer", "/transfer")))
	mux.Handle("POST /transfer", s.sessions.RequireRecent(recent)(s.post(s.transfer)))
	mux.Handle("GET /admin", signedIn(s.staff(s.showAdmin)))
	mux.Handle("POST /admin/revoke", signedIn(s.staff(s.post(s.revoke))))
	mux.HandleFunc("/", s.elsewhere(mux))

	// Cookies go with requests from other sites too: no POST of theirs passes.
	// wafer protects its own endpoints; an application's are its own.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, errCrossOrigin)
	}))
	// The API and wafer's endpoints find their sessions by themselves. The keys
	// at /session/jwks.json are for every cache.
	routes := http.NewServeMux()
	routes.Handle("/", protection.Handler(s.sessions.Handler(mux)))
	routes.Handle("/api/", protection.Handler(s.api()))
	routes.Handle("/session/", http.StripPrefix("/session", s.sessions.Endpoints()))
	app := s.plainPaths(routes)

	// Style and pictures need no session: they stay outside of its Handler, so
	// they may be cached, and never refresh anything.
	return secure(s.recovered(bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, found := strings.CutPrefix(r.URL.Path, "/static/"); found && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			if serveStatic(w, r, name) {
				return
			}
		}
		app.ServeHTTP(w, r)
	}))))
}

// post wraps a handler that takes the fields of a body.
func (s *shop) post(h func(http.ResponseWriter, *http.Request, fields) error) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		f, err := parseBody(r)
		if err == nil {
			err = h(w, r, f)
		}
		if err != nil {
			s.fail(w, r, err)
		}
	}
}
