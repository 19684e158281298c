package redis_test

import (
	"context"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// lose removes a part of a store, as an operator might, or an eviction after the
// server's policy was changed.
var lose = map[string]func(ctx context.Context, c *goredis.Client, tag string) error{
	"entries": func(ctx context.Context, c *goredis.Client, tag string) error { return c.Del(ctx, tag+"entries").Err() },
	"sessions": func(ctx context.Context, c *goredis.Client, tag string) error {
		return c.Del(ctx, tag+"sessions").Err()
	},
	"subjects": func(ctx context.Context, c *goredis.Client, tag string) error {
		return c.Del(ctx, tag+"subjects").Err()
	},
	"all entries": func(ctx context.Context, c *goredis.Client, tag string) error {
		return c.XTrimMaxLen(ctx, tag+"entries", 0).Err()
	},
	"the newest entry": func(ctx context.Context, c *goredis.Client, tag string) error {
		last, err := c.XRevRangeN(ctx, tag+"entries", "+", "-", 1).Result()
		if err == nil {
			err = c.XDel(ctx, tag+"entries", last[0].ID).Err()
		}
		return err
	},
}

// TestPromise1_LostKeyRevokesEveryone: if one of the keys that hold the revocations
// is lost, every call detects it: there is a new log, and no revocation is undone.
// The key set is kept.
func TestPromise1_LostKeyRevokesEveryone(t *testing.T) {
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	ctx := t.Context()
	for part, lost := range lose {
		for name, notice := range map[string]func(db *redis.Store, id store.ID) error{
			"since":   func(db *redis.Store, _ store.ID) error { _, err := db.Since(ctx, store.Cursor{}, 10, 0); return err },
			"cutoffs": func(db *redis.Store, id store.ID) error { _, err := db.Cutoffs(ctx, id, "alice"); return err },
			"advance": func(db *redis.Store, id store.ID) error {
				_, err := db.Advance(ctx, store.Advance{ID: id, Generation: 1})
				return err
			},
			"nobody calls": func(db *redis.Store, _ store.ID) error { return db.Tidy(ctx) },
		} {
			if name != "since" && (part == "all entries" || part == "the newest entry") {
				continue // the entries themselves are read by Since alone
			}
			t.Run(part+"/"+name, func(t *testing.T) {
				o := redis.Options{Name: newName()}
				db := open(t, client, o)
				announce(t, db, store.Announcement{Access: time.Minute, Absolute: time.Hour})
				if ok, err := db.SwapKeys(ctx, 0, []byte("document")); err != nil || !ok {
					t.Fatal(ok, err)
				}
				id, alive := create(t, db, "alice"), create(t, db, "bob")
				r, err := db.Revoke(ctx, store.Revocation{Subjects: []string{"alice"}})
				must(t, err)
				before, err := db.Since(ctx, store.Cursor{}, 10, 0)
				must(t, err)
				must(t, lost(ctx, client, "{"+o.Name+"}:"))
				must(t, notice(db, id))
				if now := client.HGet(ctx, "{"+o.Name+"}:log", "id").Val(); now == string(before.Log[:]) {
					t.Error("it was not noticed")
				}
				after, err := db.Since(ctx, store.Cursor{}, 10, 0)
				if err != nil || after.Log == before.Log || len(after.Entries) != 1 || after.Entries[0].Kind != store.KindEveryone || after.Head <= r.Entry {
					t.Fatalf("%+v, %v; want another log that revokes everyone above %d", after, err, r.Entry)
				}
				for _, who := range []store.ID{id, alive} {
					if s, err := db.Family(ctx, who); err != nil || s.State != store.CutOff {
						t.Errorf("a family is %v, %v", s.State, err)
					}
				}
				if v, document, err := db.LoadKeys(ctx); err != nil || v != 1 || string(document) != "document" {
					t.Errorf("the key set is %d %q, %v", v, document, err)
				}
				if access := client.HGet(ctx, "{"+o.Name+"}:log", "access").Val(); access != "60000" {
					t.Errorf("the announced access lifetime is %s", access)
				}
				s, err := db.Restore(ctx, store.Restoration{Entries: before.Entries[1:], Above: after.Head})
				if err != nil || s.Outcome != store.Unwritten {
					t.Errorf("the first entry covers what was lost: %v, %v", s.Outcome, err)
				}
				create(t, db, "alice") // the store works again
			})
		}
	}
}

// TestTidiedIsNotLost: if all entries and cutoffs have been dropped, the log is still
// the same.
func TestTidiedIsNotLost(t *testing.T) {
	s := newShifted(t)
	before, err := s.Since(t.Context(), store.Cursor{}, 10, 0)
	must(t, err)
	s.revokeSubject("alice")
	_, err = s.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{newID()}})
	must(t, err)
	s.move(1000 * time.Hour)
	must(t, s.Tidy(t.Context()))
	if n := s.client.XLen(t.Context(), "{wafer}:entries").Val(); n != 0 {
		t.Fatalf("%d entries are left", n)
	}
	for _, key := range []string{"sessions", "subjects"} {
		if n := s.client.HLen(t.Context(), "{wafer}:"+key).Val(); n != 1 {
			t.Errorf("%d fields of %s are left", n, key)
		}
	}
	for range 2 {
		after, err := s.Since(t.Context(), store.Cursor{}, 10, 0)
		if err != nil || after.Log != before.Log || after.Floor != after.Head {
			t.Errorf("%+v, %v", after, err)
		}
		must(t, s.Tidy(t.Context()))
		s.revokeSubject("bob")
		s.move(1000 * time.Hour)
		must(t, s.Tidy(t.Context()))
	}
}
