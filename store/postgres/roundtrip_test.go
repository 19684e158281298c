//go:build unix

package postgres_test

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// TestRoundTrips checks the promise of the package that a method is one round trip.
// A method that needs two never shows one. It is called until it does, since
// housekeeping may come in between, and since pgx prepares each statement once.
func TestRoundTrips(t *testing.T) {
	config, err := pgxpool.ParseConfig(serverURL(t) + "&pool_max_conns=1")
	if err != nil {
		t.Fatal(err)
	}
	var counted testserver.Trips
	config.ConnConfig.DialFunc = counted.Dial
	config.ShouldPing = func(context.Context, pgxpool.ShouldPingParams) bool { return false } // of what has been idle
	pool, err := pgxpool.NewWithConfig(background, config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	db := open(t, pool, postgres.Options{Schema: newSchema()})
	n := 0
	for name, call := range map[string]func(f store.Family) (store.Snapshot, error){
		"Create": func(f store.Family) (store.Snapshot, error) {
			return db.Create(background, store.Creation{ID: enginebench.ID(-n), Subject: "anna", Renews: &store.Renewal{ID: f.ID, Basis: f.Position}})
		},
		"Advance": func(f store.Family) (store.Snapshot, error) {
			return db.Advance(background, store.Advance{ID: f.ID, Generation: 2})
		},
		"Advance of the position": func(f store.Family) (store.Snapshot, error) {
			return db.Advance(background, store.Advance{ID: f.ID, Generation: 2, PositionOnly: true})
		},
		"Reissue": func(f store.Family) (store.Snapshot, error) {
			return db.Reissue(background, store.Reissue{ID: f.ID, Generation: 1})
		},
		"Commit": func(f store.Family) (store.Snapshot, error) {
			return db.Commit(background, store.Commit{ID: f.ID, Basis: f.Position, Value: []byte("value")})
		},
		"Revoke": func(f store.Family) (store.Snapshot, error) {
			return db.Revoke(background, store.Revocation{Sessions: []store.ID{f.ID}})
		},
		"Family": func(f store.Family) (store.Snapshot, error) {
			s, err := db.Family(background, f.ID)
			s.Outcome = store.Written
			return s, err
		},
	} {
		waitFor(t, name+" is one round trip", func() bool {
			n++
			f := refreshings["Reissue"].login(t, db, enginebench.ID(n), time.Hour)
			before := counted.Count()
			s, err := call(f)
			trips := counted.Count() - before
			if err != nil || s.Outcome != store.Written {
				t.Fatalf("%s: %v, %v, %v", name, s.Outcome, s.State, err)
			}
			return trips == 1
		})
	}
}
