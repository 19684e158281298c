package e2e_test

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// Every invalid combination makes New return an error that names the field and
// says what is wanted.
func TestConfigWrongCombinations(t *testing.T) {
	type config = wafer.Config[string]
	for name, c := range map[string]struct {
		change func(*config)
		want   []string // substrings of the error
	}{
		"no realm":              {func(c *config) { c.Realm = "" }, []string{"Config.Realm", "1 to 255 bytes"}},
		"a NUL in the realm":    {func(c *config) { c.Realm = "a\x00b" }, []string{"Config.Realm", "without NUL"}},
		"a realm too long":      {func(c *config) { c.Realm = strings.Repeat("a", 256) }, []string{"Config.Realm", "1 to 255 bytes"}},
		"Access negative":       {func(c *config) { c.Access = -1 }, []string{"Config.Access", "at least 1ms"}},
		"Access too small":      {func(c *config) { c.Access = time.Microsecond }, []string{"Config.Access", "at least 1ms"}},
		"Idle negative":         {func(c *config) { c.Idle = -time.Hour }, []string{"Config.Idle", "at least 1ms"}},
		"Absolute negative":     {func(c *config) { c.Absolute = -time.Hour }, []string{"Config.Absolute", "at least 1ms"}},
		"MaxIdle negative":      {func(c *config) { c.MaxIdle = -time.Hour }, []string{"Config.MaxIdle", "at least 1ms"}},
		"MaxAbsolute negative":  {func(c *config) { c.MaxAbsolute = -time.Hour }, []string{"Config.MaxAbsolute", "at least 1ms"}},
		"Grace negative":        {func(c *config) { c.Grace = -time.Second }, []string{"Config.Grace", "at least 1ms"}},
		"StoreTimeout negative": {func(c *config) { c.StoreTimeout = -time.Second }, []string{"Config.StoreTimeout", "at least 1ms"}},
		"Skew negative":         {func(c *config) { c.Skew = -time.Second }, []string{"Config.Skew", "0 or more"}},

		"Idle is Access":           {func(c *config) { c.Idle = 5 * time.Minute }, []string{"Config.Idle (5m0s)", "more than Access (5m0s)"}},
		"Access above Idle":        {func(c *config) { c.Access = time.Hour }, []string{"Config.Idle (30m0s)", "more than Access (1h0m0s)"}},
		"Idle above Absolute":      {func(c *config) { c.Idle = 13 * time.Hour }, []string{"Config.Absolute (12h0m0s)", "less than Idle (13h0m0s)"}},
		"MaxIdle below Idle":       {func(c *config) { c.MaxIdle = 10 * time.Minute }, []string{"Config.MaxIdle (10m0s)", "at least Idle"}},
		"MaxAbsolute below it":     {func(c *config) { c.MaxAbsolute = 11 * time.Hour }, []string{"MaxAbsolute (11h0m0s)", "at least", "Absolute (12h0m0s)"}},
		"MaxAbsolute above Life":   {func(c *config) { c.MaxAbsolute = keyring.DefaultLife + 1 }, []string{"Config.MaxAbsolute", "ring's Life (720h0m0s)"}},
		"Absolute above Life":      {func(c *config) { c.Absolute = 31 * 24 * time.Hour }, []string{"Config.MaxAbsolute", "ring's Life (720h0m0s)"}},
		"Grace above a quarter":    {func(c *config) { c.Grace = 75*time.Second + time.Millisecond }, []string{"Grace (1m15.001s)", "Config.Access (5m0s)", "shorten the grace"}},
		"MaxStaleness below 1s":    {func(c *config) { c.MaxStaleness = 999 * time.Millisecond }, []string{"Config.MaxStaleness", "at least 1s"}},
		"MaxStaleness negative":    {func(c *config) { c.MaxStaleness = -time.Second }, []string{"Config.MaxStaleness", "at least 1s"}},
		"MaxRevocations too small": {func(c *config) { c.MaxRevocations = 1023 }, []string{"Config.MaxRevocations", "1023", "at least 1024"}},
		"MaxRevocations negative":  {func(c *config) { c.MaxRevocations = -1 }, []string{"Config.MaxRevocations", "at least 1024"}},
		"MaxSessions negative":     {func(c *config) { c.MaxSessions = -1 }, []string{"Config.MaxSessions", "0 (no limit) or more"}},
		"EndOldest of no limit":    {func(c *config) { c.EndOldest = true }, []string{"Config.EndOldest", "needs MaxSessions"}},

		"SameSite both ways":    {func(c *config) { c.SameSiteStrict, c.InsecureSameSiteNone = true, true }, []string{"Config.SameSiteStrict", "InsecureSameSiteNone"}},
		"SameSite=None on HTTP": {func(c *config) { c.InsecureHTTP, c.InsecureSameSiteNone = true, true }, []string{"Config.InsecureSameSiteNone", "InsecureHTTP"}},

		"a name without the prefix":          {func(c *config) { c.SessionCookie = "session" }, []string{"Config.SessionCookie", `"session"`, `must begin with "__Host-"`}},
		"the other one":                      {func(c *config) { c.RefreshCookie = "refresh" }, []string{"Config.RefreshCookie", `"refresh"`, `must begin with "__Host-"`}},
		"a weaker prefix":                    {func(c *config) { c.SessionCookie = "__Secure-session" }, []string{"Config.SessionCookie", `must begin with "__Host-"`}},
		"the prefix in lower case":           {func(c *config) { c.SessionCookie = "__host-session" }, []string{"Config.SessionCookie", `must begin with "__Host-"`}},
		"no cookie name":                     {func(c *config) { c.SessionCookie = "__Host-a b" }, []string{"Config.SessionCookie", `"__Host-a b"`}},
		"a cookie name with =":               {func(c *config) { c.RefreshCookie = "__Host-a=b" }, []string{"Config.RefreshCookie", `"__Host-a=b"`}},
		"one name for both":                  {func(c *config) { c.SessionCookie, c.RefreshCookie = "__Host-a", "__Host-a" }, []string{"SessionCookie", "RefreshCookie", `"__Host-a"`}},
		"HTTP and the prefix":                {func(c *config) { c.InsecureHTTP, c.SessionCookie = true, "__Host-session" }, []string{"Config.SessionCookie", "Config.InsecureHTTP", "browsers would refuse it"}},
		"HTTP and the other prefix":          {func(c *config) { c.InsecureHTTP, c.RefreshCookie = true, "__Secure-refresh" }, []string{"Config.RefreshCookie", "Config.InsecureHTTP"}},
		"HTTP and the prefix in lower case":  {func(c *config) { c.InsecureHTTP, c.SessionCookie = true, "__host-session" }, []string{"Config.SessionCookie", "Config.InsecureHTTP"}}, // browsers compare without case (RFC 6265bis section 5.4)
		"a name that leaves no room":         {func(c *config) { c.SessionCookie = "__Host-" + strings.Repeat("a", 4096) }, []string{"Config.SessionCookie"}},
		"a name that leaves the token short": {func(c *config) { c.RefreshCookie = "__Host-" + strings.Repeat("a", 4096) }, []string{"Config.RefreshCookie"}},
	} {
		t.Run(name, func(t *testing.T) {
			world := httpNewWorld(t)
			cfg := config{Realm: httpRealm, Now: world.clock.Now, Observe: world.observe}
			c.change(&cfg)
			s, err := wafer.New(t.Context(), world.ring, world.store, cfg)
			if err == nil {
				s.Close()
				t.Fatal("no error")
			}
			for _, want := range c.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("the error does not say %q: %v", want, err)
				}
			}
		})
	}
}

