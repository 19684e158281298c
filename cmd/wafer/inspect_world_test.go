package main

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/seals"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

const (
	shopRealm    = "shop.example/test"
	shopIssuer   = "https://shop.example"
	shopAudience = "https://api.shop.example"
)

var shopInstance = codec.Instance{Realm: shopRealm, SessionCookie: "__Host-session"}

// cart is the session data of the shop.
type cart struct {
	Items []string `cbor:"1,keyasint"`
}

// shop is an application with a ring and a store in files, and the command line
// used on them.
type shop struct {
	t        *testing.T
	dir      string
	ringPath string
	dbPath   string
	ring     *keyring.Ring
	db       *sqlite.Store
	sessions *wafer.Sessions[cart]

	now     time.Time // the command line's clock; the system's if zero
	secrets []string  // must not appear in any output
}

// openShop makes a shop. past is how far the clock of its store is behind.
func openShop(t *testing.T, past time.Duration) *shop {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "data")
	s := &shop{t: t, dir: dir, ringPath: filepath.Join(dir, "ring"), dbPath: filepath.Join(dir, "wafer.db")}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	clock := func() time.Time { return time.Now().Add(-past) }
	var err error
	s.db, err = sqlite.Open(t.Context(), s.dbPath, sqlite.Options{Now: clock}) // makes the directory
	must(err)
	t.Cleanup(func() { s.db.Close() })
	keeper, err := keyring.CreateKeeper(s.ringPath + ".key")
	must(err)
	s.ring, err = keyring.Create(t.Context(), keyring.File(s.ringPath), keeper, clock(), keyring.Schedule{})
	must(err)
	s.sessions, err = wafer.New(t.Context(), s.ring, s.db, wafer.Config[cart]{
		Realm: shopRealm, Observe: func(wafer.Event) {}, Now: clock,
		Tokens: &wafer.TokenConfig[cart]{Issuer: shopIssuer, Audience: shopAudience},
	})
	must(err)
	t.Cleanup(s.sessions.Close)
	return s
}

// browser holds a browser's cookies of the shop.
type browser struct{ session, refresh string }

func (b browser) header() string {
	return "theme=dark; __Host-session=" + b.session + "; __Host-refresh=" + b.refresh
}

// request makes the shop answer a request of a browser, and updates its
// cookies.
func (s *shop) request(b *browser, act func(w http.ResponseWriter, r *http.Request) error) {
	s.t.Helper()
	r := httptest.NewRequest(http.MethodPost, "https://shop.example/", nil)
	if b.session != "" {
		r.Header.Set("Cookie", b.header())
	}
	w := httptest.NewRecorder()
	s.sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := act(w, r); err != nil {
			s.t.Errorf("the shop: %v", err)
		}
	})).ServeHTTP(w, r)
	for _, c := range w.Result().Cookies() {
		switch c.Name {
		case "__Host-session":
			b.session = c.Value
		case "__Host-refresh":
			b.refresh = c.Value
		}
	}
	s.secret(b.session, b.refresh)
}

func (s *shop) login(subject string, options ...wafer.StartOption) *browser {
	s.t.Helper()
	b := new(browser)
	options = append(options, wafer.Label("Anna's laptop"))
	s.request(b, func(w http.ResponseWriter, r *http.Request) error {
		return s.sessions.Start(w, r, subject, cart{[]string{"a very private pear"}}, options...)
	})
	return b
}

// id returns the id of a browser's session.
func (s *shop) id(b *browser) store.ID { return store.ID(s.open(b).ID) }

// family returns the row of a browser's session.
func (s *shop) family(b *browser) store.Family {
	s.t.Helper()
	snap, err := s.db.Family(s.t.Context(), s.id(b))
	if err != nil {
		s.t.Fatal(err)
	}
	return snap.Family
}

// bind binds a browser's session to a key, as the shop does after a proof by it.
func (s *shop) bind(b *browser, key store.Key, counts bool) {
	s.t.Helper()
	rows, err := seals.New(s.ring, shopInstance)
	if err != nil {
		s.t.Fatal(err)
	}
	f := s.family(b)
	binding := store.Binding{ID: f.ID, Key: key, Verified: f.Seal, Counts: counts}
	f.Key = key
	if binding.Seal, err = rows.Seal(time.Now(), &f); err != nil {
		s.t.Fatal(err)
	}
	if snap, err := s.db.Bind(s.t.Context(), binding); err != nil || snap.Outcome != store.Written {
		s.t.Fatal(snap.Outcome, err)
	}
}

