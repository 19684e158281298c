package bench

import (
	"errors"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/store/memory"
)

// docs/capacity.md says of several stores that one ring serves all, that the
// realm keeps them apart, and that a cookie of one part is refused by another.
func TestPartsAreApart(t *testing.T) {
	ring, err := app.Ring(1)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]*wafer.Sessions[app.Account]{}
	for _, host := range []string{"eu.example", "us.example"} {
		parts[host], err = wafer.New(t.Context(), ring, memory.New(memory.Options{}), wafer.Config[app.Account]{Realm: "shop.example/production/" + host})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(parts[host].Close)
	}
	w := httptest.NewRecorder()
	login := httptest.NewRequest(http.MethodPost, "https://eu.example/login", nil)
	if err := parts["eu.example"].Start(w, login, app.Subject, app.NewAccount()); err != nil {
		t.Fatal(err)
	}
	r := httptest.NewRequest(http.MethodGet, "https://eu.example/", nil)
	for _, c := range w.Result().Cookies() {
		r.AddCookie(c)
	}
	if s, err := parts["eu.example"].Check(r); err != nil || s.Subject != app.Subject {
		t.Errorf("its own part has %v, %v", s, err)
	}
	if s, err := parts["us.example"].Check(r); !errors.Is(err, wafer.ErrNoSession) {
		t.Errorf("the other part has %v, %v", s, err)
	}
}
