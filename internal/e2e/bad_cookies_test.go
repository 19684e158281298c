package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// httpDump returns an answer as a client sees it.
func httpDump(w *httptest.ResponseRecorder) string {
	return fmt.Sprintln(w.Code, w.Header(), w.Body)
}

// httpTarget is an application whose pages show the session and what was sealed
// into it.
type httpTarget struct {
	world     *httpWorld
	sessions  *wafer.Sessions[string]
	good      httpJar   // alice's; both cookies are authentic, and either is enough
	id        store.ID  // alice's session
	anonymous [2]string // the answers of Handler and Require to a request without cookies
	session   codec.Session
}

func httpNewTarget(t testing.TB) *httpTarget {
	t.Helper()
	g := &httpTarget{world: httpNewWorld(t)}
	g.sessions = httpSessions(t, g.world, wafer.Config[string]{})
	s := g.sessions
	// The data is committed, so that the refresh token alone brings it back.
	// Both values contain characters that differ between the standard and the
	// URL-safe alphabet of base64.
	both := func(value string) bool { return strings.Contains(value, "-") && strings.Contains(value, "_") }
	for !both(g.good[httpSession]) || !both(g.good[httpRefresh][len(codec.RefreshPrefix):]) {
		g.good = httpJar{}
		g.good.in(s, func(w http.ResponseWriter, r *http.Request) {
			if err := errors.Join(s.Start(w, r, "alice", "data."), s.Commit(w, r, "data.")); err != nil {
				t.Fatal(err)
			}
		})
	}
	session, err := httpCookies(t, g.world.ring, httpRealm, httpSession).open(g.world.clock.Now(), g.good[httpSession])
	if err != nil {
		t.Fatal(err)
	}
	g.session, g.id = session, store.ID(session.ID)
	g.anonymous = g.responses(nil)
	if len(g.good[httpSession])%4 == 0 {
		t.Fatal("the session cookie has no trailing bits to test with: make the data a byte longer")
	}
	if !strings.HasPrefix(g.anonymous[0], "200") || !strings.HasPrefix(g.anonymous[1], "401") {
		t.Fatalf("without cookies: %q", g.anonymous)
	}
	return g
}

// responses sends header lines to a public and to a private page.
func (g *httpTarget) responses(lines []string) (responses [2]string) {
	public := g.sessions.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if session, err := g.sessions.Get(r.Context()); err == nil {
			fmt.Fprint(w, "hello ", session.Subject)
		} else if errors.Is(err, wafer.ErrNoSession) {
			fmt.Fprint(w, "hello")
		} else {
			fmt.Fprint(w, "sorry: ", err)
		}
	}))
	for i, h := range []http.Handler{public, g.sessions.Require(httpWho(g.sessions))} {
		responses[i] = httpDump(httpJar{}.do(h, func(r *http.Request) {
			if lines != nil {
				r.Header["Cookie"] = lines
			}
		}))
	}
	return responses
}

// refused fails unless the header lines are answered like a request without
// cookies, and an event reports why.
func (g *httpTarget) refused(t testing.TB, what string, lines []string, why ...any) {
	t.Helper()
	g.world.newEvents()
	g.world.store.newCalls()
	responses := g.responses(lines)
	for i, page := range []string{"public", "private"} {
		if responses[i] != g.anonymous[i] {
			t.Errorf("%s: the %s page answers %q, without cookies %q", what, page, responses[i], g.anonymous[i])
		}
	}
	events := g.world.newEvents()
	for _, want := range why {
		reported := slices.ContainsFunc(events, func(e wafer.Event) bool {
			if err, ok := want.(error); ok {
				return e.Kind == wafer.KindRefused && errors.Is(e.Err, err)
			}
			return e.Kind == wafer.KindRefused && e.Reason == want
		})
		if !reported {
			t.Errorf("%s: the observer got %v, want %v", what, events, want)
		}
	}
	if len(why) == 0 && len(events) != 0 {
		t.Errorf("%s: the observer got %v, want nothing", what, events)
	}
	for _, e := range events {
		if e.Kind != wafer.KindRefused {
			t.Errorf("%s: the observer got an event %q", what, e.Kind)
		}
	}
}

// accepted fails unless the header lines bring alice's session.
func (g *httpTarget) accepted(t testing.TB, what string, lines []string) {
	t.Helper()
	if responses := g.responses(lines); !strings.Contains(responses[0], "hello alice") || !strings.Contains(responses[1], "alice data. <nil>") {
		t.Errorf("%s: %q, want alice's session", what, responses)
	}
}

