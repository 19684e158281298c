package remotekeys

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
)

// find looks for a key of the issuer.
func find(ctx context.Context, k *Keys, kid string) error {
	_, err := k.AccessKey(ctx, time.Now(), kid, codec.EdDSA)
	return err
}

// A key that is held costs no fetch. One that is not known causes one, by a
// request that is sent afterwards.
func TestAccessKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		for range 3 {
			if err := find(t.Context(), k, "a"); err != nil {
				t.Error(err)
			}
		}
		if n := len(i.made()); n != 0 {
			t.Errorf("%d fetches for a key that is held", n)
		}
		i.set(func(i *issuer) { i.text = another })
		if err := find(t.Context(), k, "b"); err != nil {
			t.Errorf("a new key: %v", err)
		}
		if err := find(t.Context(), k, "a"); !errors.Is(err, keyring.ErrUnknown) || errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("a key that the issuer took back: %v", err)
		}
		if n := len(i.made()); n != 2 {
			t.Errorf("%d fetches, want one for each unknown key", n)
		}
	})
}

// In an outage of the issuer, a key that is held goes on, until the set is too
// old. A key that may be new is unavailable, and not unknown.
func TestPromise5_AccessKeyInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		held := time.Now()
		i.set(func(i *issuer) { i.err = errDown })
		if err := find(t.Context(), k, "b"); !errors.Is(err, sentinel.ErrUnavailable) || !errors.Is(err, errDown) {
			t.Errorf("a key that may be new: %v", err)
		}
		time.Sleep(time.Until(held.Add(keep)))
		if err := find(t.Context(), k, "a"); err != nil {
			t.Errorf("at Keep: %v", err)
		}
		if got := k.Age(); got != keep {
			t.Errorf("the keys are %v old, want %v", got, keep)
		}
		time.Sleep(time.Nanosecond)
		if err := find(t.Context(), k, "a"); !errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("past Keep: %v", err)
		}
		if i.reported() != 1 {
			t.Errorf("%d outages were reported, want 1", i.reported())
		}
		i.set(func(i *issuer) { i.err = nil })
		if err := find(t.Context(), k, "a"); err != nil {
			t.Errorf("after the outage: %v", err)
		}
		i.set(func(i *issuer) { i.err = errDown })
		k.Refetch(t.Context())
		synctest.Wait()
		if i.reported() != 2 {
			t.Errorf("%d outages were reported, want the second too", i.reported())
		}
	})
}

// Open waits for the first key set, and says why there was none.
func TestOpen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := newKeys(t, func(i *issuer) { i.err = errDown })
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		began := time.Now()
		if err := k.Open(ctx); !errors.Is(err, errDown) || time.Since(began) != 20*time.Second {
			t.Errorf("%v after %v, want down after 20s", err, time.Since(began))
		}
		time.AfterFunc(5*time.Second, func() { i.set(func(i *issuer) { i.err = nil }) })
		began = time.Now()
		if err := k.Open(t.Context()); err != nil || time.Since(began) < 5*time.Second {
			t.Errorf("%v after %v, want the set after 5s", err, time.Since(began))
		}
	})
}

// Open says what the only fetch found, though it is waiting for another.
func TestOpenInAnInstant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, _ := newKeys(t, func(i *issuer) { i.err = errDown })
		synctest.Wait() // the first fetch is over
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		defer cancel()
		if err := k.Open(ctx); !errors.Is(err, errDown) {
			t.Errorf("%v, want down", err)
		}
	})
}

// Junk key ids cause one fetch a second, and do not use up the one that a true id
// needs.
func TestPromise8_UnknownKeysCauseFewFetches(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		for range 50 {
			go func() {
				for t.Context().Err() == nil {
					find(t.Context(), k, "junk")
				}
			}()
		}
		time.Sleep(time.Minute + time.Millisecond)
		synctest.Wait()
		made := i.made()
		if len(made) < 60 || len(made) > 62 {
			t.Errorf("%d fetches in a minute", len(made))
		}
		for n := range made[1:] {
			if d := made[n+1].Sub(made[n]); d < minInterval {
				t.Errorf("fetch %d came after %v", n+1, d)
			}
		}
		i.set(func(i *issuer) { i.text = another })
		began := time.Now()
		if err := find(t.Context(), k, "b"); err != nil || time.Since(began) > 2*minInterval {
			t.Errorf("a true key among junk: %v after %v", err, time.Since(began))
		}
	})
}

