package main

import (
	"crypto/rand"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// inspect runs inspect with ring, realm and store, and returns its report.
func (s *shop) inspect(want int, stdin string, more ...string) report {
	s.t.Helper()
	args := []string{"inspect", "--json", "--ring", s.ringPath, "--realm", shopRealm}
	r := s.command(want, stdin, with(with(args, s.store()...), more...)...)
	if want == exitUsage || r.code == exitUsage {
		return report{}
	}
	plain := s.command(want, stdin, with(with(args, s.store()...), append(more, "--json=false")...)...)
	got := parse[report](s.t, r)
	contains(s.t, plain.out, "format", got.Format)
	if len(got.Reasons) > 0 {
		contains(s.t, plain.out, "refused", got.Reasons[0].Code)
	}
	if got.Refused != (want == exitNo) || got.Refused != (len(got.Reasons) > 0) {
		s.t.Errorf("exit code %d, and %+v", want, got)
	}
	return got
}

// refused inspects a credential that would be refused for these reasons.
func (s *shop) refused(stdin string, codes []string, more ...string) report {
	s.t.Helper()
	got := s.inspect(exitNo, stdin, more...)
	var found []string
	for _, r := range got.Reasons {
		found = append(found, r.Code)
		if r.Why == "" {
			s.t.Errorf("%s without a why", r.Code)
		}
	}
	if !slices.Equal(found, codes) {
		s.t.Errorf("refused for %q: want %q", found, codes)
	}
	return got
}

func TestInspectCookie(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	h := s.open(anna)
	for name, input := range map[string]string{
		"alone":                   anna.session,
		"with a line end":         anna.session + "\r\n",
		"a pair":                  "__Host-session=" + anna.session,
		"a Cookie header":         "Cookie: " + anna.header() + "\n",
		"a Cookie header's value": anna.header(),
		"a Set-Cookie header":     "set-cookie: __Host-session=" + anna.session + "; Path=/; Max-Age=1800; HttpOnly; Secure; SameSite=Lax",
		"a Set-Cookie's value":    "__Host-session=" + anna.session + "; Path=/; HttpOnly",
	} {
		t.Run(name, func(t *testing.T) {
			got := s.inspect(exitDone, input)
			if got.Format != formatCookie || !got.Authentic || got.Session != fmt.Sprintf("%x", h.ID) || got.Subject != "anna" ||
				got.Generation != 1 || uint64(*got.Position) != h.Position || !got.Issued.Equal(h.Issued) || !got.Access.Equal(h.Access) ||
				!got.Idle.Equal(h.Idle) || !got.Absolute.Equal(h.Absolute) || !got.Started.Equal(h.Started) || !got.Authenticated.Equal(h.Authenticated) ||
				got.Bytes != len(anna.session) || *got.DataBytes == 0 || got.Data != nil {
				t.Errorf("%+v", got)
			}
			primary, _ := s.ring.Primary(time.Now())
			if got.Key == nil || got.Key.ID != primary.ID().String() || got.Key.State != "primary" || got.Store == nil || got.Store.Family != "alive" {
				t.Errorf("key %+v, store %+v", got.Key, got.Store)
			}
		})
	}
	s.secrets = append(s.secrets, "a very private pear")
	s.inspect(exitDone, anna.session)
	s.secrets = s.secrets[:len(s.secrets)-1]
	got := s.inspect(exitDone, anna.session, "--reveal")
	if got.Data == nil || *got.Data != `{1: ["a very private pear"]}` {
		t.Errorf("%+v", got.Data)
	}
	// Without the store that part is not judged, and a note says so.
	r := s.command(exitDone, anna.session, "inspect", "--ring", s.ringPath, "--realm", shopRealm)
	contains(t, r.out, "not judged: that takes --store")
}

// Faults of the cookie itself.
func TestInspectCookieNotAuthentic(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	not := []string{"not authentic"}
	s.refused(anna.session, not, "--realm", "shop.example/production")
	s.refused(anna.session, not, "--name", "__Host-other")
	got := s.refused(flip(t, anna.session, -1), not)
	if got.Format != formatSealed || got.Authentic || got.Subject != "" || got.Key == nil {
		t.Errorf("%+v", got)
	}
	s.refused(anna.session[:len(anna.session)-2], not)
	s.refused(anna.session[:40], not) // too short
	s.refused(anna.session[:3], not)
	s.refused(flip(t, anna.session, 1), []string{"key unknown"})
	s.refused(strings.Repeat(anna.session, 20), not)        // too long
	s.refused(flip(t, anna.session, 0), []string{"format"}) // another version
	// A cookie of another shop with the same name and realm.
	other := openShop(t, 0)
	b := other.login("anna")
	s.secret(b.session)
	s.refused(b.session, []string{"key unknown"})
}

func TestInspectCookieKeys(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	key, err := s.ring.Primary(time.Now())
	if err != nil {
		t.Fatal(err)
	}
	// Long after the key's successor took over. The session is over as well,
	// which can be seen since the key still opens here.
	s.now = time.Now().Add(keyring.DefaultSeals + keyring.DefaultLife + time.Hour)
	got := s.refused(anna.session, []string{"key expired", "past idle", "past absolute"})
	if got.Key.State != "expired" || got.Subject != "anna" {
		t.Errorf("%+v", got)
	}
	s.refused(anna.refresh, []string{"key expired", string(refresh.ReasonSeal)}) // the key sealed the row, too
	s.now = time.Time{}
	if _, err := s.ring.Revoke(t.Context(), time.Now(), key.ID(), "it leaked"); err != nil {
		t.Fatal(err)
	}
	got = s.refused(anna.session, []string{"key revoked"})
	contains(t, got.Reasons[0].Why, "it leaked")
	if got.Authentic || got.Subject != "" {
		t.Errorf("what somebody with the key may have made is believed: %+v", got)
	}
	s.refused(anna.refresh, []string{"key revoked"})
}

func TestInspectCookieTimes(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	h := s.open(anna)
	for after, want := range map[time.Duration][]string{
		-11 * time.Second:            {"issued in the future"},
		-9 * time.Second:             nil,
		time.Minute:                  nil,
		h.Access.Sub(h.Issued) - 1:   nil,
		h.Access.Sub(h.Issued):       {"past access"},
		h.Idle.Sub(h.Issued) - 1:     {"past access"},
		h.Idle.Sub(h.Issued):         {"past idle"},
		h.Absolute.Sub(h.Issued) - 1: {"past idle"},
		h.Absolute.Sub(h.Issued):     {"past idle", "past absolute"},
	} {
		s.now = h.Issued.Add(after)
		if want == nil {
			s.inspect(exitDone, anna.session)
		} else {
			s.refused(anna.session, want)
		}
	}
	// A shorter access lifetime, configured now.
	s.now = h.Issued.Add(2 * time.Minute)
	s.refused(anna.session, []string{"past access"}, "--access", "1m")
	s.inspect(exitDone, anna.session, "--access", "3m")
	// The absolute limit alone.
	h.Absolute = h.Issued.Add(time.Minute)
	s.refused(s.seal(h), []string{"past absolute"})
}

// Revocations in the store.
func TestInspectCookieRevoked(t *testing.T) {
	s := openShop(t, 0)
	revoke := func(r store.Revocation) store.Position {
		t.Helper()
		snap, err := s.db.Revoke(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return snap.Entry
	}
	anna := s.login("anna")
	h := s.open(anna)

	before := *anna
	s.request(anna, func(w http.ResponseWriter, r *http.Request) error { return s.sessions.Commit(w, r, cart{}) })
	s.refused(before.session, []string{"superseded"})
	s.inspect(exitDone, anna.session)

	h.Position = uint64(s.open(anna).Position) + 1
	s.refused(s.seal(h), []string{"ahead of the store"})

	at := revoke(store.Revocation{Sessions: []store.ID{store.ID(h.ID)}})
	got := s.refused(anna.session, []string{"session ended"})
	contains(t, got.Reasons[0].Why, fmt.Sprint(at))
	if got.Store.Family != "ended" {
		t.Errorf("%+v", got.Store)
	}
	bob := s.login("bob")
	revoke(store.Revocation{Subjects: []string{"bob"}})
	if got = s.refused(bob.session, []string{"subject revoked"}); got.Store.Family != "cut off" {
		t.Errorf("%+v", got.Store)
	}
	carl := s.login("carl")
	revoke(store.Revocation{Everyone: true})
	s.refused(carl.session, []string{"everyone revoked"})

	dora := s.login("dora")
	s.raiseFloor()
	s.refused(dora.session, []string{"below the floor"})
}

// raiseFloor drops everything in the log, as the store does once it is old.
func (s *shop) raiseFloor() {
	s.t.Helper()
	at := store.Position(0)
	for i := range 2 {
		snap, err := s.db.Revoke(s.t.Context(), store.Revocation{Subjects: []string{fmt.Sprint("x", i)}})
		if err != nil {
			s.t.Fatal(err)
		}
		at = snap.Entry - 1
	}
	s.execute("UPDATE log SET floor = ?, floor_id = (SELECT id FROM entries WHERE position = ?)", int64(at), int64(at))
	s.execute("DELETE FROM entries WHERE position <= ?", int64(at))
}

func TestInspectRefreshToken(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	first := anna.refresh
	got := s.inspect(exitDone, first)
	if got.Format != formatRefresh || !got.Authentic || got.Session != fmt.Sprintf("%x", s.open(anna).ID) || got.Generation != 1 || got.Subject != "anna" || got.Store.Generation != 1 {
		t.Errorf("%+v", got)
	}
	s.inspect(exitDone, "Cookie: "+anna.header(), "--name", "__Host-refresh")
	not := []string{"not authentic"}
	s.refused(first, not, "--realm", "shop.example/production")
	s.refused(first, not, "--session-cookie", "__Host-staff")
	s.refused(first[:len(first)-1], not)
	s.refused(codec.RefreshPrefix+flip(t, first[len(codec.RefreshPrefix):], -1), not)
	s.refused(codec.RefreshPrefix+flip(t, first[len(codec.RefreshPrefix):], 8), not)
	s.refused(codec.RefreshPrefix, not)
	s.refused(codec.RefreshPrefix+flip(t, first[len(codec.RefreshPrefix):], 0), []string{"key unknown"})

	mint := func(family store.ID, generation uint32, copied uint16) string {
		t.Helper()
		tokens, err := codec.NewRefreshTokens(s.ring, shopInstance)
		if err != nil {
			t.Fatal(err)
		}
		text, err := tokens.Mint(time.Now(), codec.RefreshToken{Family: codec.ID(family), Generation: generation, Copy: copied})
		if err != nil {
			t.Fatal(err)
		}
		s.secret(text)
		return text
	}
	id := store.ID(s.open(anna).ID)
	s.refused(mint(id, 2, 0), []string{"ahead of the store"})
	s.refused(mint(id, 1, 1), []string{"ahead of the store"})
	for g := range uint32(2) {
		if snap, err := s.db.Advance(t.Context(), store.Advance{ID: id, Generation: g + 1}); err != nil || snap.Outcome != store.Written {
			t.Fatal(snap.Outcome, err)
		}
	}
	s.refused(first, []string{"a successor was used"})
	s.refused(mint(id, 2, 1), []string{"a successor was used"}) // another than the one that was used
	got = s.inspect(exitDone, mint(id, 2, 0))                   // within the grace
	contains(t, strings.Join(got.Notes, "; "), "(issue), at the door of a browser")
	if snap, err := s.db.Reissue(t.Context(), store.Reissue{ID: id, Generation: 2}); err != nil || snap.Outcome != store.Written {
		t.Fatal(snap.Outcome, err)
	}
	if got := s.inspect(exitDone, mint(id, 3, 1)); got.Generation != 3 || got.Copy != 1 || got.Store.Generation != 3 || got.Store.Copy != 1 {
		t.Errorf("%+v, in the store %+v; want generation 3, copy 1 in both", got, got.Store)
	}
	if got := s.inspect(exitDone, mint(id, 3, 0)); got.Copy != 0 || got.Store.Copy != 1 {
		t.Errorf("%+v, in the store %+v; want copy 0, and 1", got, got.Store)
	}

	var nobody store.ID
	rand.Read(nobody[:])
	s.refused(mint(nobody, 1, 0), []string{"no such family"})
	if _, err := s.db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{id}}); err != nil {
		t.Fatal(err)
	}
	s.refused(mint(id, 3, 0), []string{"family ended"})
	bob := s.login("bob")
	if _, err := s.db.Revoke(t.Context(), store.Revocation{Subjects: []string{"bob"}}); err != nil {
		t.Fatal(err)
	}
	s.refused(bob.refresh, []string{"subject or everyone revoked"})
	pair, err := s.sessions.Issue(t.Context(), "carl")
	if err != nil {
		t.Fatal(err)
	}
	s.secret(pair.RefreshToken(), pair.AccessToken())
	contains(t, strings.Join(s.inspect(exitDone, pair.RefreshToken()).Notes, "; "), "native client")
	s.inspect(exitUsage, bob.refresh, "--access", "1m", "--grace", "1m")
}

