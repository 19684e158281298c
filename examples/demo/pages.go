package main

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"time"

	"github.com/waferkit/wafer"
)

//go:embed templates static
var files embed.FS

// templates holds the templates by page. Each is the layout with the page's own
// blocks.
var templates = parseTemplates()

func parseTemplates() map[string]*template.Template {
	names, err := fs.Glob(files, "templates/*.html")
	if err != nil || len(names) == 0 {
		panic(fmt.Sprint("the templates are missing: ", err))
	}
	functions := template.FuncMap{"euro": euro, "clock": clock, "stamp": stamp}
	parsed := make(map[string]*template.Template)
	for _, name := range names {
		page := strings.TrimSuffix(path.Base(name), ".html")
		if page != "layout" {
			parsed[page] = template.Must(template.New("layout.html").Funcs(functions).ParseFS(files, "templates/layout.html", name))
		}
	}
	return parsed
}

func euro(cents int) string    { return fmt.Sprintf("€%d.%02d", cents/100, cents%100) }
func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
func clock(t time.Time) string { return t.UTC().Format("2 January, 15:04:05 UTC") }

// view is the data of every page.
type view struct {
	Page    string
	Subject string // "" if nobody is logged in, or if that cannot be decided
	Admin   bool
	Count   int    // of items in the cart
	Note    string // the last change
	Outage  bool
	Now     time.Time
	Data    any
}

// loginView is the data of the pages that ask for a password.
type loginView struct {
	Next, User string
	Problem    *problem // nil if there is none yet
}

// notes are the notes that a redirect may show. A link cannot make the shop
// show any other text.
var notes = map[string]string{
	"added":    "It is in your cart.",
	"cart":     "Your cart is up to date.",
	"coupon":   "Your coupon is noted with this order.",
	"others":   "Every other device is logged out.",
	"device":   "That device is logged out.",
	"password": "Your password is changed. Every other device is logged out, and this session has a new id.",
	"elevated": "Thank you. It is you.",
	"sent":     "The voucher is on its way. (Not really: this is a demo.)",
	"revoked":  "Revoked. It is in force on this node from now on.",
	"bye":      "You are logged out. Come back soon.",
}

// page renders a page in one piece, so that an error in the middle still gets a
// complete answer.
func (s *shop) page(w http.ResponseWriter, r *http.Request, status int, name string, data any) {
	v := view{Page: name, Note: notes[r.URL.Query().Get("note")], Now: s.now(), Data: data}
	session, err := s.sessions.Get(r.Context())
	if err == nil {
		v.Subject, v.Admin = session.Subject, session.Subject == administrator
		if basket, err := session.Data(); err == nil {
			v.Count = basket.count()
		}
	}
	v.Outage = errors.Is(err, wafer.ErrUnavailable)
	if status >= 400 {
		v.Note = ""
	}
	var b bytes.Buffer
	if err := templates[name].Execute(&b, v); err != nil {
		panic(err) // recovered answers with a 500
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// form shows a page with a form. JSON clients post to its path and have nothing
// to get there.
func (s *shop) form(name, path string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if wantsJSON(r) {
			w.Header().Set("Allow", http.MethodPost)
			s.fail(w, r, errNotAllowed)
			return
		}
		s.page(w, r, http.StatusOK, name, loginView{Next: nextOf(r.URL.Query().Get("next"))})
	}
}

// serveStatic serves an embedded file, and reports whether the file exists.
func serveStatic(w http.ResponseWriter, r *http.Request, name string) bool {
	b, err := files.ReadFile("static/" + name)
	if err != nil {
		return false
	}
	digest := sha256.Sum256(b)
	w.Header().Set("Content-Type", mime.TypeByExtension(path.Ext(name)))
	w.Header().Set("Cache-Control", "no-cache") // revalidate each time, by the ETag
	w.Header().Set("ETag", `"`+base64.RawURLEncoding.EncodeToString(digest[:12])+`"`)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(b))
	return true
}
