package codec_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"testing"
	"time"

	"github.com/gorilla/securecookie"
	"github.com/gorilla/sessions"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// securecookieCodecs are the two codecs that gorilla/sessions can use.
var securecookieCodecs = map[string]func(testing.TB, *keyring.Ring) securecookie.Codec{
	"Values": func(t testing.TB, ring *keyring.Ring) securecookie.Codec {
		return newValues(t, ring, codec.ValuesConfig{Realm: realm, Lifetime: time.Hour})
	},
	"Gorilla": func(t testing.TB, ring *keyring.Ring) securecookie.Codec { return newGorilla(t, ring, realm) },
}

// shop is an application that uses gorilla/sessions: PUT stores a word, GET returns
// it.
func shop(c securecookie.Codec) http.Handler {
	store := &sessions.CookieStore{Codecs: []securecookie.Codec{c}, Options: &sessions.Options{Path: "/", MaxAge: 3600, HttpOnly: true}}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, err := store.Get(r, r.FormValue("cookie"))
		if r.Method == http.MethodPut {
			s.Values["word"] = r.FormValue("word")
			if err := s.Save(r, w); err != nil {
				http.Error(w, err.Error(), http.StatusInternalServerError)
			}
			return
		}
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		word, _ := s.Values["word"].(string)
		io.WriteString(w, word)
	})
}

type browser struct {
	t      *testing.T
	client *http.Client
	url    string
}

func (b *browser) do(method, cookie, word string) (int, string) {
	b.t.Helper()
	r, err := http.NewRequest(method, b.url+"/?"+url.Values{"cookie": {cookie}, "word": {word}}.Encode(), nil)
	fatal(b.t, err)
	response, err := b.client.Do(r)
	fatal(b.t, err)
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	fatal(b.t, err)
	return response.StatusCode, string(body)
}

func (b *browser) want(cookie string, status int, body string) {
	b.t.Helper()
	if gotStatus, gotBody := b.do(http.MethodGet, cookie, ""); gotStatus != status || gotBody != body {
		b.t.Errorf("GET with cookie %s: %d %q: want %d %q", cookie, gotStatus, gotBody, status, body)
	}
}

func TestGorillaSessionsOverHTTP(t *testing.T) {
	for what, build := range securecookieCodecs {
		t.Run(what, func(t *testing.T) {
			var app http.Handler
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { app.ServeHTTP(w, r) }))
			defer server.Close()
			jar, _ := cookiejar.New(nil)
			b := &browser{t, &http.Client{Jar: jar}, server.URL}
			at, _ := url.Parse(server.URL)

			app = shop(build(t, staticRing(t, secret(1))))
			b.want("basket", http.StatusOK, "")
			b.do(http.MethodPut, "basket", "pear")
			b.want("basket", http.StatusOK, "pear")

			// A new secret in front: the old cookie is read, the next is sealed anew.
			app = shop(build(t, staticRing(t, secret(2), secret(1))))
			b.want("basket", http.StatusOK, "pear")
			b.do(http.MethodPut, "basket", "plum")
			app = shop(build(t, staticRing(t, secret(2))))
			b.want("basket", http.StatusOK, "plum")

			// The same text under the name of another cookie is refused.
			jar.SetCookies(at, []*http.Cookie{{Name: "wishes", Value: jar.Cookies(at)[0].Value, Path: "/"}})
			b.want("wishes", http.StatusBadRequest, "")
			b.want("basket", http.StatusOK, "plum")

			// So is one whose key is gone; saving then starts afresh.
			app = shop(build(t, staticRing(t, secret(3))))
			b.want("basket", http.StatusBadRequest, "")
			b.do(http.MethodPut, "basket", "quince")
			b.want("basket", http.StatusOK, "quince")
		})
	}
}
