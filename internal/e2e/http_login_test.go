package e2e_test

import (
	"crypto/rand"
	"errors"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

func TestHTTPLimits(t *testing.T) {
	world := httpNewWorld(t)
	day := 24 * time.Hour
	s := httpSessions(t, world, wafer.Config[string]{MaxIdle: 10 * day, MaxAbsolute: 30 * day})
	for _, c := range []struct {
		idle, absolute time.Duration
		fine           bool
	}{
		{0, 0, true}, {10 * day, 30 * day, true}, {0, 30 * day, true}, {10 * day, 0, true}, {time.Hour, 2 * time.Hour, true},
		{10*day + 1, 30 * day, false}, {10 * day, 30*day + 1, false}, {-1, 0, false}, {0, -time.Hour, false},
		{5 * time.Minute, time.Hour, false}, {time.Hour, 5 * time.Minute, false}, // at most Access: it would end before its refresh
	} {
		w := httptest.NewRecorder()
		err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), "alice", "", wafer.Limits(c.idle, c.absolute))
		if (err == nil) != c.fine {
			t.Errorf("Limits(%v, %v): %v", c.idle, c.absolute, err)
		}
		if err == nil {
			continue
		}
		if n := len(w.Header()["Set-Cookie"]); n != 0 {
			t.Errorf("Limits(%v, %v): refused, and wrote %d cookies", c.idle, c.absolute, n)
		}
		if !strings.Contains(err.Error(), "MaxIdle (240h0m0s)") || !strings.Contains(err.Error(), "MaxAbsolute (720h0m0s)") {
			t.Errorf("the error does not say the limits: %v", err)
		}
	}
	// "Remember me": used once in nine days, the session lives for a month and
	// no longer.
	jar := httpLogin(t, s, "alice", "cart", wafer.Limits(10*day, 30*day))
	for range 3 {
		world.clock.Move(9 * day)
		httpWant(t, "remembered", s, jar, "alice", "cart")
	}
	world.clock.Move(3*day - time.Second)
	httpWant(t, "a second before the absolute limit", s, jar, "alice", "cart")
	world.clock.Move(time.Second)
	httpWantError(t, "at the absolute limit", s, jar, wafer.ErrNoSession)
	jar = httpLogin(t, s, "alice", "cart", wafer.Limits(10*day, 30*day))
	world.clock.Move(10 * day)
	httpWantError(t, "at the idle limit", s, jar, wafer.ErrNoSession)
}

// Invalid arguments are a mistake of the program, not an outage.
func TestHTTPMistakesAreNoOutages(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[any]{})
	start := func(subject string, data any, options ...wafer.StartOption) func() error {
		return func() error {
			w := httptest.NewRecorder()
			err := s.Start(w, httptest.NewRequest(http.MethodPost, "/", nil), subject, data, options...)
			if err != nil && len(w.Header()["Set-Cookie"]) != 0 {
				t.Error("a Start that failed wrote cookies")
			}
			return err
		}
	}
	for name, call := range map[string]func() error{
		"no subject":                  start("", nil),
		"a subject of 256 bytes":      start(strings.Repeat("a", 256), nil),
		"a subject with a NUL":        start("a\x00b", nil),
		"a subject that is not UTF-8": start("\xff\xfe", nil),
		"data that cannot encode":     start("alice", make(chan int)),
		"limits too small":            start("alice", nil, wafer.Limits(time.Microsecond, time.Microsecond)),
		"devices of nobody":           func() error { _, err := s.Devices(t.Context(), ""); return err },
		"a revocation of nothing":     func() error { _, err := s.Revoke(t.Context(), wafer.Revocation{}); return err },
		"a revocation of a session without id": func() error {
			_, err := s.Revoke(t.Context(), wafer.Revocation{Sessions: make([]store.ID, 1)})
			return err
		},
		"a reason that is too long": func() error {
			_, err := s.Revoke(t.Context(), wafer.Revocation{Everyone: true, Reason: strings.Repeat("a", 256)})
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			err := call()
			if err == nil {
				t.Fatal("no error")
			}
			if status := wafer.Status(err); status != http.StatusBadRequest && status != http.StatusInternalServerError {
				t.Errorf("%v: status %d, want that of a mistake, 400 or 500", err, status)
			}
			for _, e := range world.newEvents() {
				if e.Kind == wafer.KindUnavailable {
					t.Errorf("the operator got an event of an outage: %v", e.Err)
				}
			}
		})
	}
}

// Subjects are 1 to 255 bytes of UTF-8, and each call's events carry them.
func TestHTTPSubjects(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	for _, subject := range []string{"a", strings.Repeat("é", 127) + "x", "日本", "a b;c=\"d\"\n", " "} {
		jar := httpJar{}
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := s.Start(w, r, subject, ""); err != nil {
				t.Fatalf("Start of %q: %v", subject, err)
			}
			if err := errors.Join(s.Commit(w, r, ""), s.Renew(w, r), s.EndOthers(w, r)); err != nil {
				t.Errorf("%q: %v", subject, err)
			}
		})
		httpWant(t, "its session", s, jar, subject, "")
		jar.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := s.End(w, r); err != nil {
				t.Errorf("End of %q: %v", subject, err)
			}
		})
	}
}