// A value exactly at a limit is accepted.
func TestConfigAtTheLimits(t *testing.T) {
	for name, c := range map[string]wafer.Config[string]{
		"Grace a quarter of Access":  {Grace: 75 * time.Second},
		"Idle just above Access":     {Idle: 5*time.Minute + 1},
		"Absolute is Idle":           {Absolute: 30 * time.Minute},
		"MaxAbsolute is the ring's":  {MaxAbsolute: keyring.DefaultLife},
		"MaxIdle above Absolute":     {MaxIdle: 20 * time.Hour},
		"MaxStaleness of a second":   {MaxStaleness: time.Second},
		"MaxRevocations of 1,024":    {MaxRevocations: 1024},
		"EndOldest of one":           {MaxSessions: 1, EndOldest: true},
		"a short Access shortens":    {Access: time.Second},
		"InsecureHTTP and own names": {InsecureHTTP: true, SessionCookie: "a", RefreshCookie: "b"},
		"a realm of 255 bytes":       {Realm: strings.Repeat("é", 127) + "x"},
		"names that differ in case":  {SessionCookie: "__Host-a", RefreshCookie: "__Host-A"},
		"Strict on HTTP":             {InsecureHTTP: true, SameSiteStrict: true},
		"everything set to its default": {
			Access: 5 * time.Minute, Idle: 30 * time.Minute, Absolute: 12 * time.Hour, MaxIdle: 30 * time.Minute, MaxAbsolute: 12 * time.Hour,
			Grace: 30 * time.Second, MaxStaleness: 30 * time.Second, MaxRevocations: 1 << 20, Skew: 5 * time.Second, StoreTimeout: 2 * time.Second,
			SessionCookie: httpSession, RefreshCookie: httpRefresh,
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := httpSessions(t, httpNewWorld(t), c)
			httpWant(t, "a login", s, httpLogin(t, s, "alice", "data"), "alice", "data")
		})
	}
}

