package redis_test

import (
	"context"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/enginebench"
	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/redis"
)

// The benchmarks compare the engine with the bare scripts that its work comes down to,
// as one would write them by hand: with the same client, on the same server, in the
// same run. Rounds of both alternate. The results are the medians of both rates and of
// their ratio:
//
//	bare/s     calls per second of the script alone
//	store/s    calls per second of the Store
//	%store-of-bare   the ratio
//
// The budget is 70% with 64 clients. The server keeps no file here: with one that is
// synchronised at every write, the benchmark would measure the disk.

// bareAdvance is a refresh without anything around it.
const bareAdvance = `
local log = redis.call('HMGET', KEYS[1], 'head', 'everyone')
local raw = redis.call('GET', '{wafer}:f:' .. ARGV[1])
if not raw then return false end
local v, native, ended, bound, birth, position, commit, generation, copy, used, started, authenticated, issued, idle, absolute,
  seal, subject, actor, label, details, value = struct.unpack('>BBBBI8I8I8I4I2I2I8I8I8I8I8c20Bc0Bc0Bc0I2c0I2c0', raw)
local clock = redis.call('TIME')
local now = math.floor(clock[1] * 1000 + clock[2] / 1000)
local cutoff = tonumber(redis.call('HGET', '{wafer}:subjects', subject) or 0)
if native + ended + bound ~= 0 or generation ~= tonumber(ARGV[2]) or now >= issued + idle or
  now >= math.max(started, authenticated) + absolute or birth < math.max(cutoff, tonumber(log[2])) then
  return raw
end
raw = struct.pack('>BBBBI8I8I8I4I2I2I8I8I8I8I8c20Bc0Bc0Bc0I2c0I2c0', v, native, ended, bound, birth, math.max(position, tonumber(log[1])), commit,
  generation + 1, 0, 0, started, authenticated, now, idle, absolute, seal, #subject, subject, #actor, actor, #label, label, #details, details,
  #value, value)
redis.call('SET', '{wafer}:f:' .. ARGV[1], raw)
return raw`

// bareRevoke is a logout without anything around it.
const bareRevoke = `
local key = '{wafer}:f:' .. ARGV[1]
local raw = redis.call('GET', key)
if not raw then return false end
local clock = redis.call('TIME')
local head = tonumber(redis.call('HGET', KEYS[1], 'head'))
local at = math.max(head + 1, clock[1] * 1000000 + clock[2])
local whole = string.format('%.0f', at)
redis.call('SET', key, string.sub(raw, 1, 2) .. '\1' .. string.sub(raw, 4), 'PX', 43200000)
redis.call('XADD', '{wafer}:entries', whole .. '-0', 'e', struct.pack('>I8I8I8B', at, head, clock[1] * 1000, 3) .. ARGV[2])
redis.call('HSET', '{wafer}:sessions', 'e' .. ARGV[1], whole)
redis.call('HSET', KEYS[1], 'head', whole)
return at`

// BenchmarkAdvance compares a refresh with its script.
func BenchmarkAdvance(b *testing.B) {
	compare(b, func(b *testing.B, client *goredis.Client, db *redis.Store) (bare, engine func(i int) error) {
		ids, others := filled(b, db, 10_000), filled(b, db, 10_000)
		script := goredis.NewScript(bareAdvance)
		generations, bareGenerations := enginebench.Generations(len(ids)), enginebench.Generations(len(ids))
		bare = func(i int) error {
			// Only one client at a time uses a family.
			i = i % len(others)
			g := bareGenerations[i]
			bareGenerations[i]++
			return script.Run(b.Context(), client, []string{"{wafer}:log"}, others[i][:], g).Err()
		}
		engine = func(i int) error {
			i = i % len(ids)
			g := generations[i]
			generations[i]++
			s, err := db.Advance(b.Context(), store.Advance{ID: ids[i], Generation: g})
			if err == nil && s.Outcome != store.Written {
				err = fmt.Errorf("%v, %v", s.Outcome, s.State)
			}
			return err
		}
		return bare, engine
	})
}

// BenchmarkRevoke compares a logout with its script.
func BenchmarkRevoke(b *testing.B) {
	compare(b, func(b *testing.B, client *goredis.Client, db *redis.Store) (bare, engine func(i int) error) {
		ids, others := filled(b, db, 40_000), filled(b, db, 40_000)
		script := goredis.NewScript(bareRevoke)
		bare = func(i int) error {
			id := others[i%len(others)]
			return script.Run(b.Context(), client, []string{"{wafer}:log"}, id[:], string(id[:])+"\x10"+string(id[:])+"\x06logout\x00").Err()
		}
		engine = func(i int) error {
			id := enginebench.ID(1<<40 + i) // once all are revoked, unknown ids
			if i < len(ids) {
				id = ids[i]
			}
			s, err := db.Revoke(b.Context(), store.Revocation{Sessions: []store.ID{id}, Reason: "logout"})
			if err == nil && s.Outcome != store.Written {
				err = fmt.Errorf("%v, %v", s.Outcome, s.State)
			}
			return err
		}
		return bare, engine
	})
}

// compare runs rounds of both in turn with 1, 64 and 256 clients.
func compare(b *testing.B, prepare func(b *testing.B, client *goredis.Client, db *redis.Store) (bare, engine func(i int) error)) {
	for _, clients := range []int{1, 64, 256} {
		b.Run(fmt.Sprintf("%d clients", clients), func(b *testing.B) {
			client := goredis.NewClient(&goredis.Options{Addr: testserver.Redis(b, "--appendonly", "no").Addr, PoolSize: clients})
			b.Cleanup(func() { client.Close() })
			bare, engine := prepare(b, client, open(b, client, redis.Options{}))
			ops := 20 * clients
			if clients == 1 {
				ops = 500
			}
			enginebench.Compare(b, clients, ops, enginebench.Way{Name: "bare", Do: bare}, enginebench.Way{Name: "store", Do: engine})
		})
	}
}

var filledSoFar atomic.Int64

// filled creates n families, each with its own subject.
func filled(tb testing.TB, db *redis.Store, n int) []store.ID {
	tb.Helper()
	ids := make([]store.ID, n)
	first := int(filledSoFar.Add(int64(n))) - n
	for i := range ids {
		ids[i] = enginebench.ID(first + i)
	}
	enginebench.Parallel(tb, 64, n, func(i int) error {
		s, err := db.Create(context.Background(), store.Creation{ID: ids[i], Subject: fmt.Sprintf("user-%d@example.com", i), Idle: 12 * time.Hour, Absolute: 12 * time.Hour})
		if err == nil && s.Outcome != store.Written {
			err = fmt.Errorf("create: %v", s.Outcome)
		}
		return err
	})
	return ids
}
