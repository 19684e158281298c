package wafer

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// fuzzPair is a cookie that was really sealed. subject is the subject of its
// session, or "" if it must bring none, however authentic it is elsewhere.
type fuzzPair struct{ name, value, subject string }

// fuzzPool is the application that the fuzzer sends headers to. In its inputs,
// {alice} stands for the value of that name. Sealing is random, so the values
// themselves cannot be seeds: each process of the fuzzer has its own.
type fuzzPool struct {
	app       http.Handler
	pairs     map[string]fuzzPair
	expand    *strings.Replacer
	anonymous string
}

const fuzzRealm = "shop.example/fuzz"

func newFuzzPool(t testing.TB) *fuzzPool {
	t.Helper()
	fatal := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	var moved atomic.Int64
	clock := func() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(moved.Load())) }
	move := func() { moved.Add(int64(6 * time.Minute)) }
	ring, err := keyring.Static(strings.Repeat("07", keyring.SecretSize))
	fatal(err)
	open := func(realm string) *Sessions[string] { // each realm on a store of its own
		db := memory.New(memory.Options{Now: clock})
		s, err := New(t.Context(), ring, db, Config[string]{Realm: realm, Now: clock, Observe: func(Event) {}})
		fatal(err)
		t.Cleanup(s.Close)
		return s
	}
	s, elsewhere := open(fuzzRealm), open(fuzzRealm+"2")
	pool := &fuzzPool{pairs: map[string]fuzzPair{}}
	pool.app = s.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := s.Get(r.Context())
		if err == nil {
			_, err = session.Data()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		fmt.Fprint(w, "session of ", session.Subject)
	}))
	// send sends a subject's cookies and returns those it then has.
	send := func(s *Sessions[string], header string, act func(http.ResponseWriter, *http.Request)) (session, token string) {
		r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
		r.Header.Set("Cookie", header)
		s.Handler(http.HandlerFunc(act)).ServeHTTP(w, r)
		for _, c := range w.Result().Cookies() {
			if c.Name == s.config.SessionCookie {
				session = c.Value
			} else {
				token = c.Value
			}
		}
		return session, token
	}
	login := func(s *Sessions[string], subject string) (session, token string) {
		return send(s, "", func(w http.ResponseWriter, r *http.Request) {
			fatal(errors.Join(s.Start(w, r, subject, "data"), s.Commit(w, r, "data")))
		})
	}
	refresh := func(session, token string) (string, string) {
		return send(s, s.config.SessionCookie+"="+session+"; "+s.config.RefreshCookie+"="+token, func(http.ResponseWriter, *http.Request) {})
	}
	add := func(key, name, value, subject string) {
		if value == "" {
			t.Fatalf("the pool's %s is empty", key)
		}
		pool.pairs[key] = fuzzPair{name, value, subject}
	}
	sessionName, tokenName := s.config.SessionCookie, s.config.RefreshCookie

	// dave's first token is two generations old. Presenting it ends his family,
	// so no newer token of his is in the pool.
	session, token := login(s, "dave")
	add("dave", sessionName, session, "")
	add("dave-token", tokenName, token, "")
	for range 2 {
		move()
		session, token = refresh(session, token)
	}
	// bob is due for a refresh.
	session, token = login(s, "bob")
	add("bob", sessionName, session, "")
	add("bob-token", tokenName, token, "bob")
	move()
	// carol is revoked.
	session, token = login(s, "carol")
	add("carol", sessionName, session, "")
	add("carol-token", tokenName, token, "")
	_, err = s.Revoke(t.Context(), Revocation{Subjects: []string{"carol"}})
	fatal(err)
	// alice is well.
	session, token = login(s, "alice")
	add("alice", sessionName, session, "alice")
	add("alice-token", tokenName, token, "alice")
	// erin is in another realm. Alice's session is also sealed where it must
	// not be accepted.
	session, token = login(elsewhere, "erin")
	add("erin", sessionName, session, "")
	add("erin-token", tokenName, token, "")
	header, data, err := s.cookies.Open(t.Context(), clock(), pool.pairs["alice"].value)
	fatal(err)
	other, err := codec.NewCookies(ring, fuzzRealm, "__Host-other")
	fatal(err)
	value, err := other.Seal(clock(), &header, data)
	fatal(err)
	add("other-name", sessionName, value, "")
	values, err := codec.NewValues(ring, codec.ValuesConfig{Realm: fuzzRealm, Lifetime: time.Hour, Now: clock})
	fatal(err)
	value, err = values.Seal(sessionName, data)
	fatal(err)
	add("value", sessionName, value, "")

	var oldnew []string
	for key, p := range pool.pairs {
		oldnew = append(oldnew, "{"+key+"}", p.value)
	}
	pool.expand = strings.NewReplacer(oldnew...)
	var status int
	if status, pool.anonymous = pool.response(nil); status != http.StatusUnauthorized {
		t.Fatalf("no cookies: %d", status)
	}
	return pool
}

