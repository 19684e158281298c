//go:build unix

package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// TestNewsOfAnotherNode measures how long a revocation takes to reach another node, by
// the next poll or by its notice. The budget is 50 ms for half of them and 250 ms for
// 99 of 100, plus a multiple of the duration of the calls themselves, for a slow or
// busy machine.
func TestNewsOfAnotherNode(t *testing.T) {
	// With Notify, no poll makes up for a lost notice.
	for name, o := range map[string]postgres.Options{"by default": {}, "with Notify": {Notify: true, Poll: time.Hour}} {
		t.Run(name, func(t *testing.T) {
			o.Schema = newSchema()
			one := open(t, newPool(t, serverURL(t)), o)
			other := open(t, newPool(t, serverURL(t)), o)
			if o.Notify {
				waitFor(t, "the other node listens", other.Listening)
			}
			var took, calls []time.Duration
			b, err := other.Since(background, store.Cursor{}, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			cursor := after(b)
			for i := range rounds.Of(25, 60) {
				arrived := make(chan time.Time, 1)
				var got store.Batch
				go func() {
					b, err := other.Since(background, cursor, 10, patience)
					if err != nil || len(b.Entries) != 1 {
						t.Errorf("%d entries, %v", len(b.Entries), err)
					}
					got = b
					arrived <- time.Now()
				}()
				time.Sleep(time.Duration(i%13) * time.Millisecond)
				began := time.Now()
				_, err := one.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
				if err != nil {
					t.Fatal(err)
				}
				returned := time.Now()
				calls = append(calls, returned.Sub(began))
				took = append(took, (<-arrived).Sub(returned))
				cursor = after(got)
			}
			slices.Sort(took)
			slices.Sort(calls)
			half, most, last := len(took)/2, len(took)*99/100, len(calls)-1
			t.Logf("half within %v, 99 of 100 within %v; the calls took %v, at most %v", took[half], took[most], calls[half], calls[last])
			if took[half] > 50*time.Millisecond+10*calls[half] || took[most] > 250*time.Millisecond+10*calls[last] {
				t.Errorf("half within %v, 99 of 100 within %v: want 50 and 250 ms; the calls took %v, at most %v", took[half], took[most], calls[half], calls[last])
			}
		})
	}
}

// TestWhoReadLessIsWoken waits as a caller that has read the current head. Polling
// begins at the head that its first caller has read, and another waiting caller may
// have read less, so the first poll wakes them all.
func TestWhoReadLessIsWoken(t *testing.T) {
	db, _, _ := openNew(t)
	c, err := db.Cutoffs(background, store.ID{}, "")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := db.Wait(background, c.Head, 2*patience); err != nil || time.Since(began) > patience {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// TestBehindAPoolerNothingIsHeard sets Notify behind a pooler, which passes on no
// notices. Polling must go on at its usual pace.
func TestBehindAPoolerNothingIsHeard(t *testing.T) {
	url := bouncer(t) + "&default_query_exec_mode=exec"
	o := postgres.Options{Schema: newSchema(), Notify: true, Timeout: time.Second}
	one, other := open(t, newPool(t, url), o), open(t, newPool(t, url), o)
	b, err := other.Since(background, store.Cursor{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	go one.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
	if b, err = other.Since(background, after(b), 1, patience); err != nil || len(b.Entries) != 1 {
		t.Fatalf("%d entries, %v", len(b.Entries), err)
	}
	if other.Listening() {
		t.Error("it claims to listen, and polls slowly")
	}
}

// TestAListenerThatIsCutOff ends a listener's connection. The node must poll until the
// listener has another.
func TestAListenerThatIsCutOff(t *testing.T) {
	pool := newPool(t, serverURL(t))
	o := postgres.Options{Schema: newSchema(), Notify: true}
	one, other := open(t, pool, o), open(t, newPool(t, serverURL(t)+"&application_name=cut"), o)
	waitFor(t, "the other node listens", other.Listening)
	run(t, pool, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut' AND query LIKE 'LISTEN%'")
	waitFor(t, "it no longer listens", func() bool { return !other.Listening() })
	b, err := one.Since(background, store.Cursor{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Revoke(background, store.Revocation{Everyone: true}); err != nil {
		t.Fatal(err)
	}
	if b, err = other.Since(background, after(b), 1, patience); err != nil || len(b.Entries) != 1 {
		t.Errorf("%d entries, %v", len(b.Entries), err)
	}
	waitFor(t, "it listens again", other.Listening)
}