// httpCodec seals session cookies that no Sessions would seal.
type httpCodec struct{ *codec.Cookies }

func httpCookies(t testing.TB, ring *keyring.Ring, realm, name string) httpCodec {
	t.Helper()
	c, err := codec.NewCookies(ring, realm, name)
	if err != nil {
		t.Fatal(err)
	}
	return httpCodec{c}
}

func (c httpCodec) open(now time.Time, value string) (codec.Session, error) {
	s, _, err := c.Open(context.Background(), now, value)
	return s, err
}

func (c httpCodec) seal(t testing.TB, now time.Time, s codec.Session) string {
	t.Helper()
	data, err := codec.MarshalData("data.")
	if err != nil {
		t.Fatal(err)
	}
	value, err := c.Seal(now, &s, data)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// Each spoiled value is tried under both names. Alone, it is anonymous.
func TestBadInputSpoiledValues(t *testing.T) {
	g := httpNewTarget(t)
	for _, name := range []string{httpSession, httpRefresh} {
		good := g.good[name]
		g.accepted(t, "the good "+name, []string{name + "=" + good})
		prefix := ""
		if name == httpRefresh {
			prefix = codec.RefreshPrefix
		}
		raw, err := base64.RawURLEncoding.DecodeString(good[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		encode := func(b []byte) string { return prefix + base64.RawURLEncoding.EncodeToString(b) }
		edit := func(i int, change func(byte) byte) string {
			b := bytes.Clone(raw)
			b[i] = change(b[i])
			return encode(b)
		}
		keyAt := 1 // after the version
		if name == httpRefresh {
			keyAt = 0
		}
		spoiled := map[string]struct {
			value string
			why   error // nil for any
		}{
			"empty":                     {"", codec.ErrLength},
			"one character":             {"A", nil},
			"cut to half":               {good[:len(good)/2], nil},
			"a key id that no ring has": {edit(keyAt, func(b byte) byte { return ^b }), keyring.ErrUnknown},
			"1 MB":                      {strings.Repeat("A", 1<<20), codec.ErrLength},
			"1 MB behind it":            {good + strings.Repeat("A", 1<<20), codec.ErrLength},
			"twice":                     {good + good, nil},
			"padding":                   {good + "=", nil},
			"more padding":              {good + "==", nil},
			"standard alphabet":         {prefix + strings.NewReplacer("-", "+", "_", "/").Replace(good[len(prefix):]), codec.ErrEncoding},
			"quotes":                    {`"` + good + `"`, nil},
			"percent encoding":          {fmt.Sprintf("%%%02X", good[0]) + good[1:], nil},
			"a space in front":          {" " + good, nil},
			"a space inside":            {good[:20] + " " + good[20:], nil},
			"a tab inside":              {good[:20] + "\t" + good[20:], nil},
			"a newline inside":          {good[:20] + "\n" + good[20:], nil},
			"a newline for one":         {good[:20] + "\n" + good[21:], codec.ErrEncoding},
			"CRLF inside":               {good[:20] + "\r\n" + good[22:], codec.ErrEncoding},
			"NUL for one":               {good[:20] + "\x00" + good[21:], codec.ErrEncoding},
			"NUL behind":                {good + "\x00", nil},
			"high bytes":                {strings.Repeat("\xff", len(good)), nil},
			"a comma and more":          {good + ",x", nil},
			"upper case":                {strings.ToUpper(good), nil},
			"reversed":                  {func() string { b := []byte(good); slices.Reverse(b); return string(b) }(), nil},
		}
		for n := 1; n <= 4; n++ {
			spoiled[fmt.Sprint("cut by ", n)] = struct {
				value string
				why   error
			}{good[:len(good)-n], nil}
			spoiled[fmt.Sprint("extended by ", n)] = struct {
				value string
				why   error
			}{good + "AAAA"[:n], nil}
			spoiled[fmt.Sprint("extended in front by ", n)] = struct {
				value string
				why   error
			}{"AAAA"[:n] + good, nil}
		}
		if name == httpSession {
			for _, version := range []byte{0, 2, 0xff} {
				spoiled[fmt.Sprint("version ", version)] = struct {
					value string
					why   error
				}{edit(0, func(byte) byte { return version }), codec.ErrVersion}
			}
			spoiled["trailing bits"] = struct {
				value string
				why   error
			}{httpTrailingBits(good), codec.ErrEncoding}
		} else {
			spoiled["another prefix"] = struct {
				value string
				why   error
			}{"wfr2_" + good[len(prefix):], codec.ErrEncoding}
			spoiled["no prefix"] = struct {
				value string
				why   error
			}{good[len(prefix):], codec.ErrLength}
			spoiled["generation 0"] = struct {
				value string
				why   error
			}{edit(len(raw)-17, func(byte) byte { return 0 }), codec.ErrForged}
		}
		for what, c := range spoiled {
			why := []any{"session cookie not authentic"}
			if name == httpRefresh {
				why[0] = "refresh token not authentic"
			}
			if c.why != nil {
				why = append(why, c.why)
			}
			g.refused(t, name+": "+what, []string{name + "=" + c.value}, why...)
		}
	}
	g.accepted(t, "at the end", []string{g.good.header()})
}

// httpTrailingBits sets a bit of the last character that belongs to no byte.
func httpTrailingBits(value string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	last := strings.IndexByte(alphabet, value[len(value)-1])
	return value[:len(value)-1] + string(alphabet[last^1])
}

// Bits are sampled here; the tests of package codec flip every one.
func TestBadInputFlippedBits(t *testing.T) {
	g := httpNewTarget(t)
	for _, name := range []string{httpSession, httpRefresh} {
		good := g.good[name]
		prefix := map[string]string{httpSession: "", httpRefresh: codec.RefreshPrefix}[name]
		raw, err := base64.RawURLEncoding.DecodeString(good[len(prefix):])
		if err != nil {
			t.Fatal(err)
		}
		for i := range raw {
			b := bytes.Clone(raw)
			bit := rand.N(8)
			b[i] ^= 1 << bit
			value := prefix + base64.RawURLEncoding.EncodeToString(b)
			g.refused(t, fmt.Sprintf("%s with bit %d of byte %d flipped", name, bit, i), []string{name + "=" + value}, map[string]string{
				httpSession: "session cookie not authentic", httpRefresh: "refresh token not authentic",
			}[name])
		}
		for i := range 8 {
			b := []byte(good)
			b[rand.N(len(b))] ^= 1 << i
			// Such a flip may create a separator of cookies. The rest is then
			// another pair, or nothing.
			for page, response := range g.responses([]string{name + "=" + string(b)}) {
				if response != g.anonymous[page] {
					t.Errorf("%s as %q: %q", name, b, response)
				}
			}
		}
	}
}

// A value that is authentic in one place is junk in every other.
func TestBadInputSwapped(t *testing.T) {
	g := httpNewTarget(t)
	now, ring := g.world.clock.Now(), g.world.ring
	sealed := func(ring *keyring.Ring, realm, name string) string {
		return httpCookies(t, ring, realm, name).seal(t, now, g.session)
	}
	token := func(ring *keyring.Ring, instance codec.Instance, generation uint32) string {
		tokens, err := codec.NewRefreshTokens(ring, instance)
		if err != nil {
			t.Fatal(err)
		}
		text, err := tokens.Mint(now, codec.RefreshToken{Family: g.session.ID, Generation: generation})
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	g.accepted(t, "sealed in the right place", []string{httpSession + "=" + sealed(ring, httpRealm, httpSession)})
	g.accepted(t, "minted in the right place", []string{httpRefresh + "=" + token(ring, httpInstance, 1)})

	values, err := codec.NewValues(ring, codec.ValuesConfig{Realm: httpRealm, Lifetime: time.Hour, Now: g.world.clock.Now})
	if err != nil {
		t.Fatal(err)
	}
	// The bytes of a session, sealed as a value. An application must not be
	// able to make a session out of what it seals.
	value, err := values.Seal(httpSession, bytes.Repeat([]byte{1}, 200))
	if err != nil {
		t.Fatal(err)
	}
	commits, err := codec.NewCommits(ring, httpInstance)
	if err != nil {
		t.Fatal(err)
	}
	commit, err := commits.Seal(now, g.session.ID, bytes.Repeat([]byte{1}, 200))
	if err != nil {
		t.Fatal(err)
	}
	gorilla, err := codec.NewGorilla(ring, codec.GorillaConfig{Realm: httpRealm, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	gorillas, err := gorilla.Encode(httpSession, "alice")
	if err != nil {
		t.Fatal(err)
	}
	otherRing := httpRing(t)
	for what, c := range map[string]struct {
		name, value string
		why         error
	}{
		"the refresh token as the session":    {httpSession, g.good[httpRefresh], nil},
		"the session as the refresh token":    {httpRefresh, g.good[httpSession], codec.ErrLength},
		"a session under another name":        {httpSession, sealed(ring, httpRealm, "__Host-other"), codec.ErrForged},
		"a session under the refresh name":    {httpSession, sealed(ring, httpRealm, httpRefresh), codec.ErrForged},
		"a session of another realm":          {httpSession, sealed(ring, "shop.example/production", httpSession), codec.ErrForged},
		"a session of another ring":           {httpSession, sealed(otherRing, httpRealm, httpSession), keyring.ErrUnknown},
		"a value under the session's name":    {httpSession, value, codec.ErrForged},
		"a committed value":                   {httpSession, base64.RawURLEncoding.EncodeToString(commit), codec.ErrForged},
		"a gorilla cookie":                    {httpSession, gorillas, nil},
		"a refresh token of another realm":    {httpRefresh, token(ring, codec.Instance{Realm: "shop.example/production", SessionCookie: httpSession}, 1), codec.ErrForged},
		"a refresh token of another ring":     {httpRefresh, token(otherRing, httpInstance, 1), keyring.ErrUnknown},
		"a realm that begins the same":        {httpSession, sealed(ring, httpRealm+"x", httpSession), codec.ErrForged},
		"a realm and name cut elsewhere":      {httpSession, sealed(ring, httpRealm[:len(httpRealm)-1], httpSession), codec.ErrForged},
		"a refresh token of a longer realm":   {httpRefresh, token(ring, codec.Instance{Realm: httpRealm + "x", SessionCookie: httpSession}, 1), codec.ErrForged},
		"a refresh token of another instance": {httpRefresh, token(ring, codec.Instance{Realm: httpRealm, SessionCookie: "__Host-other"}, 1), codec.ErrForged},
		"a session as the value of a cookie":  {httpSession, httpSession + "=" + g.good[httpSession], nil},
	} {
		why := []any{"session cookie not authentic"}
		if c.name == httpRefresh {
			why[0] = "refresh token not authentic"
		}
		if c.why != nil {
			why = append(why, c.why)
		}
		g.refused(t, what, []string{c.name + "=" + c.value}, why...)
	}
	if got := g.world.family(t, g.id); got.State != store.Alive {
		t.Errorf("somebody's junk ended the family: %v", got.State)
	}
}

// These are authentic but no session. Each is refused for its own reason, which
// only the observer learns.
func TestBadInputAuthenticButNoSession(t *testing.T) {
	g := httpNewTarget(t)
	now := g.world.clock.Now()
	cookies := httpCookies(t, g.world.ring, httpRealm, httpSession)
	sealed := func(change func(*codec.Session)) []string {
		c := g.session
		change(&c)
		return []string{httpSession + "=" + cookies.seal(t, now, c)}
	}
	for what, c := range map[string]struct {
		change func(*codec.Session)
		why    string
	}{
		"past its access lifetime":          {func(c *codec.Session) { c.Access = now }, "past the access lifetime"},
		"past the configured one":           {func(c *codec.Session) { c.Issued, c.Access = now.Add(-5*time.Minute), now.Add(time.Hour) }, "past the access lifetime"},
		"past the idle deadline":            {func(c *codec.Session) { c.Idle = now }, "past the session's limits"},
		"past the absolute deadline":        {func(c *codec.Session) { c.Absolute = now }, "past the session's limits"},
		"from the future":                   {func(c *codec.Session) { c.Issued = now.Add(10*time.Second + time.Millisecond) }, "issued in the future"},
		"from far in the future":            {func(c *codec.Session) { c.Issued = time.UnixMilli(1<<48 - 1) }, "issued in the future"},
		"from before its family's last one": {func(c *codec.Session) { c.Position-- }, "expired"},
	} {
		g.refused(t, what, sealed(c.change), c.why)
	}
	g.accepted(t, "within the leeway", sealed(func(c *codec.Session) { c.Issued = now.Add(10 * time.Second) }))
	g.accepted(t, "a millisecond before its end", sealed(func(c *codec.Session) { c.Access = now.Add(time.Millisecond) }))

	// A position ahead of the store's log means that the store was rolled back.
	// That is an alarm; the client gets the same answer as for any other bad
	// cookie.
	g.world.newEvents()
	responses := g.responses(sealed(func(c *codec.Session) { c.Position = codec.MaxPosition }))
	if responses != g.anonymous {
		t.Errorf("ahead of the log: %q", responses)
	}
	if events := g.world.newEvents(); !slices.ContainsFunc(events, func(e wafer.Event) bool { return e.Kind == wafer.KindAlarm }) {
		t.Errorf("ahead of the log: the observer got %v, want an alarm", events)
	}

	tokens, err := codec.NewRefreshTokens(g.world.ring, httpInstance)
	if err != nil {
		t.Fatal(err)
	}
	token := func(id codec.ID, generation uint32) []string {
		text, err := tokens.Mint(now, codec.RefreshToken{Family: id, Generation: generation})
		if err != nil {
			t.Fatal(err)
		}
		return []string{httpRefresh + "=" + text}
	}
	g.refused(t, "a family that never was", token(codec.ID{1}, 1), "no such family")
	g.world.newEvents()
	if responses := g.responses(token(g.session.ID, 2)); responses != g.anonymous {
		t.Errorf("a generation that the store does not know yet: %q", responses)
	}
	if events := g.world.newEvents(); len(events) == 0 || events[0].Kind != wafer.KindAlarm || g.world.family(t, g.id).State != store.Alive {
		t.Errorf("a generation ahead: the observer got %v, the family is %v; want an alarm and a living family", events, g.world.family(t, g.id).State)
	}

	both := []string{g.good.header()}
	g.accepted(t, "before it is revoked", both)
	if _, err := g.sessions.Revoke(t.Context(), wafer.Revocation{Sessions: []store.ID{g.id}}); err != nil {
		t.Fatal(err)
	}
	g.refused(t, "revoked", both, "revoked", "family ended")
	g.refused(t, "revoked, the session cookie alone", []string{httpSession + "=" + g.good[httpSession]}, "revoked")
	g.refused(t, "revoked, the refresh token alone", []string{httpRefresh + "=" + g.good[httpRefresh]}, "family ended")
}

// Other content around the good cookie in the header.
func TestBadInputHeaders(t *testing.T) {
	g := httpNewTarget(t)
	good := httpSession + "=" + g.good[httpSession]
	bad := httpSession + "=bad"
	many := func(n int, pair string) string { return strings.TrimSuffix(strings.Repeat(pair+"; ", n), "; ") }
	for what, lines := range map[string][]string{
		"alone":                           {good},
		"a bad one first":                 {bad + "; " + good},
		"three bad ones first":            {many(3, bad) + "; " + good},
		"a bad one behind":                {good + "; " + bad},
		"many bad ones behind":            {good + "; " + many(50, bad)},
		"empty ones of the name first":    {httpSession + "=; " + httpSession + "; " + good},
		"on the second line":              {"a=b", good},
		"bad ones on other lines":         {bad, bad, bad, good},
		"3,000 pairs, then it":            {many(3000, "a=b") + "; " + good},
		"it, then 3,000 pairs":            {good + "; " + many(3000, "a=b")},
		"3,000 lines, then it":            append(slices.Repeat([]string{"a=b"}, 3000), good),
		"names that are empty":            {"=x; =; ;; = ; " + good + ";;"},
		"no space between pairs":          {"a=b;" + good + ";c=d"},
		"spaces and tabs around":          {" \t " + good + " \t ; a=b"},
		"NULs in other pairs":             {"a\x00b=c\x00d; \x00; " + good},
		"quotes in other pairs":           {`a="b; ` + good + `; c="`},
		"names that begin or end like it": {"__Host-sessio=x; __Host-session2=x; x__Host-session=x; " + good},
		"an old-style header":             {`$Version="1"; ` + good + `; $Path="/"`},
		"empty lines":                     {"", "", good, ""},
		"a pair of a megabyte":            {"a=" + strings.Repeat("x", 1<<20) + "; " + good},
	} {
		g.accepted(t, what, lines)
	}
	// A bounded number of duplicates is tried.
	notAuthentic := "session cookie not authentic"
	for what, c := range map[string]struct {
		lines []string
		why   []any
	}{
		"five bad ones first":             {[]string{many(5, bad) + "; " + good}, []any{notAuthentic}},
		"four bad ones first":             {[]string{many(4, bad) + "; " + good}, []any{notAuthentic}},
		"five bad ones on lines":          {append(slices.Repeat([]string{bad}, 5), good), []any{notAuthentic}},
		"3,000 bad ones":                  {[]string{many(3000, bad)}, []any{notAuthentic}},
		"no cookies, an empty header":     {[]string{""}, nil},
		"no lines":                        {[]string{}, nil},
		"separators":                      {[]string{";;;; ; = ; =;"}, nil},
		"3,000 pairs without it":          {[]string{many(3000, "a=b")}, nil},
		"the name in another case":        {[]string{strings.ToLower(good[:14]) + good[14:]}, nil},
		"a space before the equals sign":  {[]string{httpSession + " =" + g.good[httpSession]}, nil},
		"the name, quoted":                {[]string{`"` + httpSession + `"=` + g.good[httpSession]}, nil},
		"the name with a NUL":             {[]string{httpSession + "\x00=" + g.good[httpSession]}, nil},
		"the value alone":                 {[]string{g.good[httpSession]}, nil},
		"the value without a name":        {[]string{"=" + g.good[httpSession]}, nil},
		"commas for semicolons":           {[]string{"a=b, " + good}, nil},
		"the name without a value":        {[]string{httpSession}, []any{notAuthentic, codec.ErrLength}},
		"a quoted value":                  {[]string{httpSession + `="` + g.good[httpSession] + `"`}, []any{notAuthentic}},
		"a newline behind the value, cut": {[]string{good[:len(good)-1] + "\n"}, []any{notAuthentic}},
	} {
		g.refused(t, what, c.lines, c.why...)
	}
	g.world.newEvents()
	g.responses([]string{many(3000, bad)})
	if events := g.world.newEvents(); len(events) != 2*4 {
		t.Errorf("of 3,000 cookies of one name %d were tried in two requests, want 4 in each", len(events))
	}
}

// Over a real server the answers are the same, byte for byte except the date.
func TestBadInputThroughAServer(t *testing.T) {
	g := httpNewTarget(t)
	server := httptest.NewTLSServer(g.sessions.Require(httpWho(g.sessions)))
	defer server.Close()
	response := func(lines ...string) string {
		r, err := http.NewRequest(http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header["Cookie"] = lines
		resp, err := server.Client().Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		resp.Header.Del("Date")
		var body bytes.Buffer
		if _, err := body.ReadFrom(resp.Body); err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintln(resp.Status, resp.Header, body.String())
	}
	anonymous := response()
	for _, lines := range [][]string{
		{httpSession + "=junk"}, {httpRefresh + "=junk"}, {(httpSession + "=" + g.good[httpSession])[:100]},
		{strings.Repeat("a=b; ", 3000)}, {strings.Repeat(httpSession+"=x; ", 3000)}, {httpSession + "=" + strings.Repeat("A", 500_000)},
	} {
		if got := response(lines...); got != anonymous {
			t.Errorf("%.60q answers %q, no cookies %q", lines, got, anonymous)
		}
	}
	if got := response(g.good.header()); !strings.HasPrefix(got, "200") || !strings.Contains(got, "alice data.") {
		t.Errorf("the good cookies: %q", got)
	}
}

// Cookies of two families in one jar.
func TestBadInputTwoFamilies(t *testing.T) {
	g := httpNewTarget(t)
	bob := httpLogin(t, g.sessions, "bob", "his")
	mixed := httpJar{httpSession: g.good[httpSession], httpRefresh: bob[httpRefresh]}
	g.refused(t, "cookies of two living sessions", []string{mixed.header()}, "cookies of two living sessions")
	g.accepted(t, "alice did not suffer", []string{g.good.header()})
	httpWant(t, "nor did bob", g.sessions, bob.clone(), "bob", "his")

	// A forged refresh token beside a good session cookie changes nothing,
	// whether it names no family or another one.
	for what, value := range map[string]string{
		"junk": "junk", "empty": "", "forged": codec.RefreshPrefix + strings.Repeat("A", codec.RefreshSize-len(codec.RefreshPrefix)),
		"bob's, spoiled": bob[httpRefresh][:len(bob[httpRefresh])-4] + "AAAA",
	} {
		g.accepted(t, "a good cookie and a bad token: "+what, []string{httpSession + "=" + g.good[httpSession] + "; " + httpRefresh + "=" + value})
	}
	// Start and End end both.
	fromMixed := maps.Clone(mixed)
	fromMixed.in(g.sessions, func(w http.ResponseWriter, r *http.Request) {
		if err := g.sessions.End(w, r); err != nil {
			t.Error(err)
		}
	})
	if len(fromMixed) != 0 {
		t.Errorf("End left %d cookies", len(fromMixed))
	}
	g.refused(t, "alice after End", []string{g.good.header()}, "family ended")
	httpWantError(t, "bob after End", g.sessions, bob, wafer.ErrNoSession)
}