func TestConfigNeedsRingAndStore(t *testing.T) {
	world := httpNewWorld(t)
	config := wafer.Config[string]{Realm: httpRealm, Now: world.clock.Now}
	if _, err := wafer.New(t.Context(), nil, world.store, config); err == nil {
		t.Error("no ring, no error")
	}
	if _, err := wafer.New(t.Context(), world.ring, nil, config); err == nil {
		t.Error("no store, no error")
	}
}

// MaxAbsolute is checked against the life in the ring's document, not against
// the default. New refuses a ring that cannot seal.
func TestConfigAndTheRing(t *testing.T) {
	world := httpNewWorld(t)
	keeper, err := keyring.NewKeeper(strings.Repeat("ab", keyring.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	now := world.clock.Now()
	world.ring, err = keyring.Create(t.Context(), world.memory, keeper, now, keyring.Schedule{Life: 20 * 24 * time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	build := func(c wafer.Config[string]) error {
		c.Realm, c.Observe = httpRealm, world.observe
		if c.Now == nil {
			c.Now = world.clock.Now
		}
		s, err := wafer.New(t.Context(), world.ring, world.store, c)
		if err == nil {
			s.Close()
		}
		return err
	}
	if err := build(wafer.Config[string]{MaxAbsolute: 20 * 24 * time.Hour}); err != nil {
		t.Errorf("MaxAbsolute of the ring's life: %v", err)
	}
	if err := build(wafer.Config[string]{MaxAbsolute: 20*24*time.Hour + time.Millisecond}); err == nil || !strings.Contains(err.Error(), "480h0m0s") {
		t.Errorf("MaxAbsolute above the ring's life: %v", err)
	}
	early := func() time.Time { return now.Add(-time.Hour) }
	if err := build(wafer.Config[string]{Now: early}); err == nil || !strings.Contains(err.Error(), "sealed") {
		t.Errorf("a ring whose first key is not active yet: %v", err)
	}
}

// New fails if its context ends before the first catch-up.
func TestConfigNewIsBoundedByItsContext(t *testing.T) { synctest.Test(t, testNewIsBoundedByItsContext) }

func testNewIsBoundedByItsContext(t *testing.T) {
	world := httpNewWorld(t)
	world.store.down.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	s, err := wafer.New(ctx, world.ring, world.store, wafer.Config[string]{Realm: httpRealm, Now: world.clock.Now, Observe: world.observe})
	if err == nil {
		s.Close()
		t.Fatal("New came back without having read the log")
	}
	if !strings.Contains(err.Error(), errHTTPDown.Error()) {
		t.Errorf("the error does not say why: %v", err)
	}
}

func TestConfigInsecureSettingsWarnOnce(t *testing.T) {
	for name, c := range map[string]struct {
		config wafer.Config[string]
		want   []string
	}{
		"safe":                 {wafer.Config[string]{SameSiteStrict: true, StrictRotation: true}, nil},
		"InsecureHTTP":         {wafer.Config[string]{InsecureHTTP: true}, []string{"Config.InsecureHTTP"}},
		"InsecureSameSiteNone": {wafer.Config[string]{InsecureSameSiteNone: true}, []string{"Config.InsecureSameSiteNone"}},
	} {
		t.Run(name, func(t *testing.T) {
			world := httpNewWorld(t)
			s := httpSessions(t, world, c.config)
			for range 3 {
				jar := httpLogin(t, s, "alice", "")
				jar.do(s.Require(httpWho(s)), nil)
			}
			var got []string
			for _, e := range world.newEvents() {
				if e.Kind == wafer.KindInsecure {
					setting, _, _ := strings.Cut(e.Reason, ":")
					got = append(got, setting)
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("warned of %q, want %q", got, c.want)
			}
		})
	}
}

// The defaults, each observed from outside.
func TestConfigDefaults(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{})
	got := world.store.announced
	if got.Node.IsZero() || !strings.Contains(got.Settings, "Access=5m0s\n") {
		t.Errorf("announced node %v with settings %q", got.Node, got.Settings)
	}
	got.Node, got.Settings = store.ID{}, ""
	want := store.Announcement{
		Access: 5 * time.Minute, Absolute: 12 * time.Hour, Leeway: 10 * time.Second, MaxStaleness: 30 * time.Second,
		Realm: httpRealm, Instance: httpSession,
	}
	if got != want {
		t.Errorf("announced %+v, want %+v", got, want)
	}
	cookies, err := codec.NewCookies(world.ring, httpRealm, httpSession)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("Access, Idle, Absolute", func(t *testing.T) {
		now := world.clock.Now()
		shortest := 5 * time.Minute
		for range 50 {
			jar := httpLogin(t, s, "alice", "")
			c, _, err := cookies.Open(t.Context(), now, jar[httpSession])
			if err != nil {
				t.Fatal(err)
			}
			access := c.Access.Sub(c.Issued)
			if access > 5*time.Minute || access < 270*time.Second {
				t.Errorf("access lifetime %v, want 4m30s to 5m", access)
			}
			shortest = min(shortest, access)
			if idle, absolute := c.Idle.Sub(now), c.Absolute.Sub(now); idle != 30*time.Minute || absolute != 12*time.Hour {
				t.Errorf("idle %v, absolute %v; want 30m and 12h", idle, absolute)
			}
		}
		if shortest > 290*time.Second {
			t.Errorf("of 50 access lifetimes the shortest is %v: they are not spread", shortest)
		}
	})
	t.Run("Grace", func(t *testing.T) {
		w := httptest.NewRecorder()
		s.Error(w, httptest.NewRequest(http.MethodGet, "/", nil), wafer.ErrUnavailable)
		if got := w.Header().Get("Retry-After"); got != "10" {
			t.Errorf("Retry-After %q, want a third of the grace of 30 s", got)
		}
		for _, c := range []struct {
			late time.Duration
			want string
		}{{29 * time.Second, "the same successor"}, {30 * time.Second, "a copy for a lost answer"}} {
			jar := httpLogin(t, s, "alice", "")
			old := jar.clone()
			world.clock.Move(6 * time.Minute)
			httpWant(t, "refresh", s, jar, "alice", "")
			world.clock.Move(c.late)
			world.newEvents()
			httpWant(t, "the old token", s, old, "alice", "")
			events := world.newEvents()
			if got := events[len(events)-1].Reason; got != c.want {
				t.Errorf("%v after the refresh: %s, want %s", c.late, got, c.want)
			}
		}
	})
	t.Run("Skew", func(t *testing.T) {
		for _, c := range []struct {
			ahead time.Duration
			want  error
		}{{10 * time.Second, nil}, {10*time.Second + time.Millisecond, wafer.ErrNoSession}} {
			ahead := httpSessions(t, world, wafer.Config[string]{Now: func() time.Time { return world.clock.Now().Add(c.ahead) }})
			_, _, err := httpGet(s, httpLogin(t, ahead, "alice", "").only(httpSession))
			if fmt.Sprint(err) != fmt.Sprint(c.want) {
				t.Errorf("a cookie from %v in the future: %v, want %v", c.ahead, err, c.want)
			}
		}
	})
	t.Run("MaxStaleness", func(t *testing.T) {
		jar := httpLogin(t, s, "alice", "")
		if err := s.WaitFor(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		world.store.logCut.Store(true)
		defer world.store.logCut.Store(false)
		if _, err := s.Revoke(t.Context(), wafer.Revocation{Subjects: []string{"nobody"}}); err != nil { // confirms the replica now
			t.Fatal(err)
		}
		for _, c := range []struct {
			move  time.Duration
			calls string
		}{{30 * time.Second, ""}, {time.Millisecond, "Cutoffs"}} {
			world.clock.Move(c.move)
			world.store.newCalls()
			httpWant(t, "reading", s, jar, "alice", "")
			if got := world.store.newCalls(); got != c.calls {
				t.Errorf("after another %v: store calls %q, want %q", c.move, got, c.calls)
			}
		}
	})
	t.Run("MaxSessions", func(t *testing.T) {
		for range 20 {
			httpLogin(t, s, "bob", "")
		}
		if devices, err := s.Devices(t.Context(), "bob"); err != nil || len(devices) != 20 {
			t.Errorf("%d devices, %v", len(devices), err)
		}
	})
	t.Run("Limits", func(t *testing.T) {
		err := s.Start(httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", nil), "alice", "", wafer.Limits(31*time.Minute, 0))
		if err == nil || !strings.Contains(err.Error(), "MaxIdle (30m0s)") || !strings.Contains(err.Error(), "MaxAbsolute (12h0m0s)") {
			t.Errorf("MaxIdle and MaxAbsolute are not Idle and Absolute: %v", err)
		}
	})
}

// Grace follows a short access lifetime: it is an eighth of it.
func TestConfigGraceOfAShortAccess(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{Access: 80 * time.Second, StrictRotation: true})
	for _, c := range []struct {
		late time.Duration
		want error
	}{{10*time.Second - time.Millisecond, nil}, {10 * time.Second, wafer.ErrNoSession}} {
		jar := httpLogin(t, s, "alice", "")
		old := jar.clone()
		world.clock.Move(80 * time.Second)
		httpWant(t, "refresh", s, jar, "alice", "")
		world.clock.Move(c.late)
		if _, _, err := httpGet(s, old); fmt.Sprint(err) != fmt.Sprint(c.want) {
			t.Errorf("the old token %v after the refresh: %v, want %v", c.late, err, c.want)
		}
	}
}

// StoreTimeout bounds a store call that does not return.
func TestConfigStoreTimeout(t *testing.T) { synctest.Test(t, testConfigStoreTimeout) }

func testConfigStoreTimeout(t *testing.T) {
	world := httpNewWorld(t)
	s := httpSessions(t, world, wafer.Config[string]{StoreTimeout: 50 * time.Millisecond})
	jar := httpLogin(t, s, "alice", "")
	world.store.hangs.Store(true)
	world.clock.Move(6 * time.Minute)
	began := time.Now()
	httpWantError(t, "a refresh on a store that hangs", s, jar, wafer.ErrUnavailable)
	if _, err := s.Position(t.Context()); wafer.Status(err) != http.StatusServiceUnavailable {
		t.Errorf("Position: %v", err)
	}
	if took := time.Since(began); took > 100*time.Millisecond {
		t.Errorf("it took %v", took)
	}
}
