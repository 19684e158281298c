package wafertest_test

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/wafertest"
)

type account struct{ Theme string }

// An example of an application's test.
func TestApplication(t *testing.T) {
	h := wafertest.New(t, wafer.Config[account]{})
	app := h.Sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := h.Sessions.Get(r.Context())
		data, _ := s.Data()
		fmt.Fprint(w, s.Subject, " likes ", data.Theme)
	}))
	server := httptest.NewTLSServer(wafertest.FailLateWrites(t, app))
	defer server.Close()
	browser := server.Client()

	get := func() string {
		resp, err := browser.Get(server.URL)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, _ := io.ReadAll(resp.Body)
		return string(b)
	}
	if got := get(); got != "Unauthorized\n" {
		t.Errorf("before the login: %q", got)
	}
	h.Login(t, browser, "alice", account{Theme: "dark"})
	for range 5 {
		if got := get(); got != "alice likes dark" {
			t.Errorf("logged in: %q", got)
		}
		h.Advance(t, 20*time.Minute) // past the access lifetime: it is refreshed
	}
	h.Advance(t, time.Hour) // past the idle limit
	if got := get(); got != "Unauthorized\n" {
		t.Errorf("an hour later: %q", got)
	}
}