// rewrite changes one column of a session's row, as somebody who can write to the
// store would.
func (s *shop) rewrite(b *browser, column string, value any) {
	s.t.Helper()
	id := s.id(b)
	s.execute("UPDATE families SET "+column+" = ? WHERE id = ?", value, id[:])
}

// The report shows what the session's row says and whether it is as it was sealed,
// beside every credential of the session.
func TestInspectShowsTheRow(t *testing.T) {
	s := openShop(t, 0)
	const name = "https://idp.example session 4711"
	b := s.login("anna", wafer.Names(name), wafer.Actor("support:carol"), wafer.Methods("pwd", "otp"), wafer.Level("aal2"))
	s.secrets = append(s.secrets, name)
	hash, err := store.NameOf(name)
	if err != nil {
		t.Fatal(err)
	}
	args := with([]string{"inspect", "--ring", s.ringPath, "--realm", shopRealm}, s.store()...)
	for _, text := range []string{b.session, b.refresh} {
		got := s.inspect(exitDone, text).Store
		if got.Seal != sealVerified || got.Actor != "support:carol" || got.Methods != "pwd otp" || got.Level != "aal2" ||
			!slices.Equal(got.Names, []string{hash.String()}) || got.Bound != "" || got.Counts || got.First != "" || got.Successor != "" {
			t.Errorf("%+v", got)
		}
		contains(t, s.command(exitDone, text, args...).out, "its row is as it was sealed", "actor: support:carol", "methods: pwd otp", "level: aal2", hash.String())
	}
	// Fields that the seal does not cover are shown all the same.
	first, successor := store.ID{4, 5}, store.ID{6, 7}
	s.rewrite(b, "first", first[:])
	s.rewrite(b, "successor", successor[:])
	if got := s.inspect(exitDone, b.refresh).Store; got.First != first.String() || got.Successor != successor.String() || got.Seal != sealVerified {
		t.Errorf("%+v", got)
	}
	contains(t, s.command(exitDone, b.refresh, args...).out, first.String(), successor.String())
}

