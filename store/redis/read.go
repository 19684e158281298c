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
	familiesScript = newScript("families", baseLua, familyLua, indexLua, familiesLua)
	cutoffsScript  = newScript("cutoffs", baseLua, cutoffsLua)
	announceScript = newScript("announce", baseLua, announceLua)
	loadKeysScript = newScript("load keys", baseLua, loadKeysLua)
	swapKeysScript = newScript("swap keys", baseLua, swapKeysLua)
	sinceScript    = newScript("since", baseLua, sinceLua)
)

// Family implements [store.Store].
func (s *Store) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	reply, err := s.run(ctx, s.reads, familyScript, false, id[:])
	if err != nil {
		return store.Snapshot{}, err
	}
	return s.snapshot(familyScript, reply, id)
}

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, q store.Query) (store.Page, error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	var p packed
	p.short(q.Subject)
	p.number32(uint32(q.Limit))
	if q.After == (store.PageCursor{}) {
		p.short("")
	} else {
		after := q.After
		after.Started = min(max(after.Started, 0), 1<<48-1)
		p.short(string(packPlace(after)))
	}
	reply, err := s.run(ctx, s.lists, familiesScript, false, p)
	if err != nil {
		return store.Page{}, err
	}
	page, err := parsePage(reply)
	if err != nil {
		return store.Page{}, fmt.Errorf("redis: families: %w", err)
	}
	return page, nil
}

// packPlace packs a place in an index, which has 48 bits for the start: see
// scripts/index.lua.
func packPlace(c store.PageCursor) (p packed) {
	p.number(uint64(c.Birth))
	p.number16(uint16(c.Started >> 32))
	p.number32(uint32(c.Started))
	p.bytes(c.ID[:])
	return p
}

