package wafer_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
)

// BenchmarkBudget measures the ratios of the performance budget (design,
// section 10). A and B take short turns, A B B A, so that a busy machine slows
// both alike; what is reported is the median of the pairs' ratios, A over B.
// bench/guard holds these figures against the budget.
func BenchmarkBudget(b *testing.B) {
	b.Run("identity-to-floor", func(b *testing.B) {
		p := &paths{contender: openWafer(b)}
		_, serve := again(p.onIdentity(), p.loggedIn(b))
		open := benchFloor(b)
		pairs(b, serve, func() {
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
			pairs(b, serve, serveOther)
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
			time.Sleep(10 * time.Millisecond) // until the cache has it
		}
		requests := 3
		pairs(b, func() { serve(); requests++ }, func() {
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

// turn is how long A or B works at a time: thousands of times what reading
// the clock takes, and less than what the scheduler gives another process.
const turn = 300 * time.Microsecond

// pairs runs A and B by turns and reports the median of their ratios, and the
// 10th and 90th percentile.
func pairs(b *testing.B, doA, doB func()) {
	b.Helper()
	nA, nB := times(doA), times(doB)
	var ratios []float64
	for b.Loop() {
		a1, b1 := spent(nA, doA), spent(nB, doB)
		b2, a2 := spent(nB, doB), spent(nA, doA)
		ratios = append(ratios, a1/b1, a2/b2)
	}
	slices.Sort(ratios)
	at := func(part float64) float64 { return ratios[int(part*float64(len(ratios)-1))] }
	b.ReportMetric(at(0.5), "ratio")
	b.ReportMetric(at(0.1), "ratio-p10")
	b.ReportMetric(at(0.9), "ratio-p90")
	b.ReportMetric(0, "ns/op")
}

// times is how often do runs in one turn.
func times(do func()) int {
	for n := 1; ; n *= 2 {
		if t := spent(n, do) * float64(n); t > float64(10*turn) {
			return max(1, int(float64(n)*float64(turn)/t))
		}
	}
}

// spent is the time in ns of one of n runs.
func spent(n int, do func()) float64 {
	began := time.Now()
	for range n {
		do()
	}
	return float64(time.Since(began)) / float64(n)
}
