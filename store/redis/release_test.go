package redis_test

import (
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// TestRecordOfAnotherRelease: a node of another release may write to the store after
// it was opened. Every call that reads such a family is refused with what to do, and
// writes nothing.
func TestRecordOfAnotherRelease(t *testing.T) {
	client := clientOf(t, testserver.Redis(t, "--appendonly", "no"))
	db := open(t, client, redis.Options{})
	ctx := t.Context()
	id, name := newID(), store.Name{1}
	c := store.Creation{ID: id, Subject: "alice", Names: []store.Name{name}, Idle: time.Hour, Absolute: time.Hour}
	if s, err := db.Create(ctx, c); err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	for _, version := range []string{"\x02", "\x04"} {
		must(t, client.SetRange(ctx, "{wafer}:f:"+string(id[:]), 0, version).Err())
		held := contents(t, client)
		for name, call := range map[string]func() error{
			"create": func() error {
				c := store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Ends: [2]store.ID{id}}
				_, err := db.Create(ctx, c)
				return err
			},
			"renew": func() error {
				c := store.Creation{ID: newID(), Subject: "alice", Renews: &store.Renewal{ID: id}}
				_, err := db.Create(ctx, c)
				return err
			},
			"limit": func() error {
				c := store.Creation{ID: newID(), Subject: "alice", Idle: time.Hour, Absolute: time.Hour, Limit: 1, EndOldest: true}
				_, err := db.Create(ctx, c)
				return err
			},
			"bind": func() error { _, err := db.Bind(ctx, store.Binding{ID: id, Key: store.Key{1}}); return err },
			"revoke its subject": func() error {
				_, err := db.Revoke(ctx, store.Revocation{Subjects: []string{"bob", "alice"}})
				return err
			},
			"revoke its name": func() error { _, err := db.Revoke(ctx, store.Revocation{Name: name}); return err },
			"advance":         func() error { _, err := db.Advance(ctx, store.Advance{ID: id, Generation: 1}); return err },
			"reissue":         func() error { _, err := db.Reissue(ctx, store.Reissue{ID: id, Generation: 1}); return err },
			"commit": func() error {
				_, err := db.Commit(ctx, store.Commit{ID: id, Basis: store.MaxPosition, Value: []byte("v")})
				return err
			},
			"revoke": func() error {
				_, err := db.Revoke(ctx, store.Revocation{Subjects: []string{"bob"}, Sessions: []store.ID{id}})
				return err
			},
			"restore": func() error {
				_, err := db.Restore(ctx, store.Restoration{Above: 5, Entries: []store.Entry{{Kind: store.KindSession, Session: id, Position: 5}}})
				return err
			},
			"family":      func() error { _, err := db.Family(ctx, id); return err },
			"families":    func() error { _, err := db.Families(ctx, store.Query{Subject: "alice", Limit: 10}); return err },
			"everybody's": func() error { _, err := db.Families(ctx, store.Query{Limit: 10}); return err },
		} {
			if err := call(); err == nil || !strings.Contains(err.Error(), "stop the nodes of the other release, and delete the keys {wafer}:f:*") {
				t.Errorf("%s of a family of version %q: %v; want what to do", name, version, err)
			}
			if now := contents(t, client); now != held {
				t.Fatalf("%s was half done: the server held\n%s\nand holds\n%s", name, held, now)
			}
		}
	}
}
