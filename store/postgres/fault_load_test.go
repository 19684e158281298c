//go:build unix

package postgres_test

import (
	"context"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store/postgres"
)

// Another client locks rows in the other order, a family and then the head, so
// that transactions of the engine are chosen to end as deadlocks; and the
// server's own isolation is serializable, in which that client fails them.
func TestFaultConflicts(t *testing.T) {
	s := serverOf(t, "deadlock_timeout=20ms", "default_transaction_isolation=serializable", "max_connections=60")
	admin := newPool(t, s.PostgresURL("postgres", "postgres"))
	w := world(t, faulttest.Config{}, notified, func(int) string { return s.Addr })
	w.Run(func() {
		ctx, cancel := context.WithCancel(context.Background())
		var spoilers sync.WaitGroup
		for level, lock := range map[pgx.TxIsoLevel]string{
			pgx.ReadCommitted: "SELECT 1 FROM wafer.families WHERE subject LIKE 'resident%' AND NOT ended FOR UPDATE",
			pgx.Serializable:  "UPDATE wafer.families SET label = label WHERE NOT ended",
		} {
			spoilers.Go(func() {
				for ctx.Err() == nil {
					// Errors are wanted: some of the deadlocks are this client's.
					_ = pgx.BeginTxFunc(ctx, admin, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
						if _, err := tx.Exec(ctx, lock); err != nil {
							return err
						}
						time.Sleep(10 * time.Millisecond)
						_, err := tx.Exec(ctx, "UPDATE wafer.log SET head = head")
						return err
					})
					time.Sleep(rand.N(50 * time.Millisecond))
				}
			})
		}
		time.Sleep(2 * time.Second)
		for until := time.Now().Add(10 * time.Second); !strings.Contains(logged(t, s), "deadlock detected") && time.Now().Before(until); {
			time.Sleep(50 * time.Millisecond)
		}
		cancel()
		spoilers.Wait()
	})
	log := logged(t, s)
	deadlocks, failed := strings.Count(log, "deadlock detected"), strings.Count(log, "could not serialize")
	if t.Logf("%d deadlocks, %d transactions of the other failed", deadlocks, failed); deadlocks == 0 || failed == 0 {
		t.Errorf("%d deadlocks and %d serialization failures: nobody was in the way", deadlocks, failed)
	}
	noneExcused(t, w)
}

// Others take all connections, and the nodes have lost theirs: 503 until there
// is one again.
func TestFaultTooManyConnections(t *testing.T) {
	s := serverOf(t, "max_connections=30", "superuser_reserved_connections=0")
	admin := newPool(t, s.PostgresURL("postgres", "postgres"))
	w := world(t, faulttest.Config{}, notified, func(int) string { return s.Addr })
	alice := w.Browser("alice")
	do(t, alice, "start", 200, 0)
	w.Run(func() {
		time.Sleep(300 * time.Millisecond)
		keep, err := admin.Acquire(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		defer keep.Release()
		w.Note("others take all connections")
		var others []*pgx.Conn
		refused := 0
		for began := time.Now(); time.Since(began) < 1500*time.Millisecond; {
			c, err := pgx.Connect(context.Background(), s.PostgresURL("postgres", "postgres"))
			if err == nil {
				_, err = c.Exec(context.Background(), "SET application_name = 'other'")
				others = append(others, c)
			}
			if err != nil {
				refused++
				// What the nodes still have, they lose.
				if _, err := keep.Exec(context.Background(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE backend_type = 'client backend' AND application_name <> 'other' AND pid <> pg_backend_pid()"); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := alice.Do(1, "commit"); got != 503 {
			t.Errorf("a commit without a connection: %d", got)
		}
		if t.Logf("%d connections were taken, %d refused", len(others), refused); refused == 0 {
			t.Error("there were connections for all")
		}
		for _, c := range others {
			c.Close(context.Background())
		}
		w.Note("there are connections again")
		w.Settle()
		do(t, alice, "commit", 200, 1)
	})
	noneExcused(t, w)
}

// A revocation is in force on the other nodes within milliseconds of its return:
// 50 ms and, for 99 of 100, 250 ms are what is wanted, with the defaults, on a
// machine of one's own. Tests share theirs, so far more is let pass.
func faultLatency(t *testing.T, s *testserver.Server, o postgres.Options) {
	for name, notify := range map[string]bool{"polling": false, "notified": true} {
		t.Run(name, func(t *testing.T) {
			o := o
			o.Notify = notify
			// A node that did not hear news would ask every 2 s.
			w := world(t, faulttest.Config{MaxStaleness: 6 * time.Second}, o, func(int) string { return s.Addr })
			all := w.Latency(60)
			median, p99 := faulttest.Percentile(all, 50), faulttest.Percentile(all, 99)
			t.Logf("in force on another node after %v (median), %v (99%%), of %d", median, p99, len(all))
			if median > 200*time.Millisecond || p99 > time.Second || len(all) != 120 {
				t.Errorf("in force on another node after %v (median), %v (99%%), of %d", median, p99, len(all))
			}
		})
	}
}
