package gate

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

const (
	junkCookie  = "refused 0: session cookie not authentic: codec: not in the format's encoding"
	shortCookie = "refused 0: session cookie not authentic: codec: length out of range"
	forgedToken = "refused 0: refresh token not authentic: codec: not authentic"
	shortToken  = "refused 0: refresh token not authentic: codec: length out of range"
	pastAccess  = "refused 1: past the access lifetime"
	pastLimits  = "refused 1: past the session's limits"
	inTheFuture = "refused 1: issued in the future"
)

// verdict is what Judge should make of a request.
type verdict struct {
	finding  Finding
	err      error
	cookie   codec.ID // of the session cookie that counts; zero if none does
	token    codec.ID // of the refresh token that was authenticated
	decided  int      // how often the node decided about a cookie
	families int      // how often the store was asked about a family
	reports  []string
}

// wantVerdict judges a request.
func (w *world) wantVerdict(want verdict, session, refresh []string) *Credentials {
	w.t.Helper()
	c := new(Credentials)
	finding, err := w.Judge(w.t.Context(), w.now, jar(session, refresh), c)
	w.wantError(err, want.err)
	if err == nil && finding != want.finding {
		w.t.Errorf("finding %v, want %v", finding, want.finding)
	}
	if c.HasCookie != (want.cookie != codec.ID{}) || c.HasCookie && (c.Cookie.ID != want.cookie || string(c.Content.Data()) != "data") {
		w.t.Errorf("cookie: %v, of %d, with %q, want of %d", c.HasCookie, c.Cookie.ID[0], c.Content.Data(), want.cookie[0])
	}
	if c.HasToken != (want.token != codec.ID{}) || c.HasToken && c.Token != (codec.RefreshToken{Family: want.token, Generation: 3}) {
		w.t.Errorf("token: %v, of %d, want of %d", c.HasToken, c.Token.Family[0], want.token[0])
	}
	if len(w.node.decisions) != want.decided || len(w.node.families) != want.families {
		w.t.Errorf("%d decisions and %d families were asked for, want %d and %d", len(w.node.decisions), len(w.node.families), want.decided, want.families)
	}
	w.node.decisions, w.node.families = nil, nil
	w.wantReports(want.reports...)
	return c
}

// A request without an authentic credential is anonymous. The node is not asked.
func TestPromise5_JunkIsAnonymous(t *testing.T) {
	w := newWorld(t)
	other := newWorldOver(t, staticRing(t, "a5"))
	elsewhere := newWorld(t)
	elsewhere.Cookies = must(codec.NewCookies(w.Ring, "shop.example/other", "__Host-session"))(t)
	elsewhere.RefreshTokens = must(codec.NewRefreshTokens(w.Ring, codec.Instance{Realm: "shop.example/other", SessionCookie: "__Host-session"}))(t)
	w.node.err = errors.New("the store is down")
	const unknown = "not authentic: keyring: unknown key id"
	for name, row := range map[string]struct {
		session, refresh []string
		reports          []string
	}{
		"nothing":                 {},
		"junk":                    {[]string{"!"}, nil, []string{junkCookie}},
		"an empty cookie":         {[]string{""}, nil, []string{shortCookie}},
		"a junk token":            {nil, []string{"!"}, []string{shortToken}},
		"a forged token":          {nil, []string{forged(w.token(a))}, []string{forgedToken}},
		"junk of both":            {[]string{"!"}, []string{"!"}, []string{junkCookie, shortToken}},
		"each in the other place": {[]string{w.token(a)}, []string{w.cookie(a)}, []string{shortCookie, shortToken}},
		"under another ring":      {[]string{other.cookie(a)}, []string{other.token(a)}, []string{"refused 0: session cookie " + unknown, "refused 0: refresh token " + unknown}},
		"of another realm":        {[]string{elsewhere.cookie(a)}, []string{elsewhere.token(a)}, []string{"refused 0: session cookie not authentic: codec: not authentic", forgedToken}},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.wantVerdict(verdict{finding: Anonymous, reports: row.reports}, row.session, row.refresh)
		})
	}
}

// A good session cookie is judged by the node alone. A refresh token of its own
// family changes nothing, so it is not even authenticated.
func TestGoodCookie(t *testing.T) {
	w := newWorld(t)
	for name, row := range map[string]struct {
		refresh []string
		token   codec.ID
		reports []string
	}{
		"alone":                         {},
		"with its token":                {refresh: []string{w.token(a)}},
		"with its token, forged":        {refresh: []string{forged(w.token(a))}},
		"with two of its own":           {refresh: []string{w.token(a), forged(w.token(a))}},
		"with a junk token":             {refresh: []string{"!"}, reports: []string{shortToken}},
		"with another's, forged":        {refresh: []string{forged(w.token(b))}, reports: []string{forgedToken}},
		"with its own and junk":         {refresh: []string{w.token(a), "!"}, token: a},
		"with junk before its own":      {refresh: []string{"!", w.token(a)}, token: a, reports: []string{shortToken}},
		"with another's forged, before": {refresh: []string{forged(w.token(b)), w.token(a)}, token: a, reports: []string{forgedToken}},
	} {
		t.Run(name, func(t *testing.T) {
			w.t = t
			w.wantVerdict(verdict{finding: Valid, cookie: a, token: row.token, decided: 1, reports: row.reports}, []string{w.cookie(a)}, row.refresh)
		})
	}
}

