package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
)

// httpLines returns the Set-Cookie lines by cookie name. It fails if a name
// appears twice.
func httpLines(t testing.TB, h http.Header) map[string]string {
	t.Helper()
	lines := map[string]string{}
	for _, line := range h["Set-Cookie"] {
		name, _, _ := strings.Cut(line, "=")
		if _, twice := lines[name]; twice {
			t.Errorf("two Set-Cookie lines for %s", name)
		}
		lines[name] = line
	}
	return lines
}

// httpAttributes returns the attributes after the cookie's value.
func httpAttributes(line string) string {
	_, attributes, _ := strings.Cut(line, "; ")
	return attributes
}

func TestCookieAttributes(t *testing.T) {
	for name, c := range map[string]struct {
		config           wafer.Config[string]
		session, refresh string
		attributes       string
	}{
		"default": {wafer.Config[string]{}, httpSession, httpRefresh, "HttpOnly; Secure; SameSite=Lax"},
		"own names": {wafer.Config[string]{SessionCookie: "__Host-a", RefreshCookie: "__Host-b"},
			"__Host-a", "__Host-b", "HttpOnly; Secure; SameSite=Lax"},
		"SameSiteStrict":       {wafer.Config[string]{SameSiteStrict: true}, httpSession, httpRefresh, "HttpOnly; Secure; SameSite=Strict"},
		"InsecureSameSiteNone": {wafer.Config[string]{InsecureSameSiteNone: true}, httpSession, httpRefresh, "HttpOnly; Secure; SameSite=None"},
		"InsecureHTTP":         {wafer.Config[string]{InsecureHTTP: true}, "session", "refresh", "HttpOnly; SameSite=Lax"},
		"InsecureHTTP and SameSiteStrict": {wafer.Config[string]{InsecureHTTP: true, SameSiteStrict: true},
			"session", "refresh", "HttpOnly; SameSite=Strict"},
	} {
		t.Run(name, func(t *testing.T) {
			s := httpSessions(t, httpNewWorld(t), c.config)
			jar := httpJar{}
			w := jar.in(s, func(w http.ResponseWriter, r *http.Request) {
				if err := s.Start(w, r, "alice", "data"); err != nil {
					t.Fatal(err)
				}
			})
			check := func(what string, lines map[string]string, maxAge int) {
				t.Helper()
				if len(lines) != 2 {
					t.Fatalf("%s: cookies %v", what, lines)
				}
				for _, name := range []string{c.session, c.refresh} {
					// The whole line is compared: no Domain, no Expires.
					if got, want := httpAttributes(lines[name]), fmt.Sprintf("Path=/; Max-Age=%d; %s", maxAge, c.attributes); got != want {
						t.Errorf("%s: %s has %q, want %q", what, name, got, want)
					}
				}
			}
			check("Start", httpLines(t, w.Header()), 1800)
			httpWant(t, "these cookies", s, jar, "alice", "data")
			w = jar.in(s, func(w http.ResponseWriter, r *http.Request) {
				if err := s.End(w, r); err != nil {
					t.Fatal(err)
				}
			})
			lines := httpLines(t, w.Header())
			check("End", lines, 0)
			for name, line := range lines {
				if !strings.HasPrefix(line, name+"=;") {
					t.Errorf("End keeps a value: %q", line)
				}
			}
		})
	}
}