// A row that somebody has changed in the store is a reason to refuse a refresh
// token, and the report on a cookie, which nodes accept until it expires, says what
// comes. Without the store the row is not judged.
func TestInspectRowThatWasChanged(t *testing.T) {
	for column, value := range map[string]any{
		"subject": "root", "native": 1, "actor": "mallory", "methods": "hwk", "level": "aal3", "idle": 1 << 40, "absolute": 1 << 40,
		"names": make([]byte, 32), "key": make([]byte, 32), "seal": make([]byte, 20),
	} {
		t.Run(column, func(t *testing.T) {
			s := openShop(t, 0)
			anna, bob := s.login("anna"), s.login("bob")
			if k, ok := value.([]byte); ok {
				k[0] = 1
			}
			s.rewrite(anna, column, value)
			got := s.refused(anna.refresh, []string{string(refresh.ReasonSeal)})
			if got.Store.Seal == sealVerified || got.Store.Seal == "" {
				t.Errorf("%+v", got.Store)
			}
			contains(t, got.Reasons[0].Why, "not as it was sealed")
			got = s.inspect(exitDone, anna.session)
			if got.Store.Seal == sealVerified {
				t.Errorf("%+v", got.Store)
			}
			contains(t, strings.Join(got.Notes, "; "), "not as it was sealed", "next refresh is refused")
			args := []string{"inspect", "--ring", s.ringPath, "--realm", shopRealm}
			contains(t, s.command(exitNo, anna.refresh, with(args, s.store()...)...).out, "its row is NOT as it was sealed")
			s.command(exitDone, anna.refresh, args...)
			if got := s.inspect(exitDone, bob.refresh); got.Store.Seal != sealVerified {
				t.Errorf("bob's: %+v", got.Store)
			}
		})
	}
}

