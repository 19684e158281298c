package sqlite

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// hold takes all connections of a pool, as slow calls would, until the test ends.
func hold(t *testing.T, p *pool) {
	t.Helper()
	for range p.Stats().MaxOpenConnections {
		tx, err := p.BeginTx(t.Context(), nil)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = tx.Rollback() })
	}
}

// TestReadersAreApart keeps all connections for lists busy, and then those for
// single families too. What a node needs to stay fresh and to let people log in
// must go on, and so must refreshes beside lists.
func TestReadersAreApart(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "wafer.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	calls := map[string]func(ctx context.Context) error{
		"Families": func(ctx context.Context) error {
			_, err := s.Families(ctx, store.Query{Subject: "mallory", Limit: 1})
			return err
		},
		"Families of everybody": func(ctx context.Context) error {
			_, err := s.Families(ctx, store.Query{Limit: 1})
			return err
		},
		"Family": func(ctx context.Context) error {
			_, err := s.Family(ctx, store.ID{1})
			return err
		},
		"Since": func(ctx context.Context) error {
			_, err := s.Since(ctx, store.Cursor{}, 1, 0)
			return err
		},
		"Cutoffs": func(ctx context.Context) error {
			_, err := s.Cutoffs(ctx, store.ID{1}, "alice")
			return err
		},
		"Announce": func(ctx context.Context) error {
			_, err := s.Announce(ctx, store.Announcement{Access: time.Minute, Node: store.ID{1}})
			return err
		},
		"LoadKeys": func(ctx context.Context) error {
			_, _, err := s.LoadKeys(ctx)
			return err
		},
		"Create": func(ctx context.Context) error {
			_, err := s.Create(ctx, store.Creation{ID: store.ID{2}, Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Limit: 3})
			return err
		},
	}
	try := func(what string, waits ...string) {
		t.Helper()
		for name, call := range calls {
			limit, want := time.Minute, error(nil)
			for _, w := range waits {
				if name == w {
					limit, want = 20*time.Millisecond, context.DeadlineExceeded
				}
			}
			ctx, cancel := context.WithTimeout(t.Context(), limit)
			if err := call(ctx); !errors.Is(err, want) {
				t.Errorf("%s: %s: %v; want %v", what, name, err, want)
			}
			cancel()
		}
	}
	try("nothing is slow")
	hold(t, s.readers.lists)
	try("slow lists", "Families", "Families of everybody")
	hold(t, s.readers.families)
	try("slow reads of families too", "Families", "Families of everybody", "Family")
}

// TestWaitersHoldNoReader has many more callers wait for entries than the log has
// readers. Others must be able to read the log meanwhile, and a revocation wakes
// them all.
func TestWaitersHoldNoReader(t *testing.T) {
	s, err := Open(t.Context(), filepath.Join(t.TempDir(), "wafer.db"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := s.Since(t.Context(), store.Cursor{}, 1, 0)
	if err != nil {
		t.Fatal(err)
	}
	const waiters = 10 * logReaders
	entries := make(chan int, waiters)
	for range waiters {
		go func() {
			b, err := s.Since(t.Context(), store.Cursor{Position: b.Head, ID: b.HeadID}, 10, 5*time.Minute)
			if err != nil {
				t.Error(err)
			}
			entries <- len(b.Entries)
		}()
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for range waiters {
		if _, err := s.Cutoffs(ctx, store.ID{1}, "alice"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Revoke(ctx, store.Revocation{Subjects: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	for range waiters {
		if n := <-entries; n != 1 {
			t.Errorf("a waiting caller got %d entries", n)
		}
	}
}