// secret registers a credential and its parts.
func (s *shop) secret(texts ...string) {
	for _, text := range texts {
		s.secrets = append(s.secrets, text)
		for part := range strings.FieldsFuncSeq(strings.TrimPrefix(text, codec.RefreshPrefix), func(r rune) bool { return r == '.' }) {
			if len(part) > 24 {
				s.secrets = append(s.secrets, part, part[:24], part[len(part)-24:])
			}
		}
	}
}

// open returns the header of a browser's session cookie.
func (s *shop) open(b *browser) codec.Session {
	s.t.Helper()
	cookies, err := codec.NewCookies(s.ring, shopRealm, "__Host-session")
	if err != nil {
		s.t.Fatal(err)
	}
	session, _, err := cookies.Open(s.t.Context(), time.Now(), b.session)
	if err != nil {
		s.t.Fatal(err)
	}
	return session
}

// seal returns a cookie that contains session.
func (s *shop) seal(session codec.Session) string {
	s.t.Helper()
	cookies, err := codec.NewCookies(s.ring, shopRealm, "__Host-session")
	if err != nil {
		s.t.Fatal(err)
	}
	text, err := cookies.Seal(time.Now(), &session, []byte{0xf6})
	if err != nil {
		s.t.Fatal(err)
	}
	s.secret(text)
	return text
}

// result is the result of a command.
type result struct {
	code     int
	out, err string
}

// run runs a command and checks that it shows no secret.
func (s *shop) run(ctx context.Context, stdin string, args ...string) result {
	s.t.Helper()
	var out, err bytes.Buffer
	now := time.Now
	if !s.now.IsZero() {
		now = func() time.Time { return s.now }
	}
	e := &env{stdin: strings.NewReader(stdin), stdout: &out, stderr: &err, getenv: func(string) string { return "" }, now: now}
	r := result{run(ctx, e, args), out.String(), err.String()}
	s.quiet(r)
	return r
}

func (s *shop) quiet(r result) {
	s.t.Helper()
	for _, secret := range s.secrets {
		if secret != "" && strings.Contains(r.out+r.err, secret) {
			s.t.Errorf("the output shows %q:\n%s%s", secret, r.out, r.err)
		}
	}
}

// command runs a command, which must end with the exit code want.
func (s *shop) command(want int, stdin string, args ...string) result {
	s.t.Helper()
	r := s.run(s.t.Context(), stdin, args...)
	if r.code != want {
		s.t.Errorf("wafer %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), r.code, want, r.out, r.err)
	}
	return r
}

func (s *shop) store() []string { return []string{"--store", "sqlite:" + s.dbPath} }

// parse decodes JSON output.
func parse[V any](t *testing.T, r result) (v V) {
	t.Helper()
	if err := json.Unmarshal([]byte(r.out), &v); err != nil {
		t.Fatalf("%v in %q, %q", err, r.out, r.err)
	}
	return v
}

func contains(t *testing.T, text string, wants ...string) {
	t.Helper()
	for _, want := range wants {
		if !strings.Contains(text, want) {
			t.Errorf("it lacks %q:\n%s", want, text)
		}
	}
}

// flip changes one bit of the bytes that a text encodes.
func flip(t *testing.T, text string, at int) string {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	return base64.RawURLEncoding.EncodeToString(b)
}

func with(args []string, more ...string) []string {
	return append(append([]string{}, args...), more...)
}

// Every command in these files has help with an example, and JSON output.
func TestHelp(t *testing.T) {
	s := &shop{t: t}
	for _, name := range []string{"sessions list", "revoke", "revocations", "inspect", "doctor", "restored", "realm set", "keys adopt"} {
		r := s.command(exitDone, "", append(strings.Fields(name), "-h")...)
		contains(t, r.err, "wafer "+name, "example:", "-json", "-store")
		r = s.command(exitUsage, "", append(strings.Fields(name), "--no-such-flag")...)
		contains(t, r.err, "no-such-flag")
		contains(t, s.command(exitDone, "", "-h").out, name)
	}
}

// execute changes the database behind the store's back.
func (s *shop) execute(statement string, args ...any) {
	s.t.Helper()
	db, err := sql.Open("sqlite", "file:"+s.dbPath+"?_pragma=busy_timeout(60000)")
	if err == nil {
		_, err = db.Exec(statement, args...)
		db.Close()
	}
	if err != nil {
		s.t.Fatal(err)
	}
}
