package e2e_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
)

// junk returns a token with a key id that names no key.
func junk() string {
	header := fmt.Sprintf(`{"alg":"EdDSA","kid":"%08x-EdDSA","typ":"at+jwt"}`, 0xff000000|rand.Uint32())
	return b64(header) + "." + b64("{}") + "." + b64(string(make([]byte, 64)))
}

// In an outage of the key set its keys are used until Keep is over. Even then
// no token is refused, since it may be good.
func TestPromise5_VerifierOutageOfTheKeys(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		began := time.Now()
		s.keys.cut()
		if err := s.ring.RevokeAll(t.Context(), began, "test"); err != nil {
			t.Fatal(err)
		}
		// Tokens of new keys may not be refused: the keys may exist.
		v.is("a token of a new key", s.orders("bob"), wafer.ErrUnavailable)
		v.is("junk", "junk", wafer.ErrNoSession)

		s.keys.restore()
		time.Sleep(time.Minute)
		token := s.orders("carol")
		v.is("the keys are back", token, nil)
		s.keys.cut()
		for began = time.Now(); time.Since(began) < 15*time.Minute-10*time.Second-5*time.Minute; time.Sleep(time.Minute) {
			token = s.orders("carol")
			v.is("kept", token, nil)
			v.is("kept, seen before", token, nil)
		}
		time.Sleep(5*time.Minute + 10*time.Second)
		fresh := s.orders("carol")
		v.is("after Keep, seen before or not", fresh, wafer.ErrUnavailable)
		h := v.Bearer(http.NotFoundHandler())
		r := httptest.NewRequest("GET", "/", nil)
		r.Header.Set("Authorization", "Bearer "+fresh)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 503 || w.Header().Get("Retry-After") == "" || w.Header().Get("WWW-Authenticate") != "" {
			t.Errorf("%d %v", w.Code, w.Header())
		}
		if age := v.KeysAge(); age < 15*time.Minute {
			t.Errorf("the age is %v", age)
		}
		s.keys.restore()
		v.is("back again", fresh, nil) // it fetches for the request
		if age := v.KeysAge(); age > 2*time.Second {
			t.Errorf("the age is %v", age)
		}
	})
}

// A token that was verified before is no better than its keys: after Keep it is
// unavailable too.
func TestPromise2_VerifierCachedTokenAfterKeep(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service(func(c *wafer.VerifierConfig) { c.Keep = 2 * time.Minute })
		time.Sleep(30 * time.Second)
		token := s.orders("alice")
		v.is("before the outage", token, nil)
		s.keys.cut()
		age := v.KeysAge()
		time.Sleep(2*time.Minute - age)
		v.is("at Keep", token, nil)
		time.Sleep(time.Millisecond)
		v.is("after Keep", token, wafer.ErrUnavailable)
		v.is("after Keep, again", token, wafer.ErrUnavailable)
	})
}

// Keys are known to the service before they sign, through several rotations. No
// token waits for a fetch.
func TestVerifierRotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t)
		v := s.service()
		waited, kids := time.Duration(0), map[string]bool{}
		for range 4 {
			if _, err := s.ring.Rotate(t.Context(), time.Now(), 0); err != nil {
				t.Fatal(err)
			}
			for range 90 {
				time.Sleep(time.Minute)
				token := s.orders("alice")
				began := time.Now()
				v.is("a token", token, nil)
				waited += time.Since(began)
				key, err := s.ring.Primary(time.Now())
				if err != nil {
					t.Fatal(err)
				}
				kids[key.ID().String()] = true
			}
		}
		if waited != 0 || len(kids) < 4 {
			t.Errorf("waited %v for %d keys", waited, len(kids))
		}
		if n := s.keys.count(); n < 360/5 || n > 360/4 {
			t.Errorf("%d fetches in 6 h: want one in 4.5 to 5 minutes", n)
		}
	})
}

// The longest Keep is no longer than the time that a key is published before it
// signs. In an outage that begins at the worst moment, a token of the new key
// is at worst unavailable.
func TestPromise5_VerifierOutageOverARotation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// The next key took over a day ago, so the service has no next key.
		s := openShopAt(t, time.Now().Add(-keyring.DefaultSeals-24*time.Hour))
		v := s.service(func(c *wafer.VerifierConfig) { c.Keep = time.Hour })
		before := len(s.ring.Set().Keys())
		s.keys.cut()
		if _, err := s.ring.Rotate(t.Context(), time.Now(), 0); err != nil {
			t.Fatal(err)
		}
		good, unavailable := 0, 0
		for range 130 {
			time.Sleep(time.Minute)
			switch _, err := v.Verify(t.Context(), s.orders("alice")); {
			case err == nil:
				good++
			case errors.Is(err, wafer.ErrUnavailable):
				unavailable++
			default:
				t.Fatalf("a good token is refused: %v", err)
			}
		}
		if good < 50 || unavailable < 60 || len(s.ring.Set().Keys()) == before {
			t.Errorf("%d good, %d unavailable", good, unavailable)
		}
	})
}

