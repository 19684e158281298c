package e2e_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/printed"
	"github.com/waferkit/wafer/keyring"
)

// Promise 7: secrets stay in.

// secretForms returns the textual forms that bytes can appear in.
func secretForms(b []byte) []string {
	decimal := strings.Trim(fmt.Sprint(b), "[]")
	hexes := make([]string, len(b))
	for i, c := range b {
		hexes[i] = fmt.Sprintf("0x%x", c)
	}
	return []string{
		string(b), hex.EncodeToString(b), strings.ToUpper(hex.EncodeToString(b)), decimal,
		strings.ReplaceAll(decimal, " ", ", "), strings.Join(hexes, ", "), strings.Trim(fmt.Sprintf("% x", b), " "),
		base64.StdEncoding.EncodeToString(b)[:len(b)*4/3-1], base64.RawURLEncoding.EncodeToString(b)[:len(b)*4/3-1],
	}
}

func TestPromise7_SecretsStayIn(t *testing.T) {
	const data, subject = "MARKER-of-the-data", "MARKER-of-the-subject"
	var logged bytes.Buffer
	defer slog.SetDefault(slog.Default())
	slog.SetDefault(slog.New(slog.NewTextHandler(&logged, &slog.HandlerOptions{Level: slog.LevelDebug})))

	w := newWorld(t)
	secret := newStaticSecret()
	var err error
	if w.ring, err = keyring.Static(secret); err != nil {
		t.Fatal(err)
	}
	key, err := hex.DecodeString(secret)
	if err != nil {
		t.Fatal(err)
	}
	quiet := func(c *wafer.Config[basket]) { c.Observe = nil } // the default: log/slog
	n := w.node(quiet)

	secrets := map[string][]byte{"the key": key, "the data": []byte(data), "the subject": []byte(subject)}
	outputs := make(map[string]string)
	keep := func(b *browser) {
		for name, value := range b.cookies {
			secrets[fmt.Sprintf("%s %d", name, len(secrets))] = []byte(value)
		}
	}
	show := func(what string, v any) {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			outputs[what+" by "+verb] = fmt.Sprintf(verb, v)
		}
		slog.Info("shown", what, v)
	}
	b := w.browser()
	var failures []error
	b.ask(n, func(v *visit) {
		failures = append(failures, n.Start(v.w, v.r, subject, basket{[]string{data, strings.Repeat("x", 5000)}}))
		if err := n.Start(v.w, v.r, subject, basket{[]string{data}}); err != nil {
			t.Fatal(err)
		}
	}).arrive()
	keep(b)
	w.pass(time.Second)
	b.ask(n, func(v *visit) {
		show("Session", v.s)
		show("Session by value", *v.s)
		show("a struct with a Session", struct{ S *wafer.Session[basket] }{v.s})
		show("the request's context", v.r.Context())
		show("a struct with the context", struct{ C context.Context }{v.r.Context()})
		wants(t, "Commit", commit("x")(v), nil)
		failures = append(failures, n.Save(v.w, v.r, basket{[]string{data, strings.Repeat("x", 5000)}}))
	}).arrive()
	keep(b)
	show("Config", n.config)
	show("ring", w.ring)

	// Every kind of failure, with every message it can produce.
	old := b.copy()
	w.pass(testAccess)
	b.see(n)
	keep(b)
	w.pass(testAccess)
	b.see(n)
	keep(b)
	for _, bad := range []string{b.cookies[sessionCookie] + "A", b.cookies[sessionCookie][1:], b.cookies[refreshCookie] + "A"} {
		jar := w.browser()
		jar.cookies[sessionCookie], jar.cookies[refreshCookie] = bad, bad
		failures = append(failures, jar.ask(n, nil).begun)
	}
	n.store.fail()
	w.clock.Move(testAccess)
	failures = append(failures, b.ask(n, nil).begun, b.copy().do(n, end))
	_, revokeErr := n.Revoke(context.Background(), wafer.Revocation{Subjects: []string{subject}, Actor: "operator"})
	failures = append(failures, revokeErr)
	n.store.heal()
	w.pass(0)
	failures = append(failures, old.ask(n, nil).begun) // replayed, or ended
	failures = append(failures, readAsAnotherType(w)...)
	n.stop()
	show("Sessions", n.Sessions)
	outputs["the log"] = logged.String()
	for i, err := range failures {
		if err == nil {
			t.Errorf("failure %d did not fail", i)
			continue
		}
		outputs[fmt.Sprint("error ", i)] = fmt.Sprintf("%v %+v %#v", err, err, err)
	}
	if !strings.Contains(outputs["the log"], "session refreshed") {
		t.Errorf("the log has no line about a refresh: %s", outputs["the log"])
	}
	for what, out := range outputs {
		for name, value := range secrets {
			for _, form := range secretForms(value) {
				if strings.Contains(out, form) {
					t.Errorf("%s shows %s as %.40q…", what, name, form)
					break
				}
			}
		}
	}
}