// response returns the answer to a request with these Cookie lines.
func (p *fuzzPool) response(lines []string) (status int, response string) {
	r, w := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	if lines != nil {
		r.Header["Cookie"] = lines
	}
	p.app.ServeHTTP(w, r)
	return w.Code, fmt.Sprint(w.Header(), w.Body)
}

// lines makes the Cookie lines of an input: filled in, with one byte changed.
func (p *fuzzPool) lines(input string, at uint16, xor byte) []string {
	b := []byte(p.expand.Replace(input))
	if len(b) > 0 {
		b[int(at)%len(b)] ^= xor
	}
	return strings.Split(string(b), "\n")
}

// brings returns the subjects whose sessions the lines may bring at all: those
// with a pair exactly as it was sealed. It shares nothing with the code under
// test and decodes nothing.
func (p *fuzzPool) brings(lines []string) (subjects []string) {
	for _, line := range lines {
		for pair := range strings.SplitSeq(line, ";") {
			for _, sealed := range p.pairs {
				if strings.Trim(pair, " \t\r\n") == sealed.name+"="+sealed.value && sealed.subject != "" {
					subjects = append(subjects, sealed.subject)
				}
			}
		}
	}
	return subjects
}

// fuzzHeaders are the seeds, each with the subject whose session it brings.
var fuzzHeaders = []struct{ input, subject string }{
	{"", ""},
	{"a=b", ""},
	{"__Host-session={alice}", "alice"},
	{"__Host-session={alice}; __Host-refresh={alice-token}", "alice"},
	{"__Host-refresh={alice-token}", "alice"},
	{"theme=dark;__Host-session=x; __Host-session={alice} ; a=\"b", "alice"},
	{"a=b\n__Host-session={alice}\nc=d", "alice"},
	{"__Host-session={bob}; __Host-refresh={bob-token}", "bob"},
	{"__Host-refresh={bob-token}", "bob"},
	{"__Host-session={bob}", ""},
	{"__Host-session={carol}; __Host-refresh={carol-token}", ""},
	{"__Host-session={carol}; __Host-refresh={bob-token}", "bob"},
	{"__Host-session={dave}; __Host-refresh={dave-token}", ""},
	{"__Host-session={erin}; __Host-refresh={erin-token}", ""},
	{"__Host-session={alice}; __Host-refresh={bob-token}", ""},
	{"__Host-session={bob}; __Host-refresh={alice-token}", ""},
	{"__Host-session={alice}; __Host-refresh={erin-token}", "alice"},
	{"__Host-session={other-name}", ""},
	{"__Host-session={value}", ""},
	{"__Host-session={alice-token}; __Host-refresh={alice}", ""},
	{"__Host-session=\"{alice}\"", ""},
	{"__Host-session={alice}=; __Host-session={alice}A", ""},
	{"__Host-session={alice}\x00", ""},
	{"__Host-session ={alice}", ""},
	{"__Host-session={alice}{bob}; __Host-refresh=wfr1_AAAA", ""},
	{strings.Repeat("__Host-session=x;", 5) + "__Host-session={alice}", ""},
	{strings.Repeat("a=b;", 3000) + "__Host-session={alice}", "alice"},
}

// No input that we did not seal is ever accepted, and every refusal looks the
// same.
func FuzzCookieHeader(f *testing.F) {
	pool := newFuzzPool(f)
	for i, seed := range fuzzHeaders {
		f.Add(seed.input, uint16(0), byte(0))
		f.Add(seed.input, uint16(7*i+20), byte(1<<(i%8)))
	}
	f.Fuzz(func(t *testing.T, input string, at uint16, xor byte) {
		lines := pool.lines(input, at, xor)
		status, response := pool.response(lines)
		switch status {
		case http.StatusOK:
			if !slices.ContainsFunc(pool.brings(lines), func(subject string) bool { return strings.HasSuffix(response, "session of "+subject) }) {
				t.Errorf("%q brings the sessions of %q, and was answered %q", lines, pool.brings(lines), response)
			}
		case http.StatusUnauthorized:
			if response != pool.anonymous {
				t.Errorf("%q was answered %q, no cookies %q", lines, response, pool.anonymous)
			}
		default:
			t.Errorf("%q was answered %d", lines, status)
		}
	})
}

