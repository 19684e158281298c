package wafertest

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// Clock is a clock that moves only when [Clock.Move] is called. It is safe for
// concurrent use.
type Clock struct {
	mu  sync.Mutex
	now time.Time
}

// NewClock returns a clock that shows now.
func NewClock(now time.Time) *Clock { return &Clock{now: now} }

// Now returns the time that the clock shows.
func (c *Clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

// Move moves the clock by d, which may be negative.
func (c *Clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// Harness holds sessions for the test of an application, with their ring and
// store, all on one clock.
type Harness[T any] struct {
	Clock    *Clock
	Ring     *keyring.Ring
	Store    *memory.Store
	Sessions *wafer.Sessions[T]

	mu     sync.Mutex
	events []wafer.Event
}

// New returns a harness, whose sessions are closed when the test ends.
// Config.Now must be nil, since the harness has its own clock. Config.Realm is
// "wafertest" if it is empty. Events are recorded for [Harness.Events] and passed
// on to Config.Observe if that is set. New fails the test if the configuration
// is invalid.
func New[T any](t testing.TB, config wafer.Config[T]) *Harness[T] {
	t.Helper()
	if config.Now != nil {
		t.Fatal("wafertest: Config.Now must be unset: the harness has its own clock")
	}
	if config.Realm == "" {
		config.Realm = "wafertest"
	}
	var secret [keyring.SecretSize]byte
	rand.Read(secret[:])
	ring, err := keyring.Static(hex.EncodeToString(secret[:]))
	if err != nil {
		t.Fatal(err)
	}
	h := &Harness[T]{Clock: NewClock(time.Now().Round(0).Truncate(time.Second)), Ring: ring}
	h.Store = memory.New(memory.Options{Now: h.Clock.Now})
	observe := config.Observe
	config.Now = h.Clock.Now
	config.Observe = func(e wafer.Event) {
		h.mu.Lock()
		h.events = append(h.events, e)
		h.mu.Unlock()
		if observe != nil {
			observe(e)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if h.Sessions, err = wafer.New(ctx, ring, h.Store, config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(h.Sessions.Close)
	return h
}

// Advance moves the clock forward by d and waits until the sessions have read
// the revocation log at the new time: their list is fresh when it returns.
func (h *Harness[T]) Advance(t testing.TB, d time.Duration) {
	t.Helper()
	h.Clock.Move(d)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := h.Sessions.WaitFor(ctx, 0); err != nil {
		t.Fatal(err)
	}
}

// Events returns a copy of the events that the sessions have reported so far.
func (h *Harness[T]) Events() []wafer.Event {
	h.mu.Lock()
	defer h.mu.Unlock()
	return append([]wafer.Event(nil), h.events...)
}

// Login logs a client in, as a login page of the application would. Afterwards
// the client's jar holds the cookies of a new session, for every server that
// [httptest.NewTLSServer] returns. Login gives the client a jar if it has none.
// A server of [httptest.NewServer] gets no cookies: clients do not send Secure
// cookies over plain HTTP. Login fails the test if the session cannot be started.
func (h *Harness[T]) Login(t testing.TB, client *http.Client, subject string, data T, options ...wafer.StartOption) {
	t.Helper()
	if client.Jar == nil {
		jar, err := cookiejar.New(nil)
		if err != nil {
			t.Fatal(err)
		}
		client.Jar = jar
	}
	w := httptest.NewRecorder()
	r := httptest.NewRequest(http.MethodPost, "https://example.com/", nil)
	if err := h.Sessions.Start(w, r, subject, data, options...); err != nil {
		t.Fatalf("wafertest: login of %q: %v", subject, err)
	}
	cookies := w.Result().Cookies()
	for _, host := range []string{"127.0.0.1", "[::1]", "example.com", "localhost"} {
		client.Jar.SetCookies(&url.URL{Scheme: "https", Host: host, Path: "/"}, cookies)
	}
}