// An ended session is refused for that, whatever its row says.
func TestInspectEndedRowThatWasChanged(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	if _, err := s.db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{s.id(anna)}}); err != nil {
		t.Fatal(err)
	}
	s.rewrite(anna, "level", "aal3")
	s.refused(anna.refresh, []string{string(refresh.ReasonEnded)})
}

// A bound session is not refused for want of a proof, which this program cannot
// judge; the report says that one is needed.
func TestInspectBoundSession(t *testing.T) {
	s := openShop(t, 0)
	key := store.Key{7, 8}
	anna, bob := s.login("anna"), s.login("bob")
	s.bind(anna, key, true)
	s.bind(bob, key, false)
	got := s.inspect(exitDone, anna.refresh)
	if got.Store.Seal != sealVerified || got.Store.Bound != fmt.Sprintf("%x", key[:]) || !got.Store.Counts {
		t.Errorf("%+v", got.Store)
	}
	contains(t, strings.Join(got.Notes, "; "), "needs a live proof by that key", "whichever token")
	got = s.inspect(exitDone, bob.refresh)
	if got.Store.Seal != sealVerified || got.Store.Bound == "" || got.Store.Counts || strings.Contains(strings.Join(got.Notes, "; "), "live proof") {
		t.Errorf("%+v, %q", got.Store, got.Notes)
	}
	contains(t, s.command(exitDone, bob.refresh, with([]string{"inspect", "--ring", s.ringPath, "--realm", shopRealm}, s.store()...)...).out, "not asked for yet")

	// A native client's proof takes no token's place: see package refresh.
	var i inspector
	policy, err := i.policy()
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	i.judgeGeneration(policy, codec.RefreshToken{Generation: 3}, &store.Snapshot{State: store.Alive, Now: now, Family: store.Family{
		Native: true, Key: key, Counts: true, Generation: 5, Started: now, Issued: now, Idle: time.Hour, Absolute: time.Hour,
	}})
	if len(i.report.Reasons) != 1 || i.report.Reasons[0].Code != "a successor was used" || len(i.report.Notes) != 0 {
		t.Errorf("a native client's old token: %+v, %q", i.report.Reasons, i.report.Notes)
	}
}