// A revoked key disappears from the service with the next fetch at the latest.
func TestPromise2_VerifierRevokedKey(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		thief := s.thief()
		v.is("before", s.forge(thief), nil)
		s.revokePrimary()
		time.Sleep(4 * time.Minute)
		forged := s.forge(thief)
		v.is("a token seen before the fetch", forged, nil) // otherwise this test shows nothing
		time.Sleep(time.Minute + time.Second)
		v.is("after Refresh, seen before", forged, wafer.ErrNoSession)
		v.is("after Refresh", s.forge(thief), wafer.ErrNoSession)
		v.is("of the next key", s.orders("alice"), nil)
	})
}

// If everyone is revoked with the key, the key disappears at once, also for
// tokens that are forged above that entry, and in every state of the replica.
func TestPromise2_VerifierRevokedKeyWithEveryone(t *testing.T) {
	for name, outOfTouch := range map[string]bool{"in touch": false, "out of touch": true} {
		t.Run(name, func(t *testing.T) {
			withShop(t, func(t *testing.T, s *shop) {
				v := s.service()
				thief := s.thief()
				if outOfTouch {
					s.log.cut(false)
					time.Sleep(testStaleness + time.Second)
				}
				v.is("forged, before", s.forge(thief), nil)
				seen, honest := s.forge(thief), s.orders("alice")
				v.is("forged, seen before", seen, nil)
				v.is("honest, before", honest, nil)
				s.revokePrimary()
				s.revoke(wafer.Revocation{Everyone: true})
				above := s.forge(thief)
				v.is("forged, above the entry", above, wafer.ErrNoSession)
				v.is("forged, seen before", seen, wafer.ErrNoSession)
				v.is("honest, before", honest, wafer.ErrNoSession)
				v.is("honest, after", s.orders("alice"), nil)
			})
		})
	}
}

// While the keys cannot be fetched, an entry that revokes everyone is not
// treated as handled: it makes no forged token good.
func TestPromise2_VerifierEveryoneInAnOutageOfTheKeys(t *testing.T) {
	for name, outOfTouch := range map[string]bool{"in touch": false, "out of touch": true} {
		t.Run(name, func(t *testing.T) {
			withShop(t, func(t *testing.T, s *shop) {
				v := s.service()
				thief := s.thief()
				honest := s.orders("alice")
				s.keys.cut()
				s.log.cut(false)
				time.Sleep(testStaleness + time.Second)
				v.is("honest, before", honest, nil) // by the store: nobody was revoked since the keys were fetched
				s.revokePrimary()
				s.revoke(wafer.Revocation{Everyone: true})
				if !outOfTouch {
					s.log.heal()
				}
				above := s.forge(thief)
				for range 5 {
					v.is("forged, above the entry", above, wafer.ErrUnavailable)
					time.Sleep(10 * time.Second)
				}
				s.keys.restore()
				s.log.heal()
				time.Sleep(testStaleness)
				v.is("forged", s.forge(thief), wafer.ErrNoSession)
				v.is("honest, before", honest, wafer.ErrNoSession)
				v.is("honest, after", s.orders("alice"), nil)
			})
		})
	}
}

// floodVerifier verifies tokens with junk ids in 64 goroutines until the
// context ends.
func floodVerifier(t *testing.T, ctx context.Context, v *service) (wait func()) {
	var group sync.WaitGroup
	for range 64 {
		group.Go(func() {
			for ctx.Err() == nil {
				if _, err := v.Verify(ctx, junk()); !errors.Is(err, wafer.ErrNoSession) && ctx.Err() == nil {
					t.Errorf("junk: %v", err)
					return
				}
			}
		})
	}
	return group.Wait
}

func TestPromise8_VerifierJunkCausesOneFetchASecond(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		time.Sleep(time.Second)
		before := s.keys.count()
		ctx, cancel := withTimeout(t, 20*time.Second)
		defer cancel()
		wait := floodVerifier(t, ctx, v)
		<-ctx.Done()
		wait()
		if n := s.keys.count() - before; n < 15 || n > 21 || s.keys.most() != 1 {
			t.Errorf("%d fetches in 20 s, %d at once: want about 20, one at a time", n, s.keys.most())
		}
		time.Sleep(2 * time.Second) // fetches that are still due
		before = s.keys.count()
		time.Sleep(4 * time.Minute)
		if n := s.keys.count() - before; n != 0 {
			t.Errorf("%d fetches after the flood", n)
		}
	})
}