// Nobody can forge an entry of the log, so a fetch that it causes waits for a tenth
// of the interval.
func TestRefetchIsUrgent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		go find(t.Context(), k, "junk") // it waits already
		synctest.Wait()
		began := time.Now()
		if err := k.Refetch(t.Context()); err != nil || time.Since(began) != minIntervalUrgent {
			t.Errorf("%v after %v, want it after %v", err, time.Since(began), minIntervalUrgent)
		}
		if n := len(i.made()); n != 1 {
			t.Errorf("%d fetches, want 1 for both callers", n)
		}
	})
}

// A request waits for a bounded time, for a fetch that begins after it: one that
// was in flight may miss the key.
func TestPromise8_AwaitIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		i.set(func(i *issuer) { i.slow = time.Hour })
		began := time.Now()
		if err := find(t.Context(), k, "b"); !errors.Is(err, sentinel.ErrUnavailable) || time.Since(began) != 3*time.Second {
			t.Errorf("%v after %v, want unavailable after 3s", err, time.Since(began))
		}
		began = time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := find(ctx, k, "b"); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != time.Second {
			t.Errorf("%v after %v, want the end of the request", err, time.Since(began))
		}
		time.Sleep(time.Minute)
		for n, made := 0, i.made(); n+1 < len(made); n++ {
			if d := made[n+1].Sub(made[n]); n > 0 && d < 5*time.Second {
				t.Errorf("fetch %d came %v after one that hangs", n+1, d)
			}
		}
		began = time.Now()
		k.Close()
		if err := find(t.Context(), k, "b"); !errors.Is(err, sentinel.ErrUnavailable) || time.Since(began) != 0 {
			t.Errorf("after Close: %v after %v", err, time.Since(began))
		}
	})
}

// Without requests the set is fetched at the interval given, spread a little, and
// after failures ever less often.
func TestFetchIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		time.Sleep(10 * time.Hour)
		made := i.made()
		if len(made) < 60 {
			t.Errorf("%d fetches in ten hours", len(made))
		}
		for n := range made[1:] {
			if d := made[n+1].Sub(made[n]); d > refreshEvery || d < refreshEvery-refreshEvery/10 {
				t.Errorf("fetch %d came after %v", n+1, d)
			}
		}
		i.set(func(i *issuer) { i.err = errDown })
		if err := k.Refetch(t.Context()); !errors.Is(err, errDown) {
			t.Errorf("%v, want down", err)
		}
		made = i.made()
		last := made[len(made)-1]
		time.Sleep(time.Hour)
		made = i.made()
		for n, at := range made {
			most := min(minInterval<<min(n, 10), maxBackoff)
			if d := at.Sub(last); d > most || d < most*3/4 {
				t.Errorf("fetch %d after a failure came after %v, want about %v", n+1, d, most)
			}
			last = at
		}
		if len(made) < 100 {
			t.Errorf("%d fetches in an hour of failures", len(made))
		}
	})
}

// An HTTP cache's answer counts as old as it is: it replaces no later one, and is
// no answer at all past Keep.
func TestPromise2_AnswersOfAnHTTPCache(t *testing.T) {
	for name, row := range map[string]struct {
		age  time.Duration
		text string
		want string // the key that is held afterwards
		err  bool
	}{
		"fresh":                {0, another, "b", false},
		"older, but later":     {time.Minute, another, "b", false},
		"from before the held": {30 * time.Minute, another, "a", true},
		"past Keep":            {keep + 1, another, "a", true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, i := heldKeys(t)
				time.Sleep(5 * time.Minute)
				i.set(func(i *issuer) { i.age, i.text = row.age, row.text })
				if err := k.Refetch(t.Context()); (err != nil) != row.err {
					t.Errorf("%v", err)
				}
				if _, err := k.held.Load().set.AccessKey(t.Context(), time.Now(), row.want, codec.EdDSA); err != nil {
					t.Errorf("%s is not held: %v", row.want, err)
				}
				if !row.err && k.Age() != row.age {
					t.Errorf("the set is %v old, want %v", k.Age(), row.age)
				}
			})
		})
	}
}

// The first answer of an HTTP cache counts for nothing past Keep either.
func TestPromise2_TheFirstAnswerIsTooOld(t *testing.T) {
	for age, held := range map[time.Duration]bool{keep: true, keep + 1: false} {
		synctest.Test(t, func(t *testing.T) {
			k, _ := newKeys(t, func(i *issuer) { i.age = age })
			synctest.Wait()
			if got := k.held.Load() != nil; got != held {
				t.Errorf("a set of %v ago is held: %v", age, got)
			}
		})
	}
}