// A program's own types hold sessions, pairs and contexts in fields of which
// package fmt cannot call Format, and in what encoding/json walks into.
func TestPromise7_NothingPrintsASecretInside(t *testing.T) {
	const data, claims, scope = "MARKER-of-the-data", "MARKER-of-the-claims", "MARKER-of-the-scope"
	w := newWorld(t)
	n := w.node(func(c *wafer.Config[basket]) {
		c.Tokens = &wafer.TokenConfig[basket]{
			Issuer: "https://shop.example", Audience: "https://shop.example/api",
			Claims: func(context.Context, *wafer.Session[basket]) (wafer.TokenClaims, error) {
				return wafer.TokenClaims{Scope: scope, Extra: map[string]string{"role": claims}}, nil
			},
		}
	})
	pair, err := n.Issue(t.Context(), "alice")
	if err != nil {
		t.Fatal(err)
	}
	secrets := map[string]string{
		"the data": data, "the claims": claims, "the scope": scope,
		"the access token": pair.AccessToken(), "the refresh token": pair.RefreshToken(),
	}
	shown := map[string]string{"TokenPair": printed.Everywhere(*pair)}
	show := func(what string, s *wafer.Session[basket], ctx context.Context) {
		shown["Session, "+what] = printed.Everywhere(*s)
		shown["context, "+what] = printed.Everywhere(ctx)
	}
	b := w.browser()
	b.ask(n, func(v *visit) {
		if err := n.Start(v.w, v.r, "alice", basket{[]string{data}}); err != nil {
			t.Fatal(err)
		}
		s, err := n.Get(v.r.Context())
		if err != nil {
			t.Fatal(err)
		}
		show("minted by the request", s, v.r.Context())
	}).arrive()
	for name, value := range b.cookies {
		secrets[name] = value
	}
	b.ask(n, func(v *visit) { show("of a cookie", v.s, v.r.Context()) })
	bearer := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
	bearer.Header.Set("Authorization", "Bearer "+pair.AccessToken())
	r, err := n.Attach(httptest.NewRecorder(), bearer)
	if err != nil {
		t.Fatal(err)
	}
	s, err := n.Get(r.Context())
	if err != nil || s.Scope() != scope {
		t.Fatal(err)
	}
	show("of an access token", s, r.Context())

	if len(shown) != 7 || len(secrets) != 7 {
		t.Fatalf("%d values were printed and %d secrets were looked for, want 7 of each", len(shown), len(secrets))
	}
	for what, text := range shown {
		for name, secret := range secrets {
			for _, form := range secretForms([]byte(secret)) {
				if strings.Contains(text, form) {
					t.Errorf("%s shows %s as %.40q…", what, name, form)
					break
				}
			}
		}
	}
}

// readAsAnotherType reads a session as another type than it was saved as.
func readAsAnotherType(w *world) []error {
	other, err := wafer.New(context.Background(), w.ring, w.mem, wafer.Config[struct {
		Items int `cbor:"1,keyasint"`
	}]{Realm: testRealm, Now: w.clock.Now})
	if err != nil {
		return nil
	}
	defer other.Close()
	n := w.node()
	b := w.browser().login(n, "MARKER-of-the-subject", "MARKER-of-the-data")
	r, err := other.Attach(httptest.NewRecorder(), b.request())
	if err != nil {
		return []error{err}
	}
	s, err := other.Get(r.Context())
	if err != nil {
		return []error{err}
	}
	_, err = s.Data()
	return []error{err}
}

// Printing values in use, with whatever verb, causes no race either.
func TestPromise7_SessionsPrintWhileTheyRun(t *testing.T) {
	w := newWorld(t)
	n := w.node()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 20 {
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q"} {
				_ = fmt.Sprintf(verb, n.Sessions)
			}
		}
	}()
	for range 50 {
		n.revoke(wafer.Revocation{Subjects: []string{"alice"}})
	}
	<-done
}

// Events carry ids and reasons, and nothing else of a session.
func TestPromise7_Events(t *testing.T) {
	w, n, jars := refusals(t)
	for _, lines := range jars {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		_, _ = n.Attach(httptest.NewRecorder(), r)
	}
	n.store.fail()
	w.clock.Move(time.Hour)
	var values []string
	for _, lines := range jars {
		r := httptest.NewRequest(http.MethodGet, "https://harness.example/", nil)
		r.Header["Cookie"] = lines
		_, _ = n.Attach(httptest.NewRecorder(), r)
		for _, line := range lines {
			for pair := range strings.SplitSeq(line, "; ") {
				if _, value, _ := strings.Cut(pair, "="); len(value) > 40 {
					values = append(values, value[:40])
				}
			}
		}
	}
	kinds := make(map[wafer.Kind]int)
	for _, e := range n.observed() {
		kinds[e.Kind]++
		text := fmt.Sprintf("%v %+v %#v", e, e, e)
		for _, value := range values {
			if strings.Contains(text, value) {
				t.Fatalf("an event holds a credential: %s", text)
			}
		}
		for _, subject := range []string{"alice", "superseded", "closed"} {
			if strings.Contains(e.Reason, `"`+subject+`"`) || e.Err != nil && strings.Contains(e.Err.Error(), subject) {
				t.Errorf("an event names a subject: %s", text)
			}
		}
	}
	for _, kind := range []wafer.Kind{wafer.KindStarted, wafer.KindRefreshed, wafer.KindRefused, wafer.KindReplayed, wafer.KindRevoked, wafer.KindEnded, wafer.KindAlarm, wafer.KindUnavailable} {
		if kinds[kind] == 0 {
			t.Errorf("no event %q in all of this: the test shows little", kind)
		}
	}
}