func TestVerifierFindsATrueKeyDuringAFlood(t *testing.T) {
	for _, delay := range []time.Duration{0, 20 * time.Millisecond, 900 * time.Millisecond} {
		t.Run(delay.String(), func(t *testing.T) {
			withShop(t, func(t *testing.T, s *shop) {
				v := s.service()
				s.keys.set(func(k *keysServer) { k.delay = delay })
				ctx, cancel := context.WithCancel(t.Context())
				wait := floodVerifier(t, ctx, v)
				for i := range 20 {
					time.Sleep(time.Duration(rand.Int64N(int64(3 * time.Second))))
					if err := s.ring.RevokeAll(t.Context(), time.Now(), "test"); err != nil {
						t.Fatal(err)
					}
					token := s.orders("alice")
					began := time.Now()
					if _, err := v.Verify(t.Context(), token); err != nil {
						t.Fatalf("true key %d, after %v: %v", i, time.Since(began), err)
					}
					if took := time.Since(began); took > time.Second+delay {
						t.Fatalf("true key %d took %v", i, took)
					}
					if i%5 == 4 { // keep the ring within its size
						if _, err := s.ring.Prune(t.Context(), time.Now()); err != nil {
							t.Fatal(err)
						}
					}
				}
				cancel()
				wait()
				time.Sleep(5 * time.Second)
			})
		})
	}
}

// The same on the real clock, with real goroutines that contend: for the race
// detector.
func TestVerifierFloodOnTheRealClock(t *testing.T) {
	t.Parallel()
	s := openShop(t)
	v := s.service()
	ctx, cancel := context.WithCancel(t.Context())
	wait := floodVerifier(t, ctx, v)
	for range 2 {
		if err := s.ring.RevokeAll(t.Context(), time.Now(), "test"); err != nil {
			t.Fatal(err)
		}
		s.revoke(wafer.Revocation{Everyone: true})
		token := s.orders("alice")
		v.is("a true key", token, nil)
		var group sync.WaitGroup
		for range 8 {
			group.Go(func() {
				for range 200 {
					v.is("a token seen before", token, nil)
				}
			})
		}
		group.Wait()
	}
	cancel()
	wait()
}

// Waiting for the keys is bounded, and a client that hangs up does not wait.
func TestPromise8_VerifierWaitIsBounded(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		s.keys.set(func(k *keysServer) { k.delay = time.Hour })
		began := time.Now()
		v.is("junk, while the keys do not come", junk(), wafer.ErrUnavailable)
		if took := time.Since(began); took != 3*time.Second {
			t.Errorf("it waited %v", took)
		}
		ctx, cancel := withTimeout(t, time.Second)
		defer cancel()
		began = time.Now()
		if _, err := v.Verify(ctx, junk()); !errors.Is(err, wafer.ErrUnavailable) || time.Since(began) != time.Second {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		// One fetch ends after 5 s, so that another can begin.
		before := s.keys.count()
		for range 10 {
			v.is("junk", junk(), wafer.ErrUnavailable)
		}
		if n := s.keys.count() - before; n < 5 || n > 7 || s.keys.most() != 1 {
			t.Errorf("%d fetches in 30 s, %d at once", n, s.keys.most())
		}
		v.is("a good token meanwhile", s.orders("alice"), nil)
	})
}

// Failed fetches are retried, at growing intervals if nobody waits.
func TestVerifierRetries(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		s.keys.cut()
		time.Sleep(6 * time.Minute)
		before := s.keys.count()
		time.Sleep(5 * time.Minute)
		if n := s.keys.count() - before; n < 10 || n > 14 {
			t.Errorf("%d tries in 5 minutes: want one in 22 to 30 s", n)
		}
		if n := v.count(wafer.KindUnavailable); n != 1 {
			t.Errorf("the outage was reported %d times", n)
		}
		s.keys.restore()
		time.Sleep(31 * time.Second)
		if age := v.KeysAge(); age > 31*time.Second {
			t.Errorf("the keys are %v old", age)
		}
	})
}