// Every reason of package refresh has a text here, those of later releases too.
func TestEveryReasonHasAText(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../refresh/policy.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	reasons := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || fmt.Sprint(spec.Type) != "Reason" {
			return true
		}
		text, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		if reasons++; refusals[refresh.Reason(text)] == "" {
			t.Errorf("%s, %q, has no text", spec.Names[0], text)
		}
		return true
	})
	if reasons == 0 || reasons != len(refusals) {
		t.Errorf("%d reasons, and %d texts", reasons, len(refusals))
	}
}

// The report on a token depends on the family's newest copy, on the copy that was
// used, and on the time of the last advance or copy.
func TestInspectJudgesCopies(t *testing.T) {
	now := time.Now()
	for name, row := range map[string]struct {
		generation   uint32
		copied       uint16 // of the token; the family is at generation 5, and copy 2 of 4 was used
		newest       uint16
		ago          time.Duration // since the last advance or copy
		reason, note string
	}{
		"the newest":             {generation: 5, copied: 3, newest: 3, note: "(issue)"},
		"due":                    {generation: 5, copied: 3, newest: 3, ago: 3 * time.Minute, note: "(advance)"},
		"three copies behind":    {generation: 5, newest: 3, note: "(advance)"},
		"within the grace":       {generation: 4, copied: 2, ago: 29 * time.Second, note: "(issue)"},
		"a lost answer":          {generation: 4, copied: 2, ago: 30 * time.Second, note: "Under StrictRotation it would end the session"},
		"a clock set back":       {generation: 4, copied: 2, ago: -6 * time.Second, note: "(reissue)"},
		"a clock set back a bit": {generation: 4, copied: 2, ago: -5 * time.Second, note: "(issue)"},
		"no copy is left":        {generation: 4, copied: 2, newest: store.MaxCopy, ago: time.Minute, reason: string(refresh.ReasonBroken)},
		"another copy was used":  {generation: 4, copied: 1, reason: "a successor was used"},
		"two generations ago":    {generation: 3, copied: 2, reason: "a successor was used"},
		"a copy that is to come": {generation: 5, copied: 1, reason: "ahead of the store"},
		"a generation to come":   {generation: 6, reason: "ahead of the store"},
	} {
		var i inspector
		policy, err := i.policy()
		if err != nil {
			t.Fatal(err)
		}
		i.judgeGeneration(policy, codec.RefreshToken{Generation: row.generation, Copy: row.copied}, &store.Snapshot{
			State: store.Alive, Now: now,
			Family: store.Family{Generation: 5, Copy: row.newest, Used: 2, Issued: now.Add(-row.ago), Started: now, Idle: time.Hour, Absolute: time.Hour},
		})
		var reasons []string
		for _, r := range i.report.Reasons {
			reasons = append(reasons, r.Code)
			if r.Why == "" {
				t.Errorf("%s: %q says nothing", name, r.Code)
			}
		}
		if row.reason == "" && len(reasons) != 0 || row.reason != "" && !slices.Equal(reasons, []string{row.reason}) {
			t.Errorf("%s: refused for %q, want %q", name, reasons, row.reason)
		}
		contains(t, strings.Join(i.report.Notes, "; "), row.note)
	}
}