// The seeds reach both answers, so that neither half of the fuzz test is empty,
// and none is missing.
func TestFuzzSeeds(t *testing.T) {
	pool := newFuzzPool(t)
	reached := map[string]int{}
	for _, seed := range fuzzHeaders {
		status, response := pool.response(pool.lines(seed.input, 0, 0))
		if seed.subject == "" && status != http.StatusUnauthorized || seed.subject != "" && !strings.HasSuffix(response, "session of "+seed.subject) {
			t.Errorf("%.100q: %d %q, want the session of %q", seed.input, status, response, seed.subject)
		}
		reached[seed.subject]++
	}
	if reached[""] < 10 || reached["alice"] < 5 || reached["bob"] < 2 {
		t.Errorf("the seeds of FuzzCookieHeader are gone: %v", reached)
	}
	for key := range pool.pairs {
		if !slices.ContainsFunc(fuzzHeaders, func(seed struct{ input, subject string }) bool { return strings.Contains(seed.input, "{"+key+"}") }) {
			t.Errorf("no seed uses {%s}", key)
		}
	}
	quoted, found := 0, 0
	for _, seed := range fuzzFinds {
		theirs, _ := fuzzNetHTTP(strings.Split(seed, "\n"), "__Host-session")
		found += len(theirs)
		quoted += strings.Count(seed, `"`)
	}
	if found < 20 || quoted < 4 {
		t.Errorf("the seeds of FuzzFind are gone: %d cookies, %d quotes", found, quoted)
	}
}

var fuzzFinds = []string{
	"",
	"__Host-session=a",
	"__Host-session=a; __Host-refresh=b",
	"__Host-session=a;__Host-session=b ;\t__Host-session=c; __Host-session=d",
	"__Host-session=a; __Host-session=b; __Host-session=c; __Host-session=d; __Host-session=e",
	"x=y\n__Host-session=a\n\n__Host-session=b; z",
	`__Host-session="a"; __Host-session="b; __Host-session=c"`,
	"__Host-session=; __Host-session; =__Host-session; __Host-session==; __Host-session=a=b",
	"__Host-session = a; __Host-session= a b ",
	"__Host-session=\x00; __Host-session=\xff; __host-session=a; __Host-session2=a; __Host-session=ok",
	"\r\n__Host-session=a\r; \t\n__Host-session=b",
	`__Host-session=a\b; __Host-session=a,b; $Path="/"; __Host-session=c`,
}

// fuzzNetHTTP returns the values that net/http reads under a name, without
// quoted ones. blank is true if a name may be followed by blanks, which
// net/http skips and wafer does not.
func fuzzNetHTTP(lines []string, name string) (values []string, blank bool) {
	r := http.Request{Header: http.Header{"Cookie": lines}}
	for _, c := range r.CookiesNamed(name) {
		if !c.Quoted {
			values = append(values, c.Value)
		}
	}
	for _, line := range lines {
		blank = blank || strings.Contains(line, " =") || strings.Contains(line, "\t=") || strings.Contains(line, "\r=")
	}
	return values, blank
}

// The scan of the header finds what net/http's own parser finds, as far as both
// read a pair: no value that is quoted or has a byte that no cookie may
// contain.
func FuzzFind(f *testing.F) {
	for _, seed := range fuzzFinds {
		f.Add(seed)
	}
	s := &Sessions[int]{config: Config[int]{SessionCookie: "__Host-session", RefreshCookie: "__Host-refresh"}}
	plain := func(value string) bool {
		return !strings.ContainsFunc(value, func(r rune) bool { return r < 0x20 || r > 0x7e || r == '"' || r == '\\' })
	}
	f.Fuzz(func(t *testing.T, input string) {
		lines := strings.Split(input, "\n")
		if strings.Count(input, ";")+len(lines) > 1000 {
			t.Skip("net/http reads no header of so many cookies")
		}
		var cookies gate.Cookies
		s.find(http.Header{"Cookie": lines}, &cookies)
		for name, found := range map[string][]string{"__Host-session": cookies.Session.All(), "__Host-refresh": cookies.Refresh.All()} {
			if len(found) > gate.MaxDuplicates {
				t.Fatalf("%d values", len(found))
			}
			ours := slices.DeleteFunc(slices.Clone(found), func(value string) bool { return !plain(value) })
			theirs, blank := fuzzNetHTTP(lines, name)
			switch {
			case blank:
				for _, value := range ours {
					if !slices.Contains(theirs, value) {
						t.Errorf("%q: found %q, which net/http does not", lines, value)
					}
				}
			case len(ours) > len(theirs) || !slices.Equal(ours, theirs[:len(ours)]):
				t.Errorf("%q: found %q, net/http finds %q", lines, ours, theirs)
			case len(found) < gate.MaxDuplicates && len(ours) != len(theirs):
				t.Errorf("%q: found only %q, net/http finds %q", lines, ours, theirs)
			}
		}
	})
}
