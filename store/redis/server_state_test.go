package redis_test

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

func randomID() (id store.ID) {
	rand.Read(id[:])
	return id
}

func creation(subject string) store.Creation {
	return store.Creation{ID: randomID(), Subject: subject, Idle: time.Hour, Absolute: 12 * time.Hour}
}

// TestRefusedWriteIsNotHalfDone: a server that refuses writes because it lacks
// replicas refuses each one completely, and can be read as before.
func TestRefusedWriteIsNotHalfDone(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	db := open(t, client, redis.Options{})
	ctx := t.Context()
	kept, ends := creation("alice"), creation("alice")
	for _, c := range []store.Creation{kept, ends} {
		if s, err := db.Create(ctx, c); err != nil || s.Outcome != store.Written {
			t.Fatal(s.Outcome, err)
		}
	}
	if s, err := db.Advance(ctx, store.Advance{ID: kept.ID, Generation: 1}); err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	before, err := db.Cutoffs(ctx, ends.ID, "alice")
	if err != nil {
		t.Fatal(err)
	}
	held := contents(t, client)
	if err := client.ConfigSet(ctx, "min-replicas-to-write", "1").Err(); err != nil {
		t.Fatal(err)
	}
	fresh := creation("alice")
	fresh.Ends[0] = ends.ID
	oldest := creation("alice")
	oldest.Limit, oldest.EndOldest = 1, true
	for name, write := range map[string]func() error{
		"create":     func() error { _, err := db.Create(ctx, fresh); return err },
		"end oldest": func() error { _, err := db.Create(ctx, oldest); return err },
		"advance":    func() error { _, err := db.Advance(ctx, store.Advance{ID: kept.ID, Generation: 2}); return err },
		"reissue":    func() error { _, err := db.Reissue(ctx, store.Reissue{ID: kept.ID, Generation: 1}); return err },
		"commit":     func() error { _, err := db.Commit(ctx, store.Commit{ID: kept.ID, Value: []byte("v")}); return err },
		"elsewhere": func() error {
			_, err := db.Revoke(ctx, store.Revocation{Subjects: []string{"alice"}, Except: &store.Rebirth{ID: kept.ID}})
			return err
		},
		"all kinds": func() error {
			_, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{ends.ID, randomID()}, Subjects: []string{"alice", "bob"}, Everyone: true})
			return err
		},
		"restore": func() error {
			_, err := db.Restore(ctx, store.Restoration{Above: before.Head, Entries: []store.Entry{{Kind: store.KindSession, Session: ends.ID, Position: 1}}})
			return err
		},
		"announce": func() error {
			_, err := db.Announce(ctx, store.Announcement{Access: time.Hour, Absolute: 24 * time.Hour})
			return err
		},
		"swap": func() error { _, err := db.SwapKeys(ctx, 0, []byte("document")); return err },
	} {
		if err := write(); err == nil || !strings.Contains(err.Error(), "NOREPLICAS") {
			t.Errorf("%s: %v; want NOREPLICAS", name, err)
		}
		if now := contents(t, client); now != held {
			t.Fatalf("%s was half done: the server held\n%s\nand holds\n%s", name, held, now)
		}
	}
	if after, err := db.Cutoffs(ctx, ends.ID, "alice"); err != nil || after.Head != before.Head || after.Ending != 0 {
		t.Errorf("%+v, %v", after, err)
	}
	if b, err := db.Since(ctx, store.Cursor{}, 10, 0); err != nil || len(b.Entries) != 1 {
		t.Errorf("%d entries, %v", len(b.Entries), err)
	}
	if page, err := db.Families(ctx, store.Query{Subject: "alice", Limit: 10}); err != nil || len(page.Families) != 2 {
		t.Errorf("%d families, %v", len(page.Families), err)
	}
}

// contents returns all that a small server holds.
func contents(t *testing.T, client *goredis.Client) string {
	t.Helper()
	names, err := client.Do(context.Background(), "EVAL", "local k = redis.call('KEYS', '*') table.sort(k) return k", 0).StringSlice()
	if err != nil {
		t.Fatal(err)
	}
	var all strings.Builder
	for _, name := range names {
		data, err := client.Dump(context.Background(), name).Result()
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&all, "%q %x\n", name, data)
	}
	return all.String()
}

