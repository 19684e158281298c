package bench

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/waferkit/wafer/bench/internal/app"
)

// TestAppsKeepSessions takes each application through all its paths, so that
// the benchmarks measure applications that work.
func TestAppsKeepSessions(t *testing.T) {
	for _, a := range append([]*app.App{waferInMemory(t), app.SCS("scs memstore", nil)}, networked(t)...) {
		t.Run(a.Name, func(t *testing.T) {
			came := session(t, a)
			ask := func(h http.Handler, r *http.Request, want string) *http.Request {
				t.Helper()
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r.Clone(t.Context()))
				if w.Code != http.StatusOK || w.Body.String() != want {
					t.Fatalf("answered %d %q, want %q", w.Code, w.Body, want)
				}
				next := r.Clone(t.Context())
				for _, c := range w.Result().Cookies() {
					var kept []string
					for _, old := range next.Cookies() {
						if old.Name != c.Name {
							kept = append(kept, old.Name+"="+old.Value)
						}
					}
					if c.MaxAge >= 0 {
						kept = append(kept, c.Name+"="+c.Value)
					}
					next.Header.Set("Cookie", strings.Join(kept, "; "))
				}
				return next
			}
			changed := strings.Replace(app.Text(), "42", "43", 1)
			ask(a.Identity, came, app.Subject+"\n")
			ask(a.Data, came, app.Text())
			saved := ask(a.Save, came, changed)
			ask(a.Data, saved, changed)
			if a.Commit != nil {
				changed = strings.Replace(app.Text(), "42", "44", 1)
				saved = ask(a.Commit, saved, changed)
				ask(a.Data, saved, changed)
			}
			after := ask(a.Logout, saved, "")
			w := httptest.NewRecorder()
			a.Data.ServeHTTP(w, after)
			if w.Code == http.StatusOK {
				t.Errorf("after the logout a request has %q", w.Body)
			}
		})
	}
}
