//go:build unix

package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// TestNewsOfAnotherNode measures how long a revocation takes to another node:
// half of them within 50 ms, and 99 of 100 within 250.
func TestNewsOfAnotherNode(t *testing.T) {
	for name, o := range map[string]postgres.Options{"by default": {}, "with Notify": {Notify: true}} {
		t.Run(name, func(t *testing.T) {
			o.Schema = newSchema()
			one := open(t, newPool(t, serverURL(t)), o)
			other := open(t, newPool(t, serverURL(t)), o)
			if o.Notify {
				waitFor(t, "the other hears", other.Hears)
			}
			var took []time.Duration
			b, err := other.Since(background, 0, 1, 0)
			if err != nil {
				t.Fatal(err)
			}
			cursor := b.Head
			for i := range 60 {
				heard := make(chan time.Time, 1)
				go func() {
					b, err := other.Since(background, cursor, 10, 5*time.Second)
					if err != nil || len(b.Entries) != 1 {
						t.Errorf("%d entries, %v", len(b.Entries), err)
					}
					heard <- time.Now()
				}()
				time.Sleep(time.Duration(i%13) * time.Millisecond)
				s, err := one.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
				if err != nil {
					t.Fatal(err)
				}
				returned := time.Now()
				took = append(took, (<-heard).Sub(returned))
				cursor = s.Entry
			}
			slices.Sort(took)
			middle, late := took[len(took)/2], took[len(took)*99/100]
			t.Logf("half within %v, 99 of 100 within %v", middle, late)
			if middle > 50*time.Millisecond || late > 250*time.Millisecond {
				t.Errorf("half within %v, 99 of 100 within %v: want 50 and 250 ms", middle, late)
			}
		})
	}
}

// TestWhoReadLessIsWoken: polling begins at the head that its first waiter has
// read, and another may wait who has read less. So all look once more.
func TestWhoReadLessIsWoken(t *testing.T) {
	db, _, _ := openNew(t)
	c, err := db.Cutoffs(background, store.ID{}, "")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if err := db.Wait(background, c.Head, 20*time.Second); err != nil || time.Since(began) > 10*time.Second {
		t.Errorf("%v after %v", err, time.Since(began))
	}
}

// TestBehindAPoolerNothingIsHeard: there polling goes on at its usual pace.
func TestBehindAPoolerNothingIsHeard(t *testing.T) {
	url := bouncer(t) + "&default_query_exec_mode=exec"
	o := postgres.Options{Schema: newSchema(), Notify: true, Timeout: time.Second}
	one, other := open(t, newPool(t, url), o), open(t, newPool(t, url), o)
	b, err := other.Since(background, 0, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	go one.Revoke(background, store.Revocation{Subjects: []string{"anna"}})
	if b, err = other.Since(background, b.Head, 1, 10*time.Second); err != nil || len(b.Entries) != 1 {
		t.Fatalf("%d entries, %v", len(b.Entries), err)
	}
	if took := time.Since(began); took > 900*time.Millisecond {
		t.Errorf("the news took %v: want them polled for", took)
	}
}

// TestAListenerThatIsCutOff polls until it has another connection.
func TestAListenerThatIsCutOff(t *testing.T) {
	pool := newPool(t, serverURL(t))
	o := postgres.Options{Schema: newSchema(), Notify: true}
	one, other := open(t, pool, o), open(t, newPool(t, serverURL(t)+"&application_name=cut"), o)
	waitFor(t, "the other hears", other.Hears)
	run(t, pool, "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'cut' AND query LIKE 'LISTEN%'")
	waitFor(t, "it hears no more", func() bool { return !other.Hears() })
	b, err := one.Since(background, 0, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := one.Revoke(background, store.Revocation{Everyone: true}); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	if b, err = other.Since(background, b.Head, 1, 10*time.Second); err != nil || len(b.Entries) != 1 || time.Since(began) > 900*time.Millisecond {
		t.Errorf("%d entries, %v, after %v", len(b.Entries), err, time.Since(began))
	}
	waitFor(t, "it hears again", other.Hears)
}