// Max-Age is the time to the earlier of the idle and the absolute deadline, in
// whole seconds rounded up. Save uses the node's clock, which may be ahead of
// the engine's by the skew, so its Max-Age may be longer by as much.
func TestCookieMaxAge(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{MaxIdle: 24 * time.Hour, MaxAbsolute: 48 * time.Hour})
	jar := httpJar{}
	var act func(w http.ResponseWriter, r *http.Request) error
	maxAges := func(what string, session, refresh int) {
		t.Helper()
		w := jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if act != nil {
				if err := act(w, r); err != nil {
					t.Errorf("%s: %v", what, err)
				}
			}
		})
		lines := httpLines(t, w.Header())
		for name, want := range map[string]int{httpSession: session, httpRefresh: refresh} {
			if want == 0 {
				if lines[name] != "" {
					t.Errorf("%s: wrote %s", what, name)
				}
				continue
			}
			if attribute := fmt.Sprintf("Max-Age=%d;", want); !strings.Contains(lines[name], attribute) {
				t.Errorf("%s: %s has %q, want %s", what, name, httpAttributes(lines[name]), attribute)
			}
		}
	}
	start := func(idle, absolute time.Duration) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error {
			return s.Start(w, r, "alice", "", wafer.Limits(idle, absolute))
		}
	}
	save := func(w http.ResponseWriter, r *http.Request) error { return s.Save(w, r, "new") }

	act = start(2*time.Hour, time.Hour)
	maxAges("absolute before idle", 3600, 3600)
	act = start(24*time.Hour, 48*time.Hour)
	maxAges("remember me", 24*3600, 24*3600)
	act = start(0, 0)
	maxAges("the default", 1800, 1800)
	world.clock.Move(3*time.Minute + 500*time.Millisecond)
	act = save
	maxAges("Save, three minutes and a half second later: rounded up, and the skew more", 1800-180+5, 0)
	act = func(w http.ResponseWriter, r *http.Request) error { return s.Commit(w, r, "new") }
	maxAges("Commit: the session cookie alone", 1800-180, 0)
	act = func(w http.ResponseWriter, r *http.Request) error { return s.EndOthers(w, r) }
	maxAges("EndOthers: the session cookie alone", 1800-180, 0)
	world.clock.Move(4*time.Minute - 500*time.Millisecond)
	act = nil
	maxAges("a refresh: both, from the new idle deadline", 1800, 1800)
	for range 27 {
		world.clock.Move(25 * time.Minute)
		maxAges("kept alive", 1800, 1800)
	}
	world.clock.Move(28 * time.Minute)
	maxAges("ten minutes before the absolute limit", 600, 600)
	act = func(w http.ResponseWriter, r *http.Request) error { return s.Renew(w, r) }
	maxAges("Renew: the absolute limit stays", 600, 600)
	act = func(w http.ResponseWriter, r *http.Request) error { return s.Reauthenticate(w, r) }
	maxAges("Reauthenticate: it begins anew", 1800, 1800)
}

// However often a request writes, there is one line for each name: the last one
// written.
func TestCookieWritingTwiceReplaces(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "carol", "")
	world.clock.Move(6 * time.Minute) // so that Handler itself writes first
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		before := httpLines(t, w.Header())
		if len(before) != 2 {
			t.Fatalf("the refresh wrote %d cookies", len(before))
		}
		for _, step := range []struct {
			name string
			call func() error
			both bool
		}{
			{"Save", func() error { return s.Save(w, r, "0") }, false},
			{"Start", func() error { return s.Start(w, r, "alice", "1") }, true},
			{"Save", func() error { return s.Save(w, r, "2") }, false},
			{"Commit", func() error { return s.Commit(w, r, "3") }, false},
			{"Renew", func() error { return s.Renew(w, r) }, true},
			{"Reauthenticate", func() error { return s.Reauthenticate(w, r) }, true},
			{"EndOthers", func() error { return s.EndOthers(w, r) }, false},
			{"Start", func() error { return s.Start(w, r, "bob", "4") }, true},
			{"End", func() error { return s.End(w, r) }, true},
			{"Start", func() error { return s.Start(w, r, "dora", "5") }, true},
		} {
			if err := step.call(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			after := httpLines(t, w.Header())
			if len(after) != 2 || after[httpSession] == before[httpSession] || (after[httpRefresh] != before[httpRefresh]) != step.both {
				t.Errorf("%s: %d lines, session cookie new %v, refresh token new %v, want 2, true, %v", step.name, len(after),
					after[httpSession] != before[httpSession], after[httpRefresh] != before[httpRefresh], step.both)
			}
			before = after
		}
	})
	httpWant(t, "the last one counts", s, jar, "dora", "5")

	w := jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		err := errors.Join(s.Start(w, r, "alice", "1"), s.Save(w, r, "2"), s.Commit(w, r, "3"), s.End(w, r))
		if err != nil {
			t.Fatal(err)
		}
	})
	for name, line := range httpLines(t, w.Header()) {
		if !strings.HasPrefix(line, name+"=; ") || !strings.Contains(line, "Max-Age=0") {
			t.Errorf("Start, Save, Commit and End leave %q", httpAttributes(line))
		}
	}
}

