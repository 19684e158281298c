package revocation_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A service that only verifies tokens follows the log of the store that the
// logins write to, and judges each token by its replica.
func ExampleFollow() {
	ctx := context.Background()
	db := memory.New(memory.Options{})

	replica, err := revocation.Follow(ctx, db, revocation.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer replica.Close()

	// A token carries its session, its subject, and the log's position as it
	// was when the token was minted.
	session, minted := store.ID{15: 1}, replica.Head()
	fmt.Println(replica.Check(time.Now(), session, "alice", minted))

	ended, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{session}, Reason: "logout"})
	if err != nil {
		log.Fatal(err)
	}
	// The replica has the entry at once, and at the latest after MaxStaleness.
	// A caller that cannot wait for that calls WaitFor.
	if err := replica.WaitFor(ctx, ended.Entry); err != nil {
		log.Fatal(err)
	}
	fmt.Println(replica.Check(time.Now(), session, "alice", minted))
	fmt.Println(replica.Check(time.Now(), store.ID{15: 2}, "bob", minted))

	// Output:
	// good
	// revoked
	// good
}

// Judge needs no replica: two comparisons of whole numbers.
func ExampleJudge() {
	fmt.Println(revocation.Judge(store.Cutoffs{Subject: 40, Head: 90}, 50))
	fmt.Println(revocation.Judge(store.Cutoffs{Subject: 60, Head: 90}, 50))
	fmt.Println(revocation.Judge(store.Cutoffs{Superseding: 60, Head: 90}, 50))
	fmt.Println(revocation.Judge(store.Cutoffs{Head: 90}, 100))
	// Output:
	// good
	// revoked
	// expired
	// ahead
}

// A function is frozen between two requests and cannot follow a log. It queries
// the store about each session, and caches the positions.
func ExampleCache() {
	ctx := context.Background()
	db := memory.New(memory.Options{})

	cache, err := revocation.NewCache(db, revocation.Config{MaxStaleness: time.Minute})
	if err != nil {
		log.Fatal(err)
	}
	defer cache.Close()

	cutoffs, err := db.Cutoffs(ctx, store.ID{}, "")
	if err != nil {
		log.Fatal(err)
	}
	session, minted := store.ID{15: 1}, cutoffs.Head
	judge := func() {
		verdict := cache.Check(time.Now(), session, "alice", minted) // no query
		fmt.Print(verdict)
		if verdict == revocation.Unconfirmed || verdict == revocation.Ahead {
			if verdict, err = cache.Confirm(ctx, session, "alice", minted); err != nil {
				log.Fatal(err) // an outage
			}
			fmt.Print(", so the store is asked: ", verdict)
		}
		fmt.Println()
	}
	judge()

	// A revocation by this node is in force on it at once.
	ended, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{session}, Reason: "logout"})
	if err != nil {
		log.Fatal(err)
	}
	cache.Apply(store.Entry{Kind: store.KindSession, Session: session, Position: ended.Entry})
	judge()

	// Output:
	// unconfirmed, so the store is asked: good
	// revoked
}