// The node decides with what the cookie says, as of the time of the request.
func TestWhatTheNodeIsAsked(t *testing.T) {
	w := newWorld(t)
	if found, err := w.Judge(t.Context(), w.now, jar([]string{w.cookie(a)}, nil), new(Credentials)); found != Valid || err != nil {
		t.Fatal(found, err)
	}
	want := decision{w.now, store.ID(a), "alice", 100}
	if len(w.node.decisions) != 1 || w.node.decisions[0] != want {
		t.Errorf("asked %v, want %v", w.node.decisions, want)
	}
}

// A cookie ends at the earliest of its limits, and the refresh token decides
// then. The store is not asked.
func TestPromise2_TimesOfACookie(t *testing.T) {
	const ms = time.Millisecond
	for name, row := range map[string]struct {
		now    time.Duration // since the cookie was issued
		access time.Duration // as it is configured now
		change func(*codec.Session)
		reason string // "" if the cookie is good
	}{
		"when issued":                    {now: 0},
		"just before the access is over": {now: access - ms},
		"when the access is over":        {now: access, reason: pastAccess},
		"long after":                     {now: 29 * time.Minute, reason: pastAccess},
		"the access was shortened":       {now: time.Minute, access: time.Minute, reason: pastAccess},
		"not yet over, as shortened":     {now: time.Minute - ms, access: time.Minute},
		"the access was lengthened":      {now: access, access: time.Hour, reason: pastAccess},
		"at the idle deadline":           {now: 30 * time.Minute, reason: pastLimits},
		"an early idle deadline":         {now: time.Minute, change: func(s *codec.Session) { s.Idle = begin.Add(time.Minute) }, reason: pastLimits},
		"before an early idle deadline":  {now: time.Minute - ms, change: func(s *codec.Session) { s.Idle = begin.Add(time.Minute) }},
		"an early absolute deadline":     {now: time.Minute, change: func(s *codec.Session) { s.Absolute = begin.Add(time.Minute) }, reason: pastLimits},
		"before the absolute deadline":   {now: time.Minute - ms, change: func(s *codec.Session) { s.Absolute = begin.Add(time.Minute) }},
		"within the leeway":              {now: -leeway},
		"beyond the leeway":              {now: -leeway - ms, reason: inTheFuture},
		"an expiry has no leeway":        {now: access + ms, reason: pastAccess},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.now = begin.Add(row.now)
			if row.access != 0 {
				w.Access = row.access
			}
			if row.change == nil {
				row.change = func(*codec.Session) {}
			}
			session := []string{w.cookie(a, row.change)}
			if row.reason == "" {
				w.wantVerdict(verdict{finding: Valid, cookie: a, decided: 1}, session, []string{w.token(a)})
				return
			}
			reports := []string{row.reason}
			w.wantVerdict(verdict{finding: Refreshable, cookie: a, token: a, reports: reports}, session, []string{w.token(a)})
			w.wantVerdict(verdict{finding: Anonymous, cookie: a, reports: reports}, session, nil)
			w.wantVerdict(verdict{finding: Anonymous, cookie: a, reports: append(reports, forgedToken)}, session, []string{forged(w.token(a))})
		})
	}
}

// Each verdict of the node has its finding and its report. A refresh token
// decides where there is one, but not in an outage.
func TestPromise2_Verdicts(t *testing.T) {
	down := errors.New("down")
	for name, row := range map[string]struct {
		verdict revocation.Verdict
		err     error
		report  string
	}{
		"revoked":          {revocation.Revoked, nil, "refused 1: revoked"},
		"below the floor":  {revocation.Expired, nil, "refused 1: expired"},
		"unconfirmed":      {revocation.Unconfirmed, nil, "refused 1: unconfirmed"},
		"ahead of the log": {revocation.Ahead, nil, "alarm 1 at 100: a cookie is ahead of the store's log: the store went back in time"},
		"an outage":        {revocation.Good, down, "unavailable 1"},
		"a hang-up":        {revocation.Good, context.Canceled, "unavailable 1"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.node.verdict, w.node.err = row.verdict, row.err
			session, reports := []string{w.cookie(a)}, []string{row.report}
			if row.err != nil {
				want := verdict{err: sentinel.ErrUnavailable, cookie: a, decided: 1, reports: reports}
				w.wantVerdict(want, session, nil)
				w.wantVerdict(want, session, []string{w.token(a)})
				return
			}
			w.wantVerdict(verdict{finding: Anonymous, cookie: a, decided: 1, reports: reports}, session, nil)
			w.wantVerdict(verdict{finding: Refreshable, cookie: a, token: a, decided: 1, reports: reports}, session, []string{w.token(a)})
		})
	}
}