// TestBusyServer: while a server runs a script of another program, calls fail and do
// nothing. After that script has been killed, the engine works again.
func TestBusyServer(t *testing.T) {
	server := testserver.Redis(t, "--lua-time-limit", "50")
	client := clientOf(t, server)
	db := open(t, client, redis.Options{})
	c := creation("alice")
	if s, err := db.Create(t.Context(), c); err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	slow := goredis.NewClient(&goredis.Options{Addr: server.Addr, ReadTimeout: time.Minute, MaxRetries: -1})
	defer slow.Close()
	done := make(chan error, 1)
	go func() { done <- slow.Do(context.Background(), "EVAL", "while true do end", 0).Err() }()
	busy := 0
	for until := time.Now().Add(20 * time.Second); busy < 5; {
		_, err := db.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{c.ID}})
		switch {
		case err != nil && strings.Contains(err.Error(), "BUSY"):
			busy++
		case err == nil && busy > 0:
			t.Fatal("a busy server took a write")
		case time.Now().After(until):
			t.Fatalf("the server does not get busy: %v", err)
		case err == nil: // the call came before the script
			c = creation("alice")
			if _, err := db.Create(t.Context(), c); err != nil && !strings.Contains(err.Error(), "BUSY") {
				t.Fatal(err)
			}
		}
	}
	if err := client.ScriptKill(t.Context()).Err(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err == nil {
		t.Error("the script was not killed")
	}
	before, err := db.Since(t.Context(), store.Cursor{}, 1000, 0)
	if err != nil {
		t.Fatal(err)
	}
	if s, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}}); err != nil || s.Outcome != store.Written {
		t.Errorf("%v, %v", s.Outcome, err)
	}
	after, err := db.Since(t.Context(), cursorAtHead(before), 1000, 0)
	if err != nil || len(after.Entries) != 1 || after.Entries[0].Previous != before.Head {
		t.Errorf("%+v, %v", after, err)
	}
}

// forbidden is a hook that the engine must not run.
type forbidden struct{ t *testing.T }

func (f forbidden) DialHook(goredis.DialHook) goredis.DialHook {
	return func(context.Context, string, string) (net.Conn, error) {
		f.t.Error("the application's client was made to dial")
		return nil, errors.New("forbidden")
	}
}

func (f forbidden) ProcessHook(goredis.ProcessHook) goredis.ProcessHook {
	return func(_ context.Context, c goredis.Cmder) error {
		f.t.Errorf("the application's client was made to run %s", c.Name())
		return errors.New("forbidden")
	}
}

func (f forbidden) ProcessPipelineHook(goredis.ProcessPipelineHook) goredis.ProcessPipelineHook {
	return func(_ context.Context, c []goredis.Cmder) error {
		f.t.Errorf("the application's client was made to run %d commands", len(c))
		return errors.New("forbidden")
	}
}

