package e2e_test

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"testing"

	"github.com/waferkit/wafer"
)

// lostOf returns the answers that a node's last event of a kind counts as lost. It
// fails the test unless the event has the reason.
func (n *node) lostOf(kind wafer.Kind, reason string) int {
	n.world.t.Helper()
	events := n.observed()
	for i := len(events) - 1; i >= 0; i-- {
		if e := events[i]; e.Kind == kind {
			if e.Reason != reason {
				n.world.t.Errorf("the last event %q has the reason %q, want %q", kind, e.Reason, reason)
			}
			return e.Lost
		}
	}
	n.world.t.Errorf("no event %q", kind)
	return 0
}

// Events tell a lost answer from a replay, and how many answers the session has lost
// since its last advance.
func TestPromise9_EventsTellALostAnswerFromAReplay(t *testing.T) {
	const (
		advanced  = "advanced"
		copied    = "a copy for a lost answer"
		successor = "the same successor"
	)
	w := newWorld(t)
	n := w.node()
	b := w.browser().login(n, "alice", "a")
	want := func(reason string, lost int) {
		t.Helper()
		if got := n.lostOf(wafer.KindRefreshed, reason); got != lost {
			t.Errorf("%s: %d answers were lost, want %d", reason, got, lost)
		}
	}
	w.pass(testAccess)
	b.copy().is(n, "alice: a")
	want(advanced, 0)
	b.copy().is(n, "alice: a")
	want(successor, 0)
	for lost := 1; lost < 4; lost++ {
		w.pass(testGrace)
		b.copy().is(n, "alice: a")
		want(copied, lost)
		b.copy().is(n, "alice: a")
		want(successor, lost)
	}
	thief := b.copy()
	b.is(n, "alice: a")
	w.pass(testAccess)
	b.is(n, "alice: a")
	want(advanced, 0)
	w.pass(testGrace)
	b.copy().is(n, "alice: a") // with a good cookie, so nothing is refreshed
	want(advanced, 0)
	w.honest()
	thief.is(n, "401")
	if got := n.lostOf(wafer.KindReplayed, "refresh token replayed"); got != 0 {
		t.Errorf("the replay: %d answers were lost, want 0", got)
	}
}

// The report of a replay says how many answers the session had lost. A session that had
// lost some may be an honest one.
func TestPromise9_TheReplayTellsTheLostAnswers(t *testing.T) {
	for _, native := range []bool{false, true} {
		w := newWorld(t)
		n := w.node(withTokens())
		p := n.issue("alice")
		b := w.browser().login(n, "alice", "a")
		token := p.RefreshToken()
		for range 2 {
			w.pass(testAccess)
			n.refreshed(token)
			token = w.mint(p.Session, w.family(p.Session).Family.Generation)
			b.is(n, "alice: a")
		}
		old := b.copy()
		w.pass(testAccess)
		b.is(n, "alice: a")
		n.refreshed(token) // lost, like the next three
		for range 3 {
			w.pass(testGrace)
			n.refreshed(token)
			old.copy().is(n, "alice: a")
		}
		if got := n.lostOf(wafer.KindRefreshed, "a copy for a lost answer"); got != 3 {
			t.Errorf("%d answers were lost, want 3", got)
		}
		if native {
			wantOAuth(t, "the first token", n.refreshWith(p.RefreshToken()), 400, "invalid_grant")
		} else {
			jar := w.browser()
			jar.cookies[refreshCookie] = w.mint(b.family(w).Family.ID, 1)
			jar.is(n, "401")
		}
		if got := n.lostOf(wafer.KindReplayed, "refresh token replayed"); got != 3 {
			t.Errorf("native %v: the replay tells of %d lost answers, want 3", native, got)
		}
	}
}

// A native client's refresh is reported with its lost answers.
func TestPromise9_TheEventOfANativeClient(t *testing.T) {
	w := newWorld(t)
	n := w.node(withTokens())
	token := n.issue("alice").RefreshToken()
	w.pass(testAccess)
	for lost := range 4 {
		n.refreshed(token)
		if got := n.lostOf(wafer.KindRefreshed, "native client"); got != lost {
			t.Errorf("%d answers were lost, want %d", got, lost)
		}
		w.pass(testGrace)
	}
}

// The log's lines of a refresh and of a replay have the number of lost answers, if any
// were lost.
func TestPromise9_TheLogTellsTheLostAnswers(t *testing.T) {
	var log bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) { c.Observe = nil })
	b := w.browser().login(n, "alice", "a")
	thief := b.copy()
	w.pass(testAccess)
	b.is(n, "alice: a")
	late := b.copy()
	w.pass(testAccess)
	b.is(n, "alice: a")
	for range 2 {
		w.pass(testGrace)
		late.copy().is(n, "alice: a")
	}
	thief.is(n, "401")
	n.stop() // so that nobody writes to the log while it is read
	id := b.family(w).Family.ID.String()
	want := []string{
		`level=DEBUG msg="wafer: session refreshed" reason=advanced session=` + id,
		`level=DEBUG msg="wafer: session refreshed" reason=advanced session=` + id,
		`level=DEBUG msg="wafer: session refreshed" reason="a copy for a lost answer" session=` + id + ` lost=1`,
		`level=DEBUG msg="wafer: session refreshed" reason="a copy for a lost answer" session=` + id + ` lost=2`,
		fmt.Sprintf(`level=WARN msg="wafer: refresh token replayed, session ended" reason="refresh token replayed" session=%s position=%d lost=2`, id, b.family(w).Head),
	}
	var got []string
	for line := range strings.Lines(log.String()) {
		if strings.Contains(line, "wafer: session refreshed") || strings.Contains(line, "wafer: refresh token replayed") {
			_, text, _ := strings.Cut(strings.TrimSpace(line), " ") // without its time
			got = append(got, text)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("the log says\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
