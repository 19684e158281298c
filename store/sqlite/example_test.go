package sqlite_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// A write is in the file when its call returns, and still there when the file is
// opened again.
func Example() {
	dir, err := os.MkdirTemp("", "wafer")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	path := filepath.Join(dir, "data", "wafer.db") // Open creates the directory, too

	db, err := sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		panic(err)
	}
	laptop, phone := store.ID{1}, store.ID{2} // random in a real program
	for _, id := range []store.ID{laptop, phone} {
		if _, err := db.Create(ctx, store.Creation{ID: id, Subject: "alice", Idle: time.Hour, Absolute: 12 * time.Hour}); err != nil {
			panic(err)
		}
	}
	if _, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{phone}, Reason: "lost"}); err != nil {
		panic(err)
	}
	if err := db.Close(); err != nil {
		panic(err)
	}

	db, err = sqlite.Open(ctx, path, sqlite.Options{})
	if err != nil {
		panic(err)
	}
	defer db.Close()
	for _, id := range []store.ID{laptop, phone} {
		s, err := db.Advance(ctx, store.Advance{ID: id, Generation: 1})
		if err != nil {
			panic(err)
		}
		fmt.Println(s.State, s.Outcome)
	}
	// Output:
	// alive written
	// ended unwritten
}