// Families past their limits, by the store's clock.
func TestInspectRefreshTokenLate(t *testing.T) {
	for past, want := range map[time.Duration]string{
		31 * time.Minute:           "past the idle limit",
		12*time.Hour + time.Minute: "past the absolute limit",
	} {
		s := openShop(t, past)
		anna := s.login("anna")
		// Otherwise housekeeping may remove the family before it is inspected.
		s.execute("UPDATE families SET due = ?", time.Now().Add(time.Hour).UnixMilli())
		s.refused(anna.refresh, []string{want})
	}
}

func TestInspectAccessToken(t *testing.T) {
	s := openShop(t, 0)
	pair, err := s.sessions.Issue(t.Context(), "anna")
	if err != nil {
		t.Fatal(err)
	}
	text := pair.AccessToken()
	s.secret(text, pair.RefreshToken())
	judged := []string{"--issuer", shopIssuer, "--audience", "https://other.example", "--audience", shopAudience}
	for _, input := range []string{text, "Authorization: Bearer " + text} {
		got := s.inspect(exitDone, input, judged...)
		if got.Format != formatAccess || !got.Authentic || got.Session != pair.Session.String() || got.Subject != "anna" || got.Issuer != shopIssuer ||
			!slices.Equal(got.Audience, []string{shopAudience}) || got.Key.State != "primary" || got.Position == nil || got.Access == nil || len(got.Notes) != 0 {
			t.Errorf("%+v", got)
		}
	}
	if got := s.inspect(exitDone, text); len(got.Notes) != 2 {
		t.Errorf("what is not judged is not reported: %q", got.Notes)
	}
	other := []string{"issuer or audience"}
	s.refused(text, other, "--issuer", "https://evil.example")
	s.refused(text, other, "--audience", "https://other.example")
	not := []string{"not authentic"}
	s.refused(text, not, "--realm", "shop.example/production")
	head, rest, _ := strings.Cut(text, ".")
	payload, signature, _ := strings.Cut(rest, ".")
	s.refused(head+"."+payload+"."+flip(t, signature, 3), not)
	s.refused(head+"."+flip(t, payload, 40)+"."+signature, not)
	s.refused(head+"."+payload+".", not)
	s.refused("eyJhbGciOiJub25lIn0."+payload+".", not)
	s.refused("eyJhbGciOiJSUzI1NiIsImtpZCI6Imdvb2dsZSIsInR5cCI6ImF0K2p3dCJ9."+payload+"."+signature, not)
	s.refused("eyJhbGciOiJFZERTQSIsImtpZCI6Imdvb2dsZSIsInR5cCI6ImF0K2p3dCJ9."+payload+"."+signature, []string{"key unknown"})
	s.refused("eyJhbGciOiJFZERTQSIsImtpZCI6IjAwMTEyMjMzLUVkRFNBIiwidHlwIjoiYXQrand0In0."+payload+"."+signature, []string{"key unknown"})

	s.now = time.Now().Add(5 * time.Minute)
	got := s.refused(text, []string{"past its lifetime"})
	if got.Subject != "anna" {
		t.Errorf("an expired one tells nothing: %+v", got)
	}
	s.now = time.Now().Add(-time.Minute)
	s.refused(text, []string{"issued in the future"})
	s.now = time.Now().Add(keyring.DefaultSeals + keyring.DefaultLife + time.Hour)
	s.refused(text, []string{"key expired"})
	s.now = time.Time{}
	if _, err := s.db.Revoke(t.Context(), store.Revocation{Subjects: []string{"anna"}}); err != nil {
		t.Fatal(err)
	}
	s.refused(text, []string{"subject revoked"})
	key, _ := s.ring.Primary(time.Now())
	if _, err := s.ring.Revoke(t.Context(), time.Now(), key.ID(), "leaked"); err != nil {
		t.Fatal(err)
	}
	s.refused(text, []string{"key revoked"})
}