// A token that the browser already has is not written again: a late answer
// would put it back over a newer one.
func TestCookieOfTheSameGenerationIsNotWrittenAgain(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpJar{}
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := errors.Join(s.Start(w, r, "alice", ""), s.Commit(w, r, "data")); err != nil {
			t.Fatal(err)
		}
	})
	read := func(http.ResponseWriter, *http.Request) {}
	lost := jar.only(httpRefresh)
	if lines := httpLines(t, lost.in(s, read).Header()); len(lines) != 1 || lines[httpSession] == "" {
		t.Errorf("n again: %d cookies, want the session cookie alone", len(lines))
	}
	httpWant(t, "n again", s, lost, "alice", "data")
	old := jar.clone()
	world.clock.Move(6 * time.Minute)
	if lines := httpLines(t, jar.in(s, read).Header()); len(lines) != 2 {
		t.Errorf("an advance: %d cookies", len(lines))
	}
	if lines := httpLines(t, old.in(s, read).Header()); len(lines) != 2 || old[httpRefresh] != jar[httpRefresh] {
		t.Errorf("n-1 within the grace: %d cookies, n's token %v", len(lines), old[httpRefresh] == jar[httpRefresh])
	}
}

func TestCookieOthersStayUntouched(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	before := []string{"theme=dark; Path=/", httpSession + "-hint=1", "x" + httpSession + "=2", "session=3", "__host-session=4", httpSession, ""}
	after := []string{httpRefresh + "2=5", "theme=light"}
	w := httpJar{}.in(s, func(w http.ResponseWriter, r *http.Request) {
		w.Header()["Set-Cookie"] = slices.Clone(before)
		if err := s.Start(w, r, "alice", ""); err != nil {
			t.Fatal(err)
		}
		for _, line := range after {
			w.Header().Add("Set-Cookie", line)
		}
		if err := errors.Join(s.Save(w, r, "x"), s.Renew(w, r), s.End(w, r)); err != nil {
			t.Fatal(err)
		}
	})
	others := slices.DeleteFunc(w.Header()["Set-Cookie"], func(line string) bool {
		return strings.HasPrefix(line, httpSession+"=") || strings.HasPrefix(line, httpRefresh+"=")
	})
	if want := slices.Concat(before, after); !slices.Equal(others, want) {
		t.Errorf("the application's lines are %q, want %q", others, want)
	}
}