func TestHTTPMaxSessions(t *testing.T) {
	for _, oldest := range []bool{false, true} {
		world := httpNewWorld(t)
		s := httpSessions(t, world, wafer.Config[string]{MaxSessions: 2, EndOldest: oldest})
		first := httpLogin(t, s, "alice", "first")
		world.clock.Move(time.Second)
		second := httpLogin(t, s, "alice", "second")
		world.clock.Move(time.Second)
		httpLogin(t, s, "bob", "") // another subject does not count

		world.store.logCut.Store(true) // this node needs no entry for its own writes
		third := httpJar{}
		var err error
		third.in(s, func(w http.ResponseWriter, r *http.Request) { err = s.Start(w, r, "alice", "third") })
		if oldest {
			if err != nil {
				t.Fatal(err)
			}
			httpWantError(t, "the oldest", s, first, wafer.ErrNoSession)
			httpWant(t, "the third", s, third, "alice", "third")
		} else {
			if !errors.Is(err, wafer.ErrLimit) || len(third) != 0 {
				t.Errorf("one too many: %v, %d cookies", err, len(third))
			}
			httpWant(t, "the oldest", s, first, "alice", "first")
		}
		httpWant(t, "the second", s, second, "alice", "second")
		// A login in a browser that has a session replaces it, so the number of
		// sessions stays.
		second.in(s, func(w http.ResponseWriter, r *http.Request) { err = s.Start(w, r, "alice", "again") })
		if err != nil {
			t.Errorf("a login in place of one's own session: %v", err)
		}
		httpWant(t, "in its place", s, second, "alice", "again")
		devices, err := s.Devices(t.Context(), "alice")
		if err != nil || len(devices) != 2 {
			t.Errorf("%d devices, %v", len(devices), err)
		}
	}
}

func TestHTTPDevices(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	began := world.clock.Now()
	phone := httpLogin(t, s, "alice", "", wafer.Label("phone"))
	world.clock.Move(time.Minute)
	httpLogin(t, s, "alice", "", wafer.Label("laptop"))
	httpLogin(t, s, "bob", "", wafer.Label("not hers"))
	world.clock.Move(5 * time.Minute)
	id := httpWant(t, "refreshed", s, phone, "alice", "").ID
	list := func() []wafer.Device {
		t.Helper()
		devices, err := s.Devices(t.Context(), "alice")
		if err != nil {
			t.Fatal(err)
		}
		return devices
	}
	devices := list()
	if len(devices) != 2 || devices[0].Label != "laptop" || devices[1].Label != "phone" {
		t.Fatalf("devices: %+v, want laptop and phone, those started last first", devices)
	}
	want := wafer.Device{ID: id, Label: "phone", Started: began, Authenticated: began, Seen: began.Add(6 * time.Minute)}
	got := devices[1]
	if got.ID != want.ID || got.Native || !got.Started.Equal(want.Started) || !got.Authenticated.Equal(want.Authenticated) || !got.Seen.Equal(want.Seen) {
		t.Errorf("the phone: %+v, want %+v", got, want)
	}
	if _, err := s.Revoke(t.Context(), wafer.Revocation{Sessions: []store.ID{devices[0].ID}}); err != nil {
		t.Fatal(err)
	}
	if devices = list(); len(devices) != 1 || devices[0].ID != id {
		t.Errorf("after one was revoked: %+v", devices)
	}
	world.store.down.Store(true)
	if _, err := s.Devices(t.Context(), "alice"); !errors.Is(err, wafer.ErrUnavailable) {
		t.Errorf("outage: %v", err)
	}
}

func TestHTTPLabelIsCutBetweenCharacters(t *testing.T) {
	s := httpSessions(t, httpNewWorld(t), wafer.Config[string]{})
	a := strings.Repeat("a", 260)
	for _, c := range []struct{ label, want string }{
		{"", ""}, {"Firefox on Linux", "Firefox on Linux"},
		{a[:255], a[:255]}, {a, a[:255]},
		{a[:253] + "é", a[:253] + "é"},                 // 255 bytes
		{a[:254] + "é", a[:254]},                       // the limit falls inside é
		{a[:253] + "€x", a[:253]},                      // after one byte of three
		{a[:254] + "€", a[:254]},                       // after two
		{a[:252] + "€x", a[:252] + "€"},                //
		{a[:251] + "😀x", a[:251] + "😀"},                //
		{a[:252] + "😀", a[:252]},                       //
		{"a\xffb", "a\uFFFDb"}, {"\xe2\x82", "\uFFFD"}, // not UTF-8
		{"a\x00b\x00", "ab"},
		{a[:254] + "\xff", a[:254]}, // the replacement has three bytes
	} {
		subject := "user of " + rand.Text()
		httpLogin(t, s, subject, "", wafer.Label(c.label))
		devices, err := s.Devices(t.Context(), subject)
		if err != nil || len(devices) == 0 || devices[0].Label != c.want {
			t.Errorf("Label(%q): %v, %+v; want %q", c.label, err, devices, c.want)
		}
	}
}