// TestAnyClientWillDo: the protocol, pool and timeouts of an application's client do
// not matter, and its hooks are not run.
func TestAnyClientWillDo(t *testing.T) {
	server := testserver.Redis(t)
	for name, o := range map[string]goredis.Options{
		"RESP2":       {Protocol: 2},
		"RESP3":       {Protocol: 3},
		"one":         {PoolSize: 1, MaxActiveConns: 1},
		"no timeouts": {ReadTimeout: -1, WriteTimeout: -1},
		"never":       {ReadTimeout: -2, WriteTimeout: -2},
		"short":       {ReadTimeout: 500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o.Addr = server.Addr
			client := goredis.NewClient(&o)
			defer client.Close()
			client.AddHook(forbidden{t})
			ctx := t.Context()
			db := open(t, client, redis.Options{Name: name})
			if d, err := db.Durability(ctx); err != nil || d.Role != "master" || d.AppendFsync != "always" || len(d.Unread) > 0 {
				t.Errorf("%+v, %v", d, err)
			}
			c := creation("{a} : \U0001f9c7 1e3")
			if s, err := db.Create(ctx, c); err != nil || s.Outcome != store.Written || s.Family.Subject != c.Subject {
				t.Fatalf("%+v, %v", s, err)
			}
			if page, err := db.Families(ctx, store.Query{Subject: c.Subject, Limit: 10}); err != nil || len(page.Families) != 1 || page.Families[0].ID != c.ID {
				t.Errorf("%v, %v", page, err)
			}
			if ok, err := db.SwapKeys(ctx, 0, []byte("a\x00\r\nb")); err != nil || !ok {
				t.Errorf("%v, %v", ok, err)
			}
			if v, document, err := db.LoadKeys(ctx); err != nil || v != 1 || string(document) != "a\x00\r\nb" {
				t.Errorf("%d %q, %v", v, document, err)
			}
			first, err := db.Since(ctx, store.Cursor{}, 10, 0)
			if err != nil || len(first.Entries) != 1 {
				t.Fatalf("%+v, %v", first, err)
			}
			var news store.Batch
			var wait sync.WaitGroup
			wait.Go(func() { news, err = db.Since(ctx, cursorAtHead(first), 10, 20*time.Second) })
			time.Sleep(100 * time.Millisecond)
			other := open(t, clientOf(t, server), redis.Options{Name: name})
			s, err2 := other.Revoke(ctx, store.Revocation{Subjects: []string{c.Subject}})
			wait.Wait()
			if err != nil || err2 != nil || len(news.Entries) != 1 || news.Entries[0].Position != s.Entry || news.Entries[0].Subject != c.Subject {
				t.Errorf("news %+v, %v, %v", news, err, err2)
			}
		})
	}
}

// TestLargestCalls: each call works with the largest arguments that it accepts.
func TestLargestCalls(t *testing.T) {
	client := clientOf(t, testserver.Redis(t))
	db := open(t, client, redis.Options{})
	ctx := t.Context()
	first, err := db.Since(ctx, store.Cursor{}, 1, 0)
	must(t, err)
	r := store.Revocation{Reason: strings.Repeat("\u00e9", 127), Actor: strings.Repeat("}", 255)}
	for i := range store.MaxEntries {
		r.Subjects = append(r.Subjects, fmt.Sprintf("%04d", i)+strings.Repeat("{", 251))
	}
	s, err := db.Revoke(ctx, r)
	if err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	b, err := db.Since(ctx, cursorAtHead(first), store.MaxEntries, 0)
	if err != nil || len(b.Entries) != store.MaxEntries || b.More {
		t.Fatalf("%d entries, %v", len(b.Entries), err)
	}
	for i, e := range b.Entries {
		if e.Subject != r.Subjects[i] || e.Reason != r.Reason || e.Actor != r.Actor || e.Position != s.Head-store.Position(len(b.Entries)-1-i) {
			t.Fatalf("entry %d is %+v", i, e)
		}
	}
	// Everything is lost, and written back.
	if err := client.FlushAll(ctx).Err(); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Since(ctx, store.Cursor{}, 1, 0); err != nil {
		t.Fatal(err)
	}
	above := b.Head + 1<<36 // otherwise the new log's first entry would cover everything
	for i := range b.Entries {
		b.Entries[i].Position += 1 << 36
	}
	s, err = db.Restore(ctx, store.Restoration{Entries: b.Entries, Above: above})
	if err != nil || s.Outcome != store.Written {
		t.Fatal(s.Outcome, err)
	}
	for _, i := range []int{0, 500, 999} {
		want := s.Entry - store.Position(len(b.Entries)-1-i)
		if c, err := db.Cutoffs(ctx, store.ID{}, r.Subjects[i]); err != nil || c.Subject != want || c.Subject <= above {
			t.Errorf("the cutoff of subject %d is %d, %v; want %d", i, c.Subject, err, want)
		}
	}
	if again, err := db.Restore(ctx, store.Restoration{Entries: b.Entries, Above: above}); err != nil || again.Outcome != store.Unwritten {
		t.Errorf("written back twice: %v, %v", again.Outcome, err)
	}
}
