package redis

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
)

//go:embed scripts/family_read.lua
var familyReadLua string

//go:embed scripts/families.lua
var familiesLua string

//go:embed scripts/cutoffs.lua
var cutoffsLua string

//go:embed scripts/announce.lua
var announceLua string

//go:embed scripts/load_keys.lua
var loadKeysLua string

//go:embed scripts/since.lua
var sinceLua string

//go:embed scripts/swap_keys.lua
var swapKeysLua string

var (
	familyScript   = newScript("family", baseLua, familyLua, familyReadLua)
	familiesScript = newScript("families", baseLua, familyLua, familiesLua)
	cutoffsScript  = newScript("cutoffs", baseLua, cutoffsLua)
	announceScript = newScript("announce", baseLua, announceLua)
	loadKeysScript = newScript("load keys", baseLua, loadKeysLua)
	swapKeysScript = newScript("swap keys", baseLua, swapKeysLua)
	sinceScript    = newScript("since", baseLua, sinceLua)
)

// Family implements [store.Store].
func (s *Store) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	reply, err := s.run(ctx, familyScript, false, id[:])
	if err != nil {
		return store.Snapshot{}, err
	}
	return s.snapshot(familyScript, reply, id)
}

// Families implements [store.Store]. The families of a subject that has many
// thousands are read in several steps.
func (s *Store) Families(ctx context.Context, subject string, limit int) ([]store.Family, error) {
	if err := store.CheckFamilies(subject, limit); err != nil {
		return nil, err
	}
	list := []store.Family{}
	listed := make(map[store.ID]bool)
	more, score, ties := byte(0), uint64(0), uint32(0)
	for more != 2 {
		var p packed
		p.short(subject)
		p.number32(uint32(limit - len(list)))
		p.byte(more)
		p.number(score)
		p.number32(ties)
		reply, err := s.run(ctx, familiesScript, false, p)
		if err != nil {
			return nil, err
		}
		rows, _ := reply.([]any)
		for i, row := range rows {
			text, _ := row.(string)
			r := reader{rest: text}
			if i == 0 {
				more, score, ties = r.byte(), r.number(), r.uint32()
				err = r.end("an answer")
			} else if id := r.id(); !listed[id] { // an earlier step may have listed it, and it began anew in between
				var f store.Family
				f, err = parseRecord(r.rest, id)
				list, listed[id] = append(list, f), true
			}
			if err != nil {
				return nil, fmt.Errorf("redis: families: %w", err)
			}
		}
		if len(rows) == 0 {
			return nil, fmt.Errorf("redis: families: %w", errDamaged)
		}
	}
	return list, nil
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
	if err := store.CheckSince(after, limit); err != nil {
		return store.Batch{}, err
	}
	return s.notifier.Since(ctx, wait, func() (store.Batch, error) { return s.batch(ctx, after, limit) })
}

// maxTries is how often a batch is read without a script, before a script reads it.
const maxTries = 3

// batch reads a part of the log, without a script if it can: entries then go from
// the stream to the socket without a detour through Lua, which costs the server six
// times as much time. It does not use a transaction either: a server that is out of
// memory refuses commands in a transaction, and revocations must be readable then,
// too.
func (s *Store) batch(ctx context.Context, after store.Position, limit int) (store.Batch, error) {
	for range maxTries {
		b, same, err := s.tryBatch(ctx, after, limit)
		if err != nil {
			return store.Batch{}, fmt.Errorf("redis: since: %w", explain(err))
		}
		if same {
			s.seen.raise(b.Head)
			return b, nil
		}
	}
	return s.batchByScript(ctx, after, limit)
}

// tryBatch reads the log's row, the entries, and the row again. If both rows are the
// same, the entries match them. It reports false if the rows differ, if there is no
// log, or if a part of the log is lost.
func (s *Store) tryBatch(ctx context.Context, after store.Position, limit int) (b store.Batch, same bool, err error) {
	var parts, rowBefore, entries, clock, rowAgain *goredis.Cmd
	err = s.onServer(ctx, func(ctx context.Context, node *goredis.Client) error {
		pipe := node.Pipeline()
		role := queryRole(ctx, pipe)
		parts = pipe.Do(ctx, "EXISTS", s.key("entries"), s.key("sessions"), s.key("subjects"))
		rowBefore = pipe.Do(ctx, "HMGET", s.servers.key, "id", "head", "floor")
		entries = pipe.Do(ctx, "XRANGE", s.key("entries"), "("+strconv.FormatUint(uint64(after), 10)+"-0", "+", "COUNT", limit+1)
		clock = pipe.Do(ctx, "TIME")
		rowAgain = pipe.Do(ctx, "HMGET", s.servers.key, "id", "head", "floor")
		_, _ = pipe.Exec(ctx) // each command holds its own error
		for _, c := range []*goredis.Cmd{parts, rowBefore, entries, clock, rowAgain} {
			if err := c.Err(); err != nil {
				return err
			}
		}
		return checkMaster(role)
	})
	if err != nil {
		return b, false, err
	}
	row, _ := rowBefore.Val().([]any)
	again, _ := rowAgain.Val().([]any)
	if len(row) != 3 || !slices.Equal(row, again) || row[0] == nil || parts.Val() != int64(3) {
		return b, false, nil
	}
	id, _ := row[0].(string)
	head, err1 := number(row[1])
	floor, err2 := number(row[2])
	now, err3 := clock.Slice()
	if err := errors.Join(err1, err2, err3); err != nil || copy(b.Log[:], id) != len(b.Log) || len(now) != 2 {
		return b, false, errors.Join(err, errDamaged)
	}
	seconds, err1 := number(now[0])
	micros, err2 := number(now[1])
	if err := errors.Join(err1, err2); err != nil {
		return b, false, err
	}
	b.Head, b.Floor, b.Now = store.Position(head), store.Position(floor), time.UnixMilli(int64(seconds*1000+micros/1000))
	list, _ := entries.Val().([]any)
	b.More = len(list) > limit
	b.Entries = make([]store.Entry, min(len(list), limit))
	for i := range b.Entries {
		if b.Entries[i], err = parseEntry(entryText(list[i])); err != nil {
			return b, false, err
		}
	}
	// If the end of the stream is lost, the entries do not reach the head.
	last := max(after, b.Floor)
	if n := len(b.Entries); n > 0 {
		last = max(last, b.Entries[n-1].Position)
	}
	return b, b.More || last >= b.Head, nil
}

