package sqlite_test

import (
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
	"github.com/waferkit/wafer/store/storetest"
)

// clock is a clock that the suite moves.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func open(t testing.TB, path string, o sqlite.Options) *sqlite.Store {
	t.Helper()
	db, err := sqlite.Open(t.Context(), path, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// headOf returns the cursor of the log's newest entry.
func headOf(t testing.TB, db *sqlite.Store) store.Cursor {
	t.Helper()
	b, err := db.Since(t.Context(), store.Cursor{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	return store.Cursor{Position: b.Head, ID: b.HeadID}
}

// TestStore runs the conformance suite, with a clock that it moves.
func TestStore(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Engine {
		path := filepath.Join(t.TempDir(), "wafer.db")
		c := &clock{now: time.Now()}
		o := sqlite.Options{Now: c.Now}
		db := open(t, path, o)
		handles := []*sqlite.Store{db}
		return storetest.Engine{
			Store: db,
			Clock: c.Move,
			Reopen: func(t *testing.T) store.Store {
				handles = append(handles, open(t, path, o))
				return handles[len(handles)-1]
			},
			Restart: func(t *testing.T) store.Store {
				for _, old := range handles {
					if err := old.Close(); err != nil {
						t.Error(err)
					}
				}
				db = open(t, path, o)
				handles = []*sqlite.Store{db}
				return db
			},
			Backup: func(t *testing.T) func(t *testing.T) store.Store {
				copied := filepath.Join(t.TempDir(), "copy.db")
				if err := sqlite.Backup(t.Context(), path, copied); err != nil {
					t.Fatal(err)
				}
				return func(t *testing.T) store.Store { return open(t, copied, o) }
			},
			Tidy: func() {
				if err := db.Sweep(t.Context()); err != nil {
					t.Error(err)
				}
			},
			Families: func() int {
				n, err := db.Rows(t.Context())
				if err != nil {
					t.Error(err)
				}
				return n
			},
		}
	})
}
