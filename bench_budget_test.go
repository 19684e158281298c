package wafer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/internal/pairs"
)

// BenchmarkBudget measures the ratios of the performance budget (design,
// section 10). A and B run in short turns, A B B A, so that other load on the
// machine slows both alike. It reports the median of the pairs' ratios, A over
// B. bench/guard compares these figures with the budget.
func BenchmarkBudget(b *testing.B) {
	b.Run("identity-to-floor", func(b *testing.B) {
		p := &paths{contender: openWafer(b)}
		_, serve := again(p.onIdentity(), p.loggedIn(b))
		open := benchFloor(b)
		compare(b, serve, func() {
			if err := open(); err != nil {
				b.Fatal(err)
			}
		})
		b.ReportMetric(testing.AllocsPerRun(1000, serve), "allocs")
		if p.failed != nil {
			b.Fatal(p.failed)
		}
	})
	for _, c := range contenders[1:] {
		b.Run("data-to-"+c.name, func(b *testing.B) {
			ours, theirs := &paths{contender: openWafer(b)}, &paths{contender: c.open(b)}
			r, other := ours.loggedIn(b), theirs.loggedIn(b)
			_, serve := again(ours.onData(), r)
			_, serveOther := again(theirs.onData(), other)
			session, all := cookieBytes(r)
			_, allOther := cookieBytes(other)
			compare(b, serve, serveOther)
			b.ReportMetric(float64(session)/float64(allOther), "session-cookie-ratio")
			b.ReportMetric(float64(all)/float64(allOther), "cookies-ratio")
			if ours.failed != nil || theirs.failed != nil {
				b.Fatal(ours.failed, theirs.failed)
			}
		})
	}
	b.Run("token-to-golang-jwt", func(b *testing.B) {
		sessions, tokens, key := benchTokens(b, 1)
		seen := 0
		h := sessions.Bearer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			if s, err := sessions.Get(r.Context()); err == nil && s.Subject == benchSubject {
				seen++
			}
		}))
		r := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
		r.Header.Set("Authorization", "Bearer "+tokens[0])
		_, serve := again(h, r)
		for range 3 {
			serve()
			time.Sleep(10 * time.Millisecond) // until it is cached
		}
		requests := 3
		compare(b, func() { serve(); requests++ }, func() {
			var claims jwt.MapClaims
			_, err := jwt.ParseWithClaims(tokens[0], &claims, func(*jwt.Token) (any, error) { return key, nil },
				jwt.WithValidMethods([]string{"EdDSA"}), jwt.WithIssuer("https://bench.example"), jwt.WithAudience("api"))
			if err != nil || claims["sub"] != benchSubject {
				b.Fatal(fmt.Errorf("%v, %v", claims, err))
			}
		})
		if seen != requests {
			b.Fatalf("of %d requests %d had their session", requests, seen)
		}
	})
}

// compare reports the median of the ratios of A to B, and their 10th and 90th
// percentiles.
func compare(b *testing.B, doA, doB func()) {
	b.Helper()
	ratios := pairs.Ratios(pairs.Turn, doA, doB, b.Loop)
	b.ReportMetric(pairs.At(ratios, 0.5), "ratio")
	b.ReportMetric(pairs.At(ratios, 0.1), "ratio-p10")
	b.ReportMetric(pairs.At(ratios, 0.9), "ratio-p90")
	b.ReportMetric(0, "ns/op")
}