// batchByScript reads a part of the log with a script, which also detects that there
// is no log, or that a part of it is lost.
func (s *Store) batchByScript(ctx context.Context, after store.Position, limit int) (b store.Batch, err error) {
	var p packed
	p.number(uint64(after))
	p.number32(uint32(limit))
	reply, err := s.run(ctx, sinceScript, false, p)
	if err != nil {
		return b, err
	}
	rows, _ := reply.([]any)
	if len(rows) == 0 {
		return b, fmt.Errorf("redis: since: %w", errDamaged)
	}
	text, _ := rows[0].(string)
	r := reader{rest: text}
	b.Head, b.Floor, b.Now, b.Log = r.position(), r.position(), r.time(), r.id()
	err = r.end("an answer")
	b.More = len(rows)-1 > limit
	b.Entries = make([]store.Entry, min(len(rows)-1, limit))
	for i := range b.Entries {
		if err == nil {
			text, _ := rows[i+1].(string)
			b.Entries[i], err = parseEntry(text)
		}
	}
	if err != nil {
		return store.Batch{}, fmt.Errorf("redis: since: %w", err)
	}
	s.seen.raise(b.Head)
	return b, nil
}

// entryText returns the text of a stream entry, [id, [name, text]]. It returns "" if
// the entry has another form.
func entryText(entry any) string {
	pair, _ := entry.([]any)
	if len(pair) != 2 {
		return ""
	}
	fields, _ := pair[1].([]any)
	if len(fields) != 2 {
		return ""
	}
	text, _ := fields[1].(string)
	return text
}

func number(v any) (uint64, error) {
	text, ok := v.(string)
	n, err := strconv.ParseUint(text, 10, 53)
	if !ok || err != nil {
		return 0, fmt.Errorf("a number: %w", errDamaged)
	}
	return n, nil
}

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	if len(subject) > store.MaxSubject {
		subject = "" // no revocation can name a longer one
	}
	var p packed
	p.bytes(session[:])
	p.short(subject)
	reply, err := s.run(ctx, cutoffsScript, false, p)
	if err != nil {
		return store.Cutoffs{}, err
	}
	text, _ := reply.(string)
	r := reader{rest: text}
	c := store.Cutoffs{
		Ending: r.position(), Superseding: r.position(), Subject: r.position(), Everyone: r.position(),
		Floor: r.position(), Head: r.position(), Now: r.time(),
		MaxStaleness: time.Duration(r.number()) * time.Millisecond, Log: r.id(),
	}
	if err := r.end("an answer"); err != nil {
		return store.Cutoffs{}, fmt.Errorf("redis: cutoffs: %w", err)
	}
	s.seen.raise(c.Head)
	return c, nil
}

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) error {
	var p packed
	var ms [4]uint64
	for i, d := range []time.Duration{a.Access, a.Absolute, a.Leeway, a.MaxStaleness} {
		ms[i] = wholeMilliseconds(d)
		p.number(ms[i])
	}
	_, err := s.run(ctx, announceScript, true, p)
	if err == nil {
		s.announced.raise(ms)
	}
	return err
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	reply, err := s.run(ctx, loadKeysScript, false, nil)
	if err != nil {
		return 0, nil, err
	}
	text, _ := reply.(string)
	r := reader{rest: text}
	if version = r.number(); r.bad {
		return 0, nil, fmt.Errorf("redis: load keys: %w", errDamaged)
	}
	if version == 0 {
		return 0, nil, nil
	}
	return version, []byte(strings.Clone(r.rest)), nil
}

// SwapKeys implements [store.Store].
func (s *Store) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	var p packed
	p.number(version)
	reply, err := s.run(ctx, swapKeysScript, true, p, string(document))
	return reply == int64(1), err
}

func (s *Store) key(name string) string { return "{" + s.name + "}:" + name }