func TestCookieCacheHeaders(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	alice, due := httpLogin(t, s, "alice", ""), httpLogin(t, s, "bob", "")
	set := func(name string, values ...string) func(http.Header) {
		return func(h http.Header) { h[name] = values }
	}
	nothing := func(http.Header) {}
	for name, c := range map[string]struct {
		jar           httpJar
		act           func(w http.ResponseWriter, r *http.Request) error
		before, after func(http.Header)
		vary, cache   []string
	}{
		"anonymous":   {before: nothing, after: nothing, vary: []string{"Cookie"}},
		"a bad one":   {jar: httpJar{httpSession: "junk"}, before: nothing, after: nothing, vary: []string{"Cookie"}},
		"a session":   {jar: alice, before: nothing, after: nothing, vary: []string{"Cookie"}, cache: []string{"no-store"}},
		"a refresh":   {jar: due, before: nothing, after: nothing, vary: []string{"Cookie"}, cache: []string{"no-store"}},
		"a logout":    {act: s.End, before: nothing, after: nothing, vary: []string{"Cookie"}, cache: []string{"no-store"}},
		"its Vary":    {before: set("Vary", "Accept-Encoding"), after: nothing, vary: []string{"Accept-Encoding", "Cookie"}},
		"no Vary":     {before: set("Vary"), after: nothing, vary: []string{"Cookie"}},
		"there it is": {before: set("Vary", "Accept, cookie ,Origin"), after: nothing, vary: []string{"Accept, cookie ,Origin"}},
		"two lines":   {before: set("Vary", "Accept", "COOKIE"), after: nothing, vary: []string{"Accept", "COOKIE"}},
		"not quite":   {before: set("Vary", "X-Cookie"), after: nothing, vary: []string{"X-Cookie", "Cookie"}},
		"it says Cache-Control before": {jar: alice, before: set("Cache-Control", "private, max-age=60"), after: nothing,
			vary: []string{"Cookie"}, cache: []string{"private, max-age=60"}},
		"and after": {jar: alice, before: nothing, after: set("Cache-Control", "public"),
			vary: []string{"Cookie"}, cache: []string{"public"}},
		"it says so before a login": {act: func(w http.ResponseWriter, r *http.Request) error { return s.Start(w, r, "carol", "") },
			before: set("Cache-Control", "private"), after: nothing, vary: []string{"Cookie"}, cache: []string{"private"}},
		"a login": {act: func(w http.ResponseWriter, r *http.Request) error { return s.Start(w, r, "carol", "") },
			before: nothing, after: nothing, vary: []string{"Cookie"}, cache: []string{"no-store"}},
		"it adds to both": {jar: alice, before: nothing, after: func(h http.Header) { h.Add("Vary", "Accept"); h.Add("Cache-Control", "max-age=0") },
			vary: []string{"Cookie", "Accept"}, cache: []string{"no-store", "max-age=0"}},
	} {
		t.Run(name, func(t *testing.T) {
			if name == "a refresh" {
				world.clock.Move(5 * time.Minute)
				defer world.clock.Move(-5 * time.Minute)
			}
			for range 2 { // the second shows whether the first changed shared state
				jar := httpJar{}
				for name, value := range c.jar {
					jar[name] = value
				}
				app := s.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if c.act != nil {
						if err := c.act(w, r); err != nil {
							t.Error(err)
						}
					}
					c.after(w.Header())
				}))
				w := jar.do(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					c.before(w.Header())
					app.ServeHTTP(w, r)
				}), nil)
				if got := w.Header()["Vary"]; !slices.Equal(got, c.vary) {
					t.Errorf("Vary: %q, want %q", got, c.vary)
				}
				if got := w.Header()["Cache-Control"]; !slices.Equal(got, c.cache) {
					t.Errorf("Cache-Control: %q, want %q", got, c.cache)
				}
			}
		})
	}
}

var httpShorten = regexp.MustCompile(`name and value are (\d+) bytes over 4096; shorten the data by (\d+) of its (\d+) bytes`)

// The error gives the exact number of bytes. Shortened by that number the data
// fits, and shortened by one byte less it does not. This depends on where
// base64 ends, and so on the length of the name; therefore several lengths are
// tried.
func TestCookieTooLargeSaysByHowMuch(t *testing.T) {
	for _, name := range []string{"__Host-session", "__Host-sessions", "__Host-a-session", "__Host-my-session"} {
		for _, subject := range []string{"alice", strings.Repeat("a", 255)} {
			t.Run(fmt.Sprint(name, len(subject)), func(t *testing.T) { testTooLarge(t, name, subject) })
		}
	}
}

