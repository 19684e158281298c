package memory_test

import (
	"context"
	"fmt"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// The log begins with an entry that revokes everyone: a store that lost its
// contents trusts no earlier cookie.
func Example() {
	db := memory.New(memory.Options{})
	batch, err := db.Since(context.Background(), store.Cursor{}, 10, 0)
	if err != nil {
		panic(err)
	}
	for _, e := range batch.Entries {
		fmt.Println(e.Kind, e.Position == batch.Head, e.Previous)
	}
	_, err = db.Revoke(context.Background(), store.Revocation{})
	fmt.Println(err)
	// Output:
	// everyone true 0
	// store: bad argument: a revocation of 0 entries: want 1 to 1000
}