func parsePage(reply any) (store.Page, error) {
	rows, _ := reply.([]any)
	if len(rows) == 0 {
		return store.Page{}, errDamaged
	}
	text, _ := rows[0].(string)
	r := reader{rest: text}
	page := store.Page{Now: r.time()}
	if next := (reader{rest: r.short()}); next.rest != "" {
		page.Next = store.PageCursor{Birth: next.position(), Started: int64(next.uint16())<<32 | int64(next.uint32()), ID: next.id()}
		r.bad = r.bad || next.end("a place") != nil
	}
	if err := r.end("an answer"); err != nil {
		return store.Page{}, err
	}
	for _, row := range rows[1:] {
		text, _ := row.(string)
		r := reader{rest: text}
		id := r.id()
		f, err := parseRecord(r.rest, id)
		if err != nil {
			return store.Page{}, err
		}
		f.Value = nil
		page.Families = append(page.Families, f.Family)
	}
	return page, nil
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
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
func (s *Store) batch(ctx context.Context, after store.Cursor, limit int) (store.Batch, error) {
	for range maxTries {
		b, whole, err := s.tryBatch(ctx, after, limit)
		if err != nil {
			return store.Batch{}, fmt.Errorf("redis: since: %w", explain(err))
		}
		if whole {
			s.seen.raise(b.Head)
			return b, nil
		}
	}
	return s.batchByScript(ctx, after, limit)
}

// read is how many entries are read for a batch: the one at the cursor, those of the
// batch, and one that shows that there are more.
func read(limit int) int { return limit + 2 }

// fill sets the entries of a batch from those at the cursor's position and above. It
// returns the position up to which they reach.
func fill(b *store.Batch, after store.Cursor, limit int, floorID store.ID, texts []any) (reach store.Position, err error) {
	entries := make([]store.Entry, len(texts))
	for i := range texts {
		text, _ := texts[i].(string)
		if entries[i], err = parseEntry(text); err != nil {
			return 0, err
		}
	}
	reach = max(after.Position, b.Floor)
	if n := len(entries); n > 0 {
		reach = max(reach, entries[n-1].Position)
	}
	switch {
	case after.Position == 0:
	case len(entries) > 0 && entries[0].Position == after.Position:
		b.Broken = entries[0].ID != after.ID
		entries = entries[1:]
	default:
		b.Broken = after != store.Cursor{Position: b.Floor, ID: floorID}
	}
	if b.Broken {
		return reach, nil
	}
	b.More = len(entries) > limit
	b.Entries = entries[:min(len(entries), limit)]
	return reach, nil
}

// tryBatch reads the log's row, the entries, and the row again. If both rows are the
// same, the entries match them. It reports false if the rows differ, if there is no
// log, if a part of the log is lost, or if the cursor is broken, which may come from
// such a loss.
func (s *Store) tryBatch(ctx context.Context, after store.Cursor, limit int) (b store.Batch, whole bool, err error) {
	var parts, rowBefore, entries, clock, rowAgain *goredis.Cmd
	err = s.onServer(ctx, func(ctx context.Context, node *goredis.Client) error {
		pipe := node.Pipeline()
		role := queryRole(ctx, pipe)
		parts = pipe.Do(ctx, "EXISTS", s.key("entries"), s.key("sessions"), s.key("subjects"))
		rowBefore = pipe.Do(ctx, "HMGET", s.servers.key, "id", "head", "floor", "head_id", "floor_id")
		entries = pipe.Do(ctx, "XRANGE", s.key("entries"), strconv.FormatUint(uint64(after.Position), 10)+"-0", "+", "COUNT", read(limit))
		clock = pipe.Do(ctx, "TIME")
		rowAgain = pipe.Do(ctx, "HMGET", s.servers.key, "id", "head", "floor", "head_id", "floor_id")
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
	if len(row) != 5 || !slices.Equal(row, again) || row[0] == nil || parts.Val() != int64(3) {
		return b, false, nil
	}
	head, err1 := number(row[1])
	floor, err2 := number(row[2])
	now, err3 := clock.Slice()
	floorID := store.ID{}
	if floor > 0 {
		floorID, err = idOf(row[4])
	}
	b.Head, b.Floor = store.Position(head), store.Position(floor)
	var err4, err5 error
	b.Log, err4 = idOf(row[0])
	b.HeadID, err5 = idOf(row[3])
	if err := errors.Join(err, err1, err2, err3, err4, err5); err != nil || len(now) != 2 {
		return b, false, errors.Join(err, errDamaged)
	}
	seconds, err1 := number(now[0])
	micros, err2 := number(now[1])
	if err := errors.Join(err1, err2); err != nil {
		return b, false, err
	}
	b.Now = time.UnixMilli(int64(seconds*1000 + micros/1000))
	list, _ := entries.Val().([]any)
	texts := make([]any, len(list))
	for i := range list {
		texts[i] = entryText(list[i])
	}
	reach, err := fill(&b, after, limit, floorID, texts)
	// If the end of the stream is lost, the entries do not reach the head.
	return b, err == nil && !b.Broken && (b.More || reach >= b.Head), err
}

// batchByScript reads a part of the log with a script, which also detects that there
// is no log, or that a part of it is lost.
func (s *Store) batchByScript(ctx context.Context, after store.Cursor, limit int) (b store.Batch, err error) {
	var p packed
	p.number(uint64(after.Position))
	p.number32(uint32(read(limit)))
	reply, err := s.run(ctx, s.news, sinceScript, false, p)
	if err != nil {
		return b, err
	}
	rows, _ := reply.([]any)
	if len(rows) == 0 {
		return b, fmt.Errorf("redis: since: %w", errDamaged)
	}
	text, _ := rows[0].(string)
	r := reader{rest: text}
	b.Head, b.Floor, b.Now = r.position(), r.position(), r.time()
	var floorID store.ID
	if !r.optional(b.HeadID[:]) || r.optional(floorID[:]) != (b.Floor > 0) {
		r.bad = true
	}
	b.Log = r.id()
	if err = r.end("an answer"); err == nil {
		_, err = fill(&b, after, limit, floorID, rows[1:])
	}
	if err != nil {
		return store.Batch{}, fmt.Errorf("redis: since: %w", err)
	}
	s.seen.raise(b.Head)
	return b, nil
}

func idOf(v any) (id store.ID, err error) {
	text, _ := v.(string)
	if len(text) != len(id) {
		return id, fmt.Errorf("an id: %w", errDamaged)
	}
	copy(id[:], text)
	return id, nil
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
	reply, err := s.run(ctx, s.news, cutoffsScript, false, p)
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
func (s *Store) Announce(ctx context.Context, a store.Announcement) (store.Peers, error) {
	if err := a.Check(); err != nil {
		return store.Peers{}, err
	}
	var p packed
	var ms [4]uint64
	for i, d := range []time.Duration{a.Access, a.Absolute, a.Leeway, a.MaxStaleness} {
		ms[i] = wholeMilliseconds(d)
		p.number(ms[i])
	}
	p.short(a.Realm)
	p.bytes(a.Ring[:])
	p.number(a.RingVersion)
	p.flag(a.Adopt)
	p.bytes(a.Node[:])
	var told packed
	told.bytes(a.Ring[:])
	told.number(a.RingVersion)
	told.short(a.Instance)
	p.long(append(told, a.Settings...))
	reply, err := s.run(ctx, s.news, announceScript, true, p)
	if err != nil {
		return store.Peers{}, err
	}
	peers, err := parsePeers(reply)
	if err != nil {
		return store.Peers{}, fmt.Errorf("redis: announce: %w", err)
	}
	if peers.Accepted {
		s.announced.raise(ms)
	}
	return peers, nil
}

func parsePeers(reply any) (store.Peers, error) {
	rows, _ := reply.([]any)
	if len(rows) == 0 {
		return store.Peers{}, errDamaged
	}
	text, _ := rows[0].(string)
	r := reader{rest: text}
	p := store.Peers{Accepted: r.flag(), Now: r.time(), Realm: strings.Clone(r.short()), Ring: r.id(), RingVersion: r.uint64()}
	if err := r.end("an answer"); err != nil {
		return store.Peers{}, err
	}
	for _, row := range rows[1:] {
		text, _ := row.(string)
		node, err := parsePeer(text)
		if err != nil {
			return store.Peers{}, err
		}
		p.Nodes = append(p.Nodes, node)
	}
	return p, nil
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	reply, err := s.run(ctx, s.reads, loadKeysScript, false, nil)
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
	if version >= uint64(store.MaxPosition) {
		return false, fmt.Errorf("redis: swap keys: %w: version %d: want less than 53 bits", store.ErrArgument, version)
	}
	var p packed
	p.number(version)
	reply, err := s.run(ctx, s.writes, swapKeysScript, true, p, string(document))
	return reply == int64(1), err
}

func (s *Store) key(name string) string { return "{" + s.name + "}:" + name }