// A refresh token without a session cookie that opens decides alone. No store is
// asked here, so an outage does not matter.
func TestOnlyARefreshToken(t *testing.T) {
	w := newWorld(t)
	w.node.err = errors.New("down")
	w.wantVerdict(verdict{finding: Refreshable, token: a}, nil, []string{w.token(a)})
	w.wantVerdict(verdict{finding: Refreshable, token: a, reports: []string{junkCookie}}, []string{"!"}, []string{w.token(a)})
	w.wantVerdict(verdict{finding: Refreshable, token: a, reports: []string{shortToken, forgedToken}}, nil, []string{"!", forged(w.token(b)), w.token(a)})
}

// A request may bring cookies of two families. While the session cookie's family
// lives, to pick either would be a silent change of user. A late answer of a dead
// family does not count.
func TestPromise2_CookiesOfTwoFamilies(t *testing.T) {
	past := begin.Add(30 * time.Minute)
	family := func(state store.State, now time.Time) store.Snapshot {
		return store.Snapshot{State: state, Now: now, Family: store.Family{
			ID: store.ID(a), Started: begin, Issued: begin, Idle: 30 * time.Minute, Absolute: 12 * time.Hour,
		}}
	}
	mixed := verdict{finding: Anonymous, cookie: a, token: b, families: 1, reports: []string{"refused 2: " + ReasonMixed}}
	late := verdict{finding: Refreshable, token: b, families: 1}
	for name, row := range map[string]struct {
		family store.Snapshot
		err    error
		want   verdict
	}{
		"alive":           {family(store.Alive, begin), nil, mixed},
		"alive, just so":  {family(store.Alive, past.Add(-1)), nil, mixed},
		"past its limits": {family(store.Alive, past), nil, late},
		"ended":           {family(store.Ended, begin), nil, late},
		"cut off":         {family(store.CutOff, begin), nil, late},
		"absent":          {store.Snapshot{Now: begin}, nil, late},
		"an outage":       {store.Snapshot{}, errors.New("down"), verdict{err: sentinel.ErrUnavailable, cookie: a, token: b, families: 1, reports: []string{"unavailable 1"}}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.node.family, w.node.err = row.family, row.err
			w.wantVerdict(row.want, []string{w.cookie(a)}, []string{w.token(b)})
			w.now = begin.Add(access) // the cookie's lifetime changes nothing
			w.wantVerdict(row.want, []string{w.cookie(a)}, []string{w.token(b)})
			// The first token that is authentic counts.
			w.wantVerdict(row.want, []string{w.cookie(a)}, []string{w.token(b), w.token(a)})
		})
	}
	// The family that is asked about is the cookie's.
	w := newWorld(t)
	w.node.family = family(store.Alive, begin)
	if _, err := w.Judge(t.Context(), w.now, jar([]string{w.cookie(a)}, []string{w.token(b)}), new(Credentials)); err != nil || len(w.node.families) != 1 || w.node.families[0] != store.ID(a) {
		t.Errorf("asked about %v, %v, want the cookie's family", w.node.families, err)
	}
}

// The first of several cookies of one name that opens counts. A bounded number
// is tried.
func TestPromise8_SeveralCookiesOfOneName(t *testing.T) {
	w := newWorld(t)
	w.now = begin.Add(time.Minute)
	junk := []string{"!", "!", "!", "!"}
	reports := []string{junkCookie, junkCookie, junkCookie, junkCookie}
	tokens := []string{shortToken, shortToken, shortToken, shortToken}
	for before := range MaxDuplicates + 1 {
		n := min(before, MaxDuplicates)
		want := verdict{finding: Valid, cookie: a, decided: 1, reports: reports[:n]}
		if before == MaxDuplicates {
			want = verdict{finding: Anonymous, reports: reports}
		}
		w.wantVerdict(want, append(junk[:before:before], w.cookie(a)), nil)

		want = verdict{finding: Refreshable, token: a, reports: tokens[:n]}
		if before == MaxDuplicates {
			want = verdict{finding: Anonymous, reports: tokens}
		}
		w.wantVerdict(want, nil, append(junk[:before:before], w.token(a)))
	}
	w.wantVerdict(verdict{finding: Valid, cookie: b, decided: 1}, []string{w.cookie(b), w.cookie(a)}, nil)
}
