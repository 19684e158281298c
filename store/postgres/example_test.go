//go:build unix

package postgres_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
)

// A write is in the database when its call returns, and still there when the store
// is opened again.
func Example() {
	url := os.Getenv("DATABASE_URL") // such as postgres://app@db.internal/app
	ctx := context.Background()

	db, err := postgres.OpenURL(ctx, url, postgres.Options{})
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

	db, err = postgres.OpenURL(ctx, url, postgres.Options{})
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
	// Prints:
	// alive written
	// ended unwritten
}

// TestExample runs the example, which needs a server.
func TestExample(t *testing.T) {
	s := serverOf(t)
	t.Setenv("DATABASE_URL", s.PostgresURL("postgres", "postgres"))
	read, write, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout := os.Stdout
	os.Stdout = write
	Example()
	os.Stdout = stdout
	write.Close()
	printed, err := io.ReadAll(read)
	if want := "alive written\nended unwritten\n"; err != nil || string(printed) != want {
		t.Errorf("%q, %v: want %q", printed, err, want)
	}
}
