package redis_test

import (
	"math"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestLongestDurations: the longest durations do not overflow to zero when they are
// announced or required, and parts of a millisecond are rounded up.
func TestLongestDurations(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	db := open(t, client, redis.Options{})
	announced := func() string { return client.HGet(t.Context(), "{wafer}:log", "absolute").Val() }
	announce(t, db, store.Announcement{Access: time.Minute, Absolute: time.Hour + 1})
	if announced() != "3600001" {
		t.Errorf("an hour and a nanosecond are %s ms", announced())
	}
	announce(t, db, store.Announcement{Access: time.Minute, Absolute: math.MaxInt64})
	if announced() != "9223372036855" {
		t.Errorf("the longest duration is %s ms", announced())
	}
	must(t, db.Tidy(t.Context()))
	id := create(t, db, "alice")
	if s, err := db.Advance(t.Context(), store.Advance{ID: id, Generation: 1, Age: math.MaxInt64}); err != nil || s.Outcome != store.Unwritten {
		t.Errorf("of an age of 292 years: %v, %v", s.Outcome, err)
	}
}
