package gate

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

const (
	access = 5 * time.Minute
	leeway = 10 * time.Second
	realm  = "shop.example/test"
)

var instance = codec.Instance{Realm: realm, SessionCookie: "__Host-session"}

// begin is the time at which the cookies of these tests were issued.
var begin = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// a and b are the families of these tests.
var a, b = codec.ID{1}, codec.ID{2}

// fakeNode gives the same answers to all, and counts.
type fakeNode struct {
	world     *world
	verdict   revocation.Verdict
	family    store.Snapshot
	err       error  // of both
	then      func() // called by Decide before it answers
	decisions []decision
	families  []store.ID
}

// decision is what Decide was called with.
type decision struct {
	now     time.Time
	session store.ID
	subject string
	at      store.Position
}

func (n *fakeNode) Decide(_ context.Context, now time.Time, session store.ID, subject string, at store.Position) (revocation.Verdict, error) {
	n.decisions = append(n.decisions, decision{now, session, subject, at})
	if n.then != nil {
		n.then()
	}
	return n.verdict, n.err
}

func (n *fakeNode) Family(_ context.Context, id store.ID) (store.Snapshot, error) {
	n.families = append(n.families, id)
	if n.err != nil {
		return store.Snapshot{}, n.Unavailable(id, n.err)
	}
	return n.family, nil
}

func (n *fakeNode) Unavailable(id store.ID, err error) error {
	n.world.reports = append(n.world.reports, fmt.Sprintf("unavailable %d", id[0]))
	return fmt.Errorf("%w: %w", sentinel.ErrUnavailable, err)
}

// world is a gate over a fake node. It records the reports.
type world struct {
	*Gate
	t       *testing.T
	node    *fakeNode
	reports []string
	now     time.Time // of Judge
	later   time.Time // of the clock that Judge reads after a wait
}

func (w *world) Refused(id store.ID, reason string, err error) {
	if err != nil {
		reason += ": " + err.Error()
	}
	w.reports = append(w.reports, fmt.Sprintf("refused %d: %s", id[0], reason))
}

func (w *world) Alarm(id store.ID, at store.Position, reason string, _ error) {
	w.reports = append(w.reports, fmt.Sprintf("alarm %d at %d: %s", id[0], at, reason))
}

// newWorld returns a gate over a ring of one static secret.
func newWorld(t *testing.T) *world { return newWorldOver(t, staticRing(t, "5a")) }

func newWorldOver(t *testing.T, ring *keyring.Ring) *world {
	t.Helper()
	w := &world{t: t, now: begin.Add(time.Minute), later: begin.Add(2 * time.Minute)}
	w.node = &fakeNode{world: w, verdict: revocation.Good}
	w.Gate = &Gate{
		Ring: ring, Cookies: must(codec.NewCookies(ring, realm, "__Host-session"))(t), RefreshTokens: must(codec.NewRefreshTokens(ring, instance))(t),
		Revocations: w.node, Node: w.node, Access: access, Leeway: leeway, Now: func() time.Time { return w.later }, Observer: w,
	}
	return w
}

func staticRing(t *testing.T, digits string) *keyring.Ring {
	t.Helper()
	return must(keyring.Static(strings.Repeat(digits, keyring.SecretSize)))(t)
}

func must[V any](v V, err error) func(*testing.T) V {
	return func(t *testing.T) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// header returns the session that was issued at begin.
func header(id codec.ID) codec.Session {
	return codec.Session{
		ID: id, Subject: codec.Hide("alice"), Position: 100, Generation: 3,
		Issued: begin, Access: begin.Add(access), Idle: begin.Add(30 * time.Minute), Absolute: begin.Add(12 * time.Hour),
		Started: begin, Authenticated: begin,
	}
}

// cookie returns a session cookie of a family, sealed now and changed before.
func (w *world) cookie(id codec.ID, changes ...func(*codec.Session)) string {
	w.t.Helper()
	s := header(id)
	for _, change := range changes {
		change(&s)
	}
	return must(w.Cookies.Seal(begin, &s, []byte("data")))(w.t)
}

// token returns a refresh token of a family.
func (w *world) token(id codec.ID) string {
	w.t.Helper()
	return must(w.RefreshTokens.Mint(begin, codec.RefreshToken{Family: id, Generation: 3}))(w.t)
}

// forged returns a token that names the same family with a tag that is wrong.
func forged(token string) string {
	i := len(token) - 10
	swapped := byte('A')
	if token[i] == swapped {
		swapped = 'B'
	}
	return token[:i] + string(swapped) + token[i+1:]
}

// jar returns the cookies of a request.
func jar(session, refresh []string) *Cookies {
	c := new(Cookies)
	for _, v := range session {
		c.Session.Add(v)
	}
	for _, v := range refresh {
		c.Refresh.Add(v)
	}
	return c
}

// wantReports compares the reports since the last call.
func (w *world) wantReports(want ...string) {
	w.t.Helper()
	if !slices.Equal(w.reports, want) {
		w.t.Errorf("reports %q, want %q", w.reports, want)
	}
	w.reports = nil
}

// wantError compares an error with what it should match; nil is none.
func (w *world) wantError(err, want error) {
	w.t.Helper()
	if !errors.Is(err, want) || (err == nil) != (want == nil) {
		w.t.Errorf("%v, want %v", err, want)
	}
}

// counted counts the reads of a ring's source.
type counted struct {
	keyring.Source
	loads atomic.Int64
}

func (c *counted) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	c.loads.Add(1)
	return c.Source.LoadKeys(ctx)
}

// rings returns two handles on one key set: the node's, whose reads are counted,
// and the operator's.
func rings(t *testing.T) (node, operator *keyring.Ring, source *counted) {
	t.Helper()
	source = &counted{Source: memory.New(memory.Options{})}
	keeper := must(keyring.NewKeeper(strings.Repeat("5a", keyring.SecretSize)))(t)
	operator = must(keyring.Create(t.Context(), source, keeper, begin, keyring.Schedule{}))(t)
	node = must(keyring.Open(t.Context(), source, keeper))(t)
	source.loads.Store(0)
	return node, operator, source
}
