package store_test

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A family is created, advanced once, and ended. A call after the end is not an
// error: the snapshot shows the family's state.
func Example() {
	ctx := context.Background()
	var db store.Store = memory.New(memory.Options{})
	id := store.ID{1}

	created, err := db.Create(ctx, store.Creation{ID: id, Subject: "alice", Idle: time.Hour, Absolute: 12 * time.Hour})
	if err != nil {
		panic(err)
	}
	fmt.Println(created.Outcome, created.State, created.Family.Generation)

	advanced, _ := db.Advance(ctx, store.Advance{ID: id, Generation: 1})
	fmt.Println(advanced.Outcome, advanced.State, advanced.Family.Generation)

	ended, _ := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{id}, Reason: "logout"})
	fmt.Println(ended.Outcome, ended.Entry > created.Head)

	advanced, _ = db.Advance(ctx, store.Advance{ID: id, Generation: 2})
	fmt.Println(advanced.Outcome, advanced.State)
	// Output:
	// written alive 1
	// written alive 2
	// written true
	// unwritten ended
}
