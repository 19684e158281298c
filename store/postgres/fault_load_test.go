//go:build unix

package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/waferkit/wafer/internal/faulttest"
	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store/postgres"
)

// Another client locks rows in the other order, a family and then the head, so that
// the server ends some of the engine's transactions as deadlocks. The server's
// default isolation is serializable, in which that client makes them fail.
func TestFaultConflicts(t *testing.T) {
	t.Parallel()
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
					// Errors are expected: some of the deadlocks end this client's.
					_ = pgx.BeginTxFunc(ctx, admin, pgx.TxOptions{IsoLevel: level}, func(tx pgx.Tx) error {
						if _, err := tx.Exec(ctx, lock); err != nil {
							return err
						}
						time.Sleep(40 * time.Millisecond) // a node comes upon what is locked
						_, err := tx.Exec(ctx, "UPDATE wafer.log SET head = head")
						return err
					})
					time.Sleep(rand.N(20 * time.Millisecond))
				}
			})
		}
		defer spoilers.Wait()
		defer cancel()
		want, began := rounds.Of(1, 5), time.Now()
		waitFor(t, fmt.Sprintf("%d deadlocks, and as many transactions of the other that fail", want), func() bool {
			log := logged(t, s)
			return strings.Count(log, "deadlock detected") >= want && strings.Count(log, "could not serialize") >= want || w.Broken() > 0
		})
		t.Logf("seen after %v", time.Since(began))
	})
	w.NoneExcused(t)
}

// Other clients hold all connections, and the nodes have lost theirs. They must
// answer 503 until there is a connection again.
func TestFaultTooManyConnections(t *testing.T) {
	t.Parallel()
	const slots = 30
	s := serverOf(t, fmt.Sprint("max_connections=", slots), "superuser_reserved_connections=0")
	w, ways := proxied(t, faulttest.Config{}, notified, s)
	alice := w.Browser("alice")
	alice.Expect(t, "start", 200, 0)
	w.Run(func() {
		time.Sleep(300 * time.Millisecond)
		w.Note("the nodes lose their connections, and others take all there are")
		for _, way := range ways {
			way.Set(testserver.Refuse)
		}
		take := func() (*pgx.Conn, error) {
			return pgx.Connect(background, s.PostgresURL("postgres", "postgres"))
		}
		refuses := func(err error) bool {
			var e *pgconn.PgError
			return errors.As(err, &e) && e.Code == "53300"
		}
		var others []*pgx.Conn
		waitFor(t, "others have every connection", func() bool {
			// The server refuses it while it still ends the nodes' connections.
			c, err := take()
			if err == nil {
				others = append(others, c)
			} else if !refuses(err) {
				t.Fatal(err)
			}
			return len(others) == slots
		})
		for _, way := range ways {
			way.Set(testserver.Pass)
		}
		for range 5 {
			if _, err := take(); !refuses(err) {
				t.Errorf("one connection more: %v, want it refused", err)
			}
		}
		if got := alice.Do(1, "commit"); got != 503 {
			t.Errorf("a commit without a connection: %d", got)
		}
		for _, c := range others {
			c.Close(context.Background())
		}
		w.Note("there are connections again")
		w.Settle()
		alice.Expect(t, "commit", 200, 1)
	})
	w.NoneExcused(t)
}

// A revocation reaches the other nodes at once, by the configured way. A node that
// it does not reach that way would accept the cookie for up to MaxStaleness, which
// is hours here, and query again after a quarter of an hour. The number of
// milliseconds depends on the machine; the benchmarks measure it.
func faultLatency(t *testing.T, s *testserver.Server, o postgres.Options) {
	for name, notify := range map[string]bool{"polling": false, "notified": true} {
		t.Run(name, func(t *testing.T) {
			o := o
			if o.Notify = notify; notify {
				o.Poll = time.Hour // entries arrive by notices alone
			}
			w := world(t, faulttest.Config{Access: 2 * time.Minute, Idle: 5 * time.Minute, MaxStaleness: 2 * time.Hour}, o, func(int) string { return s.Addr })
			n := rounds.Of(15, 60)
			all := w.Latency(n)
			if len(all) != 2*n {
				t.Fatalf("%d of %d nodes refused the cookie in time", len(all), 2*n)
			}
			median, p99, last := faulttest.Percentile(all, 50), faulttest.Percentile(all, 99), all[len(all)-1]
			t.Logf("in force on another node after %v (median), %v (99%%), %v", median, p99, last)
			if last > time.Minute {
				t.Errorf("in force on another node after %v", last)
			}
		})
	}
}