func testTooLarge(t *testing.T, session, subject string) {
	const most, cborHead = 4096, 3
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{SessionCookie: session})
	jar := httpJar{}
	fits := 2000
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		if err := s.Start(w, r, subject, ""); err != nil {
			t.Fatal(err)
		}
		size := func() int {
			pair, _, _ := strings.Cut(httpLines(t, w.Header())[session], ";")
			return len(pair) - len("=")
		}
		// The longest data that fits is found without the error's help.
		for fits < most && s.Save(w, r, strings.Repeat("x", fits+1)) == nil {
			fits++
		}
		if got := size(); got > most || got+2 <= most {
			t.Errorf("the longest that fits makes %d bytes", got)
		}
		for name, call := range map[string]func(data string) error{
			"Save":   func(data string) error { return s.Save(w, r, data) },
			"Commit": func(data string) error { return s.Commit(w, r, data) },
			"Start":  func(data string) error { return s.Start(w, r, subject, data) },
		} {
			before := slices.Clone(w.Header()["Set-Cookie"])
			for over := 1; over <= 9; over++ {
				err := call(strings.Repeat("x", fits+over))
				says := httpShorten.FindStringSubmatch(fmt.Sprint(err))
				if !errors.Is(err, wafer.ErrTooLarge) || says == nil {
					t.Fatalf("%s with %d bytes too many: %v", name, over, err)
				}
				if says[2] != strconv.Itoa(over) || says[3] != strconv.Itoa(fits+over+cborHead) {
					t.Errorf("%s with %d bytes too many of %d: the error says %s of %s", name, over, fits+over+cborHead, says[2], says[3])
					break
				}
			}
			if !slices.Equal(before, w.Header()["Set-Cookie"]) {
				t.Errorf("%s of too much wrote a cookie", name)
			}
			if err := call(strings.Repeat("x", fits)); err != nil {
				t.Errorf("%s of what fits: %v", name, err)
			}
			if got := size(); got > most {
				t.Errorf("%s wrote %d bytes", name, got)
			}
		}
	})
	// Data that fits comes back, after a refresh too.
	for _, after := range []time.Duration{0, 6 * time.Minute} {
		world.clock.Move(after)
		if n := len(httpMustData(t, s, jar)); n != fits {
			t.Errorf("%v later the data has %d bytes, want %d", after, n, fits)
		}
	}
}

func httpMustData[T any](t testing.TB, s *wafer.Sessions[T], jar httpJar) T {
	t.Helper()
	_, data, err := httpGet(s, jar)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestCookieTooLargeAtStartCreatesNothing(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	world.store.newCalls()
	w := httptest.NewRecorder()
	err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), "alice", strings.Repeat("x", 4096))
	if !errors.Is(err, wafer.ErrTooLarge) || len(w.Header()) != 0 {
		t.Errorf("%v, header %v", err, w.Header())
	}
	if got := world.store.newCalls(); got != "" {
		t.Errorf("the store was called: %s", got)
	}
}

// A handler that takes longer than the cookie's own lifetime cannot save.
func TestCookieSavedTooLate(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	jar := httpLogin(t, s, "alice", "before")
	jar.in(s, func(w http.ResponseWriter, r *http.Request) {
		world.clock.Move(4 * time.Minute)
		if err := s.Save(w, r, "in time"); err != nil {
			t.Errorf("after four minutes: %v", err)
		}
		before := slices.Clone(w.Header()["Set-Cookie"])
		world.clock.Move(6 * time.Minute)
		if err := s.Save(w, r, "late"); !errors.Is(err, wafer.ErrExpired) {
			t.Errorf("after ten minutes: %v", err)
		}
		if !slices.Equal(before, w.Header()["Set-Cookie"]) {
			t.Error("the late Save wrote a cookie")
		}
	})
	httpWant(t, "the next request", s, jar, "alice", "in time")
}
