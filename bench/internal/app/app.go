package app

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
)

// App is an application. Its handlers answer 200, or 500 with the error.
type App struct {
	Name string
	// Padding is the number of bytes of text that each login adds to the
	// session.
	Padding int
	// Login begins a session, Identity reads its subject, Data reads all of it,
	// Save increments the counter and saves, and Logout ends the session.
	Login, Identity, Data, Save, Logout http.Handler
	// Commit is a save that cannot be put back. It is nil if the library has
	// none besides Save.
	Commit http.Handler
}

var identityText = []byte(Subject + "\n")

// library is what an application needs of a session library.
type library interface {
	middleware(h http.Handler) http.Handler
	login(w http.ResponseWriter, r *http.Request, subject string, a Account) error
	identity(r *http.Request) (subject string, err error)
	read(r *http.Request) (subject string, a Account, err error)
	save(w http.ResponseWriter, r *http.Request, a Account) error
	logout(w http.ResponseWriter, r *http.Request) error
}

// committer is a library with a second kind of save.
type committer interface {
	commit(w http.ResponseWriter, r *http.Request, a Account) error
}

func newApp(name string, l library) *App {
	handler := func(answer func(w http.ResponseWriter, r *http.Request) (body []byte, err error)) http.Handler {
		return l.middleware(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			body, err := answer(w, r)
			if err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
				return
			}
			w.Write(body)
		}))
	}
	data := func(r *http.Request) (Account, error) {
		subject, a, err := l.read(r)
		if err == nil {
			err = arrived(subject, &a)
		}
		return a, err
	}
	change := func(save func(http.ResponseWriter, *http.Request, Account) error) http.Handler {
		return handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
			a, err := data(r)
			if err == nil {
				a.Counter++
				err = save(w, r, a)
			}
			return a.text(), err
		})
	}
	app := &App{Name: name}
	*app = App{
		Name: name,
		Login: handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
			a := NewAccount()
			a.Padding = strings.Repeat("x", app.Padding)
			return a.text(), l.login(w, r, Subject, a)
		}),
		Identity: handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
			subject, err := l.identity(r)
			if err == nil && subject != Subject {
				err = fmt.Errorf("app: the subject is %q", subject)
			}
			return identityText, err
		}),
		Data: handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
			a, err := data(r)
			return a.text(), err
		}),
		Save: change(l.save),
		Logout: handler(func(w http.ResponseWriter, r *http.Request) ([]byte, error) {
			return nil, l.logout(w, r)
		}),
	}
	if c, ok := l.(committer); ok {
		app.Commit = change(c.commit)
	}
	return app
}

// ServeHTTP serves the application's paths.
func (a *App) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := map[string]http.Handler{
		"/login": a.Login, "/identity": a.Identity, "/data": a.Data, "/save": a.Save, "/logout": a.Logout, "/commit": a.Commit,
	}[r.URL.Path]
	if h == nil {
		http.NotFound(w, r)
		return
	}
	h.ServeHTTP(w, r)
}

// Session logs in without a network and returns a request that carries the
// session's cookies.
func (a *App) Session() (*http.Request, error) {
	w := httptest.NewRecorder()
	a.Login.ServeHTTP(w, httptest.NewRequest(http.MethodPost, "https://example.com/login", nil))
	r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	if w.Code != http.StatusOK || r.Header.Get("Cookie") == "" && a.Name != None {
		return nil, fmt.Errorf("app: the login of %s: %d %s", a.Name, w.Code, w.Body)
	}
	return r, nil
}

// None is the name of the application without sessions.
const None = "no session"

// Plain returns the application without sessions. It answers every request with
// the same text.
func Plain() *App {
	h := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, Text())
	})
	return &App{Name: None, Login: h, Identity: h, Data: h, Save: h, Logout: h}
}
