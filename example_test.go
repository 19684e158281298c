package wafer_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

type shopper struct {
	Cart   map[string]int
	Coupon string
}

// newShop returns the sessions that the examples share, over a ring and a
// store.
func newShop() *wafer.Sessions[shopper] {
	// In production: os.Getenv("WAFER_SECRET"), made by openssl rand -base64 32.
	ring, err := keyring.Static(strings.Repeat("00ff", keyring.SecretSize/2))
	if err != nil {
		log.Fatal(err)
	}
	sessions, err := wafer.New(context.Background(), ring, memory.New(memory.Options{}), wafer.Config[shopper]{
		Realm: "shop.example/production",
		// Without Observe, events go to log/slog.
		Observe: func(wafer.Event) {},
	})
	if err != nil {
		log.Fatal(err)
	}
	return sessions
}

// send sends a request with a browser's cookies, prints the answer, and stores
// the cookies that it sets.
func send(app http.Handler, browser map[string]string, path string) {
	r := httptest.NewRequest(http.MethodPost, "https://shop.example"+path, nil)
	for name, value := range browser {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	w := httptest.NewRecorder()
	app.ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		browser[c.Name] = c.Value
	}
	fmt.Println(path, w.Code, strings.TrimSpace(w.Body.String()))
}

// A login, and a page for those who are logged in.
func Example() {
	sessions := newShop()
	defer sessions.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		// Check the credentials here; then:
		if err := sessions.Start(w, r, "alice", shopper{Cart: map[string]int{"pears": 3}}); err != nil {
			sessions.Error(w, r, err)
			return
		}
		fmt.Fprintln(w, "welcome")
	})
	mux.Handle("POST /cart", sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		data, err := s.Data()
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		fmt.Fprintln(w, s.Subject, "has", data.Cart)
	})))
	app := sessions.Handler(mux)

	browser := map[string]string{}
	send(app, browser, "/cart")
	send(app, browser, "/login")
	send(app, browser, "/cart")
	// Output:
	// /cart 401 Unauthorized
	// /login 200 welcome
	// /cart 200 alice has map[pears:3]
}

// A coupon works once. A change that must not be rolled back is committed.
func ExampleSessions_Commit() {
	sessions := newShop()
	defer sessions.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Start(w, r, "alice", shopper{}); err != nil {
			sessions.Error(w, r, err)
			return
		}
		fmt.Fprintln(w, "welcome")
	})
	mux.HandleFunc("POST /coupon", func(w http.ResponseWriter, r *http.Request) {
		s, err := sessions.Get(r.Context())
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		data, err := s.Data()
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		if data.Coupon != "" {
			fmt.Fprintln(w, "already used:", data.Coupon)
			return
		}
		data.Coupon = "TEN-OFF"
		if err := sessions.Commit(w, r, data); err != nil {
			sessions.Error(w, r, err) // 409 if another tab was faster
			return
		}
		fmt.Fprintln(w, "ten off")
	})
	app := sessions.Handler(mux)

	browser := map[string]string{}
	send(app, browser, "/login")
	copied := map[string]string{}
	for name, value := range browser {
		copied[name] = value
	}
	send(app, browser, "/coupon")
	send(app, copied, "/coupon") // the old cookies are put back
	// Output:
	// /login 200 welcome
	// /coupon 200 ten off
	// /coupon 200 already used: TEN-OFF
}

// An administrator ends every session of a subject.
func ExampleSessions_Revoke() {
	sessions := newShop()
	defer sessions.Close()

	mux := http.NewServeMux()
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.Start(w, r, "alice", shopper{}); err != nil {
			sessions.Error(w, r, err)
			return
		}
		fmt.Fprintln(w, "welcome")
	})
	mux.Handle("POST /me", sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		fmt.Fprintln(w, "hello")
	})))
	app := sessions.Handler(mux)

	browser := map[string]string{}
	send(app, browser, "/login")
	send(app, browser, "/me")
	_, err := sessions.Revoke(context.Background(), wafer.Revocation{
		Subjects: []string{"alice"}, Reason: "account disabled", Actor: "admin",
	})
	fmt.Println("revoked:", err == nil)
	send(app, browser, "/me")
	// Output:
	// /login 200 welcome
	// /me 200 hello
	// revoked: true
	// /me 401 Unauthorized
}

// The position is noted before the password is checked, so that a login with
// the old password cannot slip past a password change.
func ExampleNotBefore() {
	sessions := newShop()
	defer sessions.Close()

	app := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at, err := sessions.Position(r.Context())
		if err != nil {
			sessions.Error(w, r, err)
			return
		}
		// The password is checked here, against the old one. Meanwhile another
		// request changes it, and the old sessions end:
		if _, err := sessions.Revoke(r.Context(), wafer.Revocation{Subjects: []string{"alice"}, Reason: "password changed"}); err != nil {
			sessions.Error(w, r, err)
			return
		}
		err = sessions.Start(w, r, "alice", shopper{}, wafer.NotBefore(at))
		if errors.Is(err, wafer.ErrNotBefore) {
			fmt.Fprintln(w, "please try again")
			return
		}
		sessions.Error(w, r, err)
	})
	send(app, map[string]string{}, "/login")
	// Output:
	// /login 200 please try again
}
