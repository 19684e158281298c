package refresh_test

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A custom transport: after it has authenticated a token, it has the token's
// family and generation judged and the verdict carried out.
func Example() {
	now := time.Now()
	db := memory.New(memory.Options{Now: func() time.Time { return now }})
	policy := refresh.Policy{Access: 5 * time.Minute, Grace: 30 * time.Second}
	refresher, err := refresh.New(db, policy, 2*time.Second)
	if err != nil {
		panic(err)
	}
	ctx, family := context.Background(), store.ID{1}
	_, err = db.Create(ctx, store.Creation{ID: family, Subject: "alice", Idle: time.Hour, Absolute: 12 * time.Hour})
	if err != nil {
		panic(err)
	}
	present := func(generation uint32) {
		res, err := refresher.Do(ctx, refresh.Request{Family: family, Generation: generation})
		if err != nil {
			panic(err) // an outage: nothing is known about the token
		}
		fmt.Printf("generation %d: %v, at %d\n", generation, res.Verdict, res.Snapshot.Family.Generation)
	}
	present(1) // fresh: the same generation again
	now = now.Add(policy.Access)
	present(1) // due: the next one
	present(1) // a second tab, within the grace
	now = now.Add(policy.Access)
	present(2)
	present(1) // two generations ago: somebody copied it
	present(3)
	// Output:
	// generation 1: issue, at 1
	// generation 1: issue, at 2
	// generation 1: issue, at 2
	// generation 2: issue, at 3
	// generation 1: replay, at 3
	// generation 3: refuse, at 3
}

// The rules alone, as a pure function.
func ExamplePolicy_Judge() {
	policy := refresh.Policy{Access: 5 * time.Minute, Grace: 30 * time.Second}
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	family := store.Family{Generation: 7, Issued: issued, Idle: time.Hour, Absolute: issued.Add(12 * time.Hour)}
	for _, age := range []time.Duration{time.Minute, 3 * time.Minute} {
		snap := store.Snapshot{State: store.Alive, Family: family, Now: issued.Add(age)}
		for _, generation := range []uint32{7, 6, 5} {
			verdict, _ := policy.Judge(refresh.Request{Generation: generation}, snap)
			fmt.Println(age, generation, verdict)
		}
	}
	// Output:
	// 1m0s 7 issue
	// 1m0s 6 forgive
	// 1m0s 5 replay
	// 3m0s 7 advance
	// 3m0s 6 forgive
	// 3m0s 5 replay
}
