package refresh_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/seals"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/memory"
)

// BenchmarkSealAndKey compares what a refresh costs without a seal and a key, with
// the seal, with both, and with both and an old token, which takes a second call. The
// store is in memory, so the shares are the largest that there can be. "again" gets
// the same token again, and "advance" the next one.
func BenchmarkSealAndKey(b *testing.B) {
	for name, age := range map[string]time.Duration{"again": 0, "advance": half} {
		b.Run(name, func(b *testing.B) {
			enginebench.Compare(b, 1, 5000,
				refreshing(b, "bare", age, false, store.Key{}, false),
				refreshing(b, "sealed", age, true, store.Key{}, false),
				refreshing(b, "proven", age, true, deviceKey, false),
				refreshing(b, "proven-old", age, true, deviceKey, true),
			)
		})
	}
}

// refreshing returns a way to refresh a family again and again, each time after so
// long. With old it presents the first token for ever.
func refreshing(b *testing.B, name string, age time.Duration, sealed bool, key store.Key, old bool) enginebench.Way {
	b.Helper()
	must := func(err error) {
		if err != nil {
			b.Fatal(err)
		}
	}
	ctx, now := context.Background(), issued
	ring, err := keyring.Static("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=")
	must(err)
	s, err := seals.New(ring, codec.Instance{Realm: "shop.example", SessionCookie: "__Host-session"})
	must(err)
	db := memory.New(memory.Options{Now: func() time.Time { return now }})
	r, err := refresh.New(db, lax, time.Minute)
	must(err)

	c := store.Creation{
		ID: store.ID{1}, Subject: "alice@example.org", Methods: "pwd otp", Level: "2", Key: key,
		Started: now, Authenticated: now, Idle: time.Hour, Absolute: lax.LongestAbsolute(),
	}
	if sealed {
		c.Seal, err = s.Seal(now, &store.Family{
			ID: c.ID, Subject: c.Subject, Methods: c.Methods, Level: c.Level, Key: c.Key,
			Started: c.Started, Authenticated: c.Authenticated, Idle: c.Idle, Absolute: c.Absolute,
		})
		must(err)
		r.Verify = func(ctx context.Context, f *store.Family) error { return s.Verify(ctx, now, f) }
	}
	snap, err := db.Create(ctx, c)
	must(err)
	token := refresh.Newest(&snap.Family)
	return enginebench.Way{Name: name, Do: func(int) error {
		now = now.Add(age)
		q := refresh.Request{Family: c.ID, Generation: token.Generation, Key: key, Basis: store.MaxPosition}
		res, err := r.Do(ctx, q)
		if err != nil || res.Verdict != refresh.Issue || res.Advanced != (age > 0) {
			return fmt.Errorf("%v (%s), advanced %v: %w", res.Verdict, res.Reason, res.Advanced, err)
		}
		if !old {
			token = res.Answer(token)
		}
		return nil
	}}
}