// NewVerifier waits for a key set until its context ends.
func TestVerifierStartsBeforeTheApplication(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		s.keys.cut()
		s.log.cut(true)
		time.AfterFunc(10*time.Second, s.keys.restore)
		time.AfterFunc(20*time.Second, s.log.heal)
		began := time.Now()
		v := s.service()
		if took := time.Since(began); took < 20*time.Second || took > 30*time.Second {
			t.Errorf("it took %v", took)
		}
		v.is("a token", s.orders("alice"), nil)

		s.keys.cut()
		for _, what := range []string{"keys", "log"} {
			want := errKeysDown
			if what == "log" {
				want = errStore
				s.keys.restore()
				s.log.cut(true)
			}
			ctx, cancel := withTimeout(t, 10*time.Second)
			began := time.Now()
			_, err := wafer.NewVerifier(ctx, wafer.VerifierConfig{
				Issuer: shopIssuer, Audiences: []string{ordersAPI}, Observe: func(wafer.Event) {},
				JWKSURL: shopKeysURL, Client: &http.Client{Transport: s.keys}, Log: s.log,
			})
			if !errors.Is(err, want) || time.Since(began) > 11*time.Second {
				t.Errorf("no %s: %v after %v", what, err, time.Since(began))
			}
			cancel()
		}
	})
}

// An HTTP cache in between makes the keys older, and never brings back an older
// set.
func TestVerifierBehindAnHTTPCache(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		noCache := 0
		age := func(seconds string) {
			s.keys.set(func(k *keysServer) {
				k.change = func(r *http.Response) {
					r.Header.Set("Age", seconds)
					if r.Request.Header.Get("Cache-Control") == "no-cache" {
						noCache++
					}
				}
			})
		}
		age("240")
		v := s.service()
		if got := v.KeysAge(); got < 240*time.Second || got > 245*time.Second {
			t.Errorf("the keys are %v old, want what the cache said", got)
		}
		if noCache == 0 {
			t.Error("no fetch asked the cache to revalidate")
		}
		for _, bad := range []string{"", "-5", "1e9", "999999999999", "x"} {
			age(bad)
			time.Sleep(time.Minute)
			v.is("junk", junk(), wafer.ErrNoSession) // it causes a fetch
			if got := v.KeysAge(); got > time.Second {
				t.Errorf("Age %q: the keys are %v old", bad, got)
			}
		}
		// A late answer of a cache, with the previous keys.
		old := httptest.NewRecorder()
		s.Endpoints().ServeHTTP(old, httptest.NewRequest("GET", "/jwks.json", nil))
		if err := s.ring.RevokeAll(t.Context(), time.Now(), "test"); err != nil {
			t.Fatal(err)
		}
		age("0")
		v.is("a new key", s.orders("alice"), nil)
		s.keys.set(func(k *keysServer) {
			k.change = func(r *http.Response) { body(old.Body.String())(r); r.Header.Set("Age", "100") }
		})
		v.is("junk", junk(), wafer.ErrUnavailable)
		v.is("the new key, still", s.orders("alice"), nil)
	})
}

// Ages count by the larger of wall and monotonic time.
func TestVerifierClockJumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := openShop(t)
		var offset atomic.Int64
		v := s.service(func(c *wafer.VerifierConfig) {
			c.Now = func() time.Time { return time.Now().Add(time.Duration(offset.Load())).Round(0) }
			c.Log, c.InsecureWithoutRevocations = nil, true
			c.Skew = time.Minute
		})
		thief := s.thief()
		long := s.forge(thief) // for an hour
		time.Sleep(2 * time.Second)
		v.is("a token", long, nil)
		fetches := s.keys.count()
		offset.Store(int64(6 * time.Minute)) // it slept, so its timers did not run
		v.is("after Refresh", long, nil)
		synctest.Wait()
		if n := s.keys.count() - fetches; n != 1 {
			t.Errorf("%d fetches after a jump past Refresh", n)
		}
		s.keys.cut()
		offset.Store(int64(30 * time.Minute))
		v.is("after Keep", long, wafer.ErrUnavailable)
		offset.Store(0) // the age is unknown now
		v.is("set back", long, wafer.ErrUnavailable)
		s.keys.restore()
		v.is("set back, and the keys are there", long, nil)
	})
}

// Close ends everything that NewVerifier started. Otherwise the bubble would
// not end.
func TestVerifierClose(t *testing.T) {
	withShop(t, func(t *testing.T, s *shop) {
		v := s.service()
		s.keys.set(func(k *keysServer) { k.delay = time.Hour })
		done := make(chan error)
		go func() {
			_, err := v.Verify(t.Context(), junk())
			done <- err
		}()
		time.Sleep(1500 * time.Millisecond) // the fetch has begun
		began := time.Now()
		w := s.keys.count()
		v.stop()
		if err := <-done; !errors.Is(err, wafer.ErrUnavailable) || time.Since(began) != 0 {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		time.Sleep(time.Hour)
		if n := s.keys.count(); n != w {
			t.Errorf("%d fetches after Close", n-w)
		}
	})
}
