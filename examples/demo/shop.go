package main

import (
	"cmp"
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
	// rememberFor is the default lifetime of a session that was begun with
	// "remember me", used or not.
	rememberFor = 30 * 24 * time.Hour
	// recent is the maximum age of an authentication for a transfer.
	recent = 5 * time.Minute

	firstPassword = "wafer"
	administrator = "admin"
)

var userNames = []string{"alice", "bob", administrator}

// basket is the session's data, in the sealed cookie.
type basket struct {
	Cart   map[string]int `json:"cart" cbor:"1,keyasint"`
	Coupon string         `json:"coupon" cbor:"2,keyasint,omitempty"`
}

type shop struct {
	sessions *wafer.Sessions[basket]
	ring     *keyring.Ring
	users    *users
	pending  *pendingRevocations
	remember time.Duration // the limits of a session with "remember me"
	now      func() time.Time
	leaving  context.Context // ends when the process is told to stop
	leave    func()
}

// newShop returns a shop over a ring, a store and its users. It sets Realm, MaxIdle
// and ErrorHandler of the configuration itself. MaxAbsolute is the lifetime of a
// session with "remember me".
func newShop(ctx context.Context, ring *keyring.Ring, db store.Store, users *users, config wafer.Config[basket]) (*shop, error) {
	s := &shop{ring: ring, users: users, now: config.Now}
	if s.now == nil {
		s.now = time.Now
	}
	s.remember = max(cmp.Or(config.MaxAbsolute, rememberFor), config.Idle, config.Absolute)
	config.Realm = realm
	config.MaxIdle, config.MaxAbsolute = s.remember, s.remember
	config.ErrorHandler = s.fail
	var err error
	if s.sessions, err = wafer.New(ctx, ring, db, config); err != nil {
		return nil, err
	}
	s.pending = newPendingRevocations(s.sessions)
	s.leaving, s.leave = context.WithCancel(context.Background())
	return s, nil
}

// Close ends what newShop started.
func (s *shop) Close() {
	s.leave()
	s.pending.close()
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

	// Browsers send cookies with requests from other sites too, so such a POST
	// is refused. wafer protects its own endpoints; the application must
	// protect its own routes.
	protection := http.NewCrossOriginProtection()
	protection.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, errCrossOrigin)
	}))
	// The API and wafer's endpoints find their sessions themselves. Any cache
	// may keep the keys at /session/jwks.json.
	routes := http.NewServeMux()
	routes.Handle("/", protection.Handler(s.sessions.Handler(mux)))
	routes.Handle("/api/", protection.Handler(s.api()))
	routes.Handle("/session/", http.StripPrefix("/session", s.sessions.Endpoints()))
	app := s.plainPaths(routes)

	// Styles and pictures need no session. They are served outside of the
	// session's Handler, so they may be cached and never refresh anything.
	return secure(s.recovered(bounded(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if name, found := strings.CutPrefix(r.URL.Path, "/static/"); found && (r.Method == http.MethodGet || r.Method == http.MethodHead) {
			if serveStatic(w, r, name) {
				return
			}
		}
		app.ServeHTTP(w, r)
	}))))
}

// post wraps a handler of the fields of a body.
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