// The claims that an application adds are data, too.
func TestInspectAccessTokenData(t *testing.T) {
	s := openShop(t, 0)
	tokens, err := codec.NewAccessTokens(s.ring, codec.AccessTokensConfig{Realm: shopRealm, Issuer: shopIssuer, Algorithms: []codec.Algorithm{codec.ES256}})
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	c, err := s.db.Cutoffs(t.Context(), store.ID{}, "")
	if err != nil {
		t.Fatal(err)
	}
	text, err := tokens.Mint(now, codec.AccessToken{
		Subject: codec.Hide("anna"), Audience: []string{"a", "b"}, ClientID: "c", Session: codec.ID{1}, Position: uint64(c.Head),
		Issued: now, Expires: now.Add(time.Minute), Authenticated: now, Scope: codec.Hide("pears"), Claims: codec.Hide(`{"role":"very private"}`),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.secret(text)
	got := s.inspect(exitDone, text, "--audience", "a", "--audience", "b")
	if got.Data != nil || *got.DataBytes != len(`pears{"role":"very private"}`) || got.Store.Family != "absent" {
		t.Errorf("%+v", got)
	}
	s.refused(text, []string{"issuer or audience"}, "--audience", "a")
	if got = s.inspect(exitDone, text, "--reveal"); *got.Data != `scope pears {"role":"very private"}` {
		t.Errorf("%q", *got.Data)
	}
}

func TestInspectValues(t *testing.T) {
	s := openShop(t, 0)
	values, err := codec.NewValues(s.ring, codec.ValuesConfig{Realm: shopRealm, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	text, err := values.Seal("state", []byte("the state of a login"))
	if err != nil {
		t.Fatal(err)
	}
	s.secret(text)
	got := s.inspect(exitDone, text, "--name", "state")
	if got.Format != formatValue || !got.Authentic || *got.DataBytes != 20 || got.Data != nil {
		t.Errorf("%+v", got)
	}
	if got = s.inspect(exitDone, text, "--name", "state", "--reveal"); *got.Data != `"the state of a login"` {
		t.Errorf("%q", *got.Data)
	}
	s.refused(text, []string{"not authentic"})
	s.refused(text, []string{"not authentic"}, "--name", "state", "--realm", "other")
	s.now = time.Now().Add(time.Hour)
	s.refused(text, []string{"past its lifetime"}, "--name", "state")
	s.now = time.Now().Add(keyring.DefaultSeals + keyring.DefaultLife + time.Hour)
	s.refused(text, []string{"key expired"}, "--name", "state")
	s.now = time.Time{}

	g, err := codec.NewGorilla(s.ring, codec.GorillaConfig{Realm: shopRealm, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	cookie, err := g.Encode("shop", map[any]any{"user": "very private"})
	if err != nil {
		t.Fatal(err)
	}
	s.secret(cookie)
	if got = s.inspect(exitDone, cookie, "--name", "shop"); got.Format != formatGorilla || !got.Authentic || got.Key.State != "primary" || got.Data != nil {
		t.Errorf("%+v", got)
	}
	if got = s.inspect(exitDone, "Cookie: shop="+cookie, "--name", "shop", "--reveal"); *got.Data != "map[user:very private]" {
		t.Errorf("%q", *got.Data)
	}
	s.refused(cookie, []string{"not authentic"})
	s.refused("00112233"+cookie[8:], []string{"key unknown"}, "--name", "shop")
	typed, err := g.Encode("shop", struct{ User string }{"very private"})
	if err != nil {
		t.Fatal(err)
	}
	s.inspect(exitDone, typed, "--name", "shop", "--reveal")
}

// A subject comes from outside and must not reach the terminal unchanged.
func TestInspectPrintsPlainly(t *testing.T) {
	s := openShop(t, 0)
	b := s.login("anna\x1b[2J\nrefused: no")
	args := []string{"inspect", "--ring", s.ringPath, "--realm", shopRealm}
	r := s.command(exitDone, b.session, args...)
	if strings.Contains(r.out, "\x1b") || strings.Contains(r.out, "\nrefused") {
		t.Errorf("%q", r.out)
	}
	contains(t, r.out, "anna\uFFFD[2J\uFFFDrefused: no")
	if got := parse[report](t, s.command(exitDone, b.session, with(args, "--json")...)); got.Subject != "anna\x1b[2J\nrefused: no" {
		t.Errorf("%q", got.Subject)
	}
}

// Text that is no credential is refused and never shown.
func TestInspectGarbage(t *testing.T) {
	s := openShop(t, 0)
	binary := make([]byte, 1<<20)
	rand.Read(binary)
	for name, input := range map[string]string{
		"a word":              "hello",
		"binary":              string(binary[:300]),
		"a megabyte":          string(binary),
		"a megabyte of A":     strings.Repeat("A", 1<<20),
		"a megabyte of pairs": strings.Repeat("a=b;", 1<<18),
		"NUL":                 "\x00",
		"dots":                "..",
		"a JWT's look":        "ey..",
		"sealed look":         "AQ" + strings.Repeat("A", 78),
		"refresh look":        "wfr1_" + strings.Repeat("A", 54),
		"gorilla look":        "00112233.AAAA",
		"escapes":             "\x1b[2J",
	} {
		t.Run(name, func(t *testing.T) {
			r := s.command(exitNo, input, with([]string{"inspect", "--ring", s.ringPath, "--realm", shopRealm}, s.store()...)...)
			contains(t, r.out, "refused")
			if strings.ContainsAny(r.out+r.err, "\x1b\x00") || len(input) > 8 && strings.Contains(r.out, input[:8]) && !strings.HasPrefix(input, "00112233") {
				t.Errorf("it shows what it was given: %q", r.out)
			}
		})
	}
	for _, empty := range []string{"", "  \r\n"} {
		contains(t, s.command(exitUsage, empty, "inspect", "--ring", s.ringPath, "--realm", shopRealm).err, "standard input is empty")
	}
	contains(t, s.command(exitUsage, "Cookie: a=b", "inspect", "--ring", s.ringPath, "--realm", shopRealm).err, "no cookie named __Host-session")
	r := s.command(exitNo, "Cookie: __Host-session=x; __Host-session=y", "inspect", "--ring", s.ringPath, "--realm", shopRealm)
	contains(t, r.out, "there are 2 cookies")
}

// A credential among the arguments is refused with a warning and not repeated.
func TestInspectArguments(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	pair, err := s.sessions.Issue(t.Context(), "anna", wafer.Label("x"))
	if err != nil {
		t.Fatal(err)
	}
	s.secret(pair.AccessToken(), pair.RefreshToken())
	base := []string{"inspect", "--ring", s.ringPath, "--realm", shopRealm}
	for _, text := range []string{anna.session, anna.refresh, pair.AccessToken(), "__Host-session=" + anna.session} {
		for _, args := range [][]string{{"inspect", text}, with(base, text), {"inspect", "--realm", text}, {"inspect", "--realm=" + text}, {"inspect", "--" + text}, {"inspect", "--ring", s.ringPath, text, "--realm", "x"}} {
			contains(t, s.command(exitUsage, anna.session, args...).err, "every user of the machine", "standard input")
		}
	}
	s.command(exitUsage, anna.session, with(base, "hello")...)
	contains(t, s.command(exitUsage, anna.session, "inspect", "--ring", s.ringPath).err, "--realm")
	contains(t, s.command(exitUsage, anna.session, "inspect", "--realm", shopRealm).err, "--ring")
	s.command(exitUsage, anna.session, "inspect", "--ring", s.ringPath, "--realm", "a\x00b")
	// Arguments that only resemble a credential.
	s.command(exitNo, anna.session, "inspect", "--ring", s.ringPath, "--realm", "eyewear.shop.example")
	s.command(exitError, anna.session, "inspect", "--ring", s.ringPath+"x", "--keeper", "file:"+s.ringPath+".key", "--realm", shopRealm)
}
