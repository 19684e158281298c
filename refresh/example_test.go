package refresh_test

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// A custom transport: after it has authenticated a token, it has the token
// judged and the verdict carried out.
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
	present := func(generation uint32, copied uint16) {
		token := codec.RefreshToken{Family: codec.ID(family), Generation: generation, Copy: copied}
		res, err := refresher.Do(ctx, refresh.Request{Family: family, Generation: generation, Copy: copied})
		if err != nil {
			panic(err) // an outage: nothing is known about the token
		}
		if res.Verdict != refresh.Issue {
			fmt.Printf("%d.%d: %v\n", generation, copied, res.Verdict)
			return
		}
		answer := res.Answer(token)
		fmt.Printf("%d.%d: %v %d.%d\n", generation, copied, res.Verdict, answer.Generation, answer.Copy)
	}
	present(1, 0) // fresh: the same token again
	now = now.Add(policy.Access)
	present(1, 0) // due: the next generation
	present(1, 0) // a second tab, within the grace
	now = now.Add(policy.Grace)
	present(1, 0) // the answers were lost: a copy
	now = now.Add(policy.Access)
	present(2, 1)
	present(2, 0) // another copy was used: somebody has stolen this one
	present(3, 0)
	// Output:
	// 1.0: issue 1.0
	// 1.0: issue 2.0
	// 1.0: issue 2.0
	// 1.0: issue 2.1
	// 2.1: issue 3.0
	// 2.0: replay
	// 3.0: refuse
}

// The rules alone, as a pure function.
func ExamplePolicy_Judge() {
	policy := refresh.Policy{Access: 5 * time.Minute, Grace: 30 * time.Second}
	issued := time.Date(2026, 1, 1, 12, 0, 0, 0, time.UTC)
	family := store.Family{Generation: 7, Started: issued, Issued: issued, Idle: time.Hour, Absolute: 12 * time.Hour}
	for _, age := range []time.Duration{time.Minute, 3 * time.Minute} {
		snap := store.Snapshot{State: store.Alive, Family: family, Now: issued.Add(age)}
		for _, generation := range []uint32{7, 6, 5} {
			verdict, _ := policy.Judge(refresh.Request{Generation: generation}, snap)
			fmt.Println(age, generation, verdict)
		}
	}
	// Output:
	// 1m0s 7 issue
	// 1m0s 6 reissue
	// 1m0s 5 replay
	// 3m0s 7 advance
	// 3m0s 6 reissue
	// 3m0s 5 replay
}
