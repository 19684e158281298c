package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"fmt"
	"math"
	"time"

	"github.com/waferkit/wafer/store"
)

//go:embed scripts/create.lua
var createLua string

//go:embed scripts/advance.lua
var advanceLua string

//go:embed scripts/commit.lua
var commitLua string

//go:embed scripts/reissue.lua
var reissueLua string

//go:embed scripts/bind.lua
var bindLua string

//go:embed scripts/revoke.lua
var revokeLua string

//go:embed scripts/revoke_name.lua
var revokeNameLua string

//go:embed scripts/restore.lua
var restoreLua string

var (
	createScript     = newScript("create", baseLua, familyLua, indexLua, appendLua, createLua)
	advanceScript    = newScript("advance", baseLua, familyLua, advanceLua)
	commitScript     = newScript("commit", baseLua, familyLua, indexLua, appendLua, commitLua)
	reissueScript    = newScript("reissue", baseLua, familyLua, reissueLua)
	bindScript       = newScript("bind", baseLua, familyLua, bindLua)
	revokeScript     = newScript("revoke", baseLua, familyLua, indexLua, appendLua, revokeLua)
	revokeNameScript = newScript("revoke name", baseLua, familyLua, indexLua, appendLua, revokeNameLua)
	restoreScript    = newScript("restore", baseLua, familyLua, indexLua, appendLua, restoreLua)
)

// write runs a script whose reply is a snapshot.
func (s *Store) write(ctx context.Context, sc *script, id store.ID, args packed, more ...any) (store.Snapshot, error) {
	reply, err := s.run(ctx, s.writes, sc, true, args, more...)
	if err != nil {
		return store.Snapshot{}, err
	}
	return s.snapshot(sc, reply, id)
}

func (s *Store) snapshot(sc *script, reply any, id store.ID) (store.Snapshot, error) {
	text, ok := reply.(string)
	if !ok {
		return store.Snapshot{}, fmt.Errorf("redis: %s: an answer of type %T: %w", sc.name, reply, errDamaged)
	}
	snap, err := parseSnapshot(text, id)
	if err != nil {
		return store.Snapshot{}, fmt.Errorf("redis: %s: %w", sc.name, err)
	}
	s.seen.raise(snap.Head)
	if snap.Entry != 0 {
		s.notifier.notifyHead(snap.Log, snap.Head)
	}
	return snap, nil
}

// seed appends the random part of the entry ids of a call.
func (p *packed) seed() {
	var random [12]byte
	rand.Read(random[:])
	p.bytes(random[:])
}

// wholeMilliseconds returns d in milliseconds, rounded up, or 0 if d is negative.
// The longest duration does not overflow.
func wholeMilliseconds(d time.Duration) uint64 {
	ms := d / time.Millisecond
	if d%time.Millisecond > 0 {
		ms++
	}
	return uint64(max(ms, 0))
}

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	if err := c.Check(); err != nil {
		return store.Snapshot{}, err
	}
	var p packed
	p.bytes(c.ID[:])
	p.flag(c.Native)
	p.short(c.Subject)
	p.short(c.Label)
	p.names(c.Names)
	p.short(c.Actor)
	p.short(c.Methods)
	p.short(c.Level)
	p.key(c.Key)
	p.bytes(c.Seal[:])
	p.number(uint64(c.Idle.Milliseconds()))
	p.number(uint64(c.Absolute.Milliseconds()))
	p.time(c.Started)
	p.time(c.Authenticated)
	p.number(uint64(c.Leeway.Milliseconds())) // rounded down: times are whole, and a later one is beyond it
	p.number(wholeMilliseconds(c.Known))
	p.number(uint64(c.NotBefore))
	p.number32(uint32(min(c.Limit, math.MaxInt32)))
	p.flag(c.EndOldest)
	p.flag(c.Value != nil)
	p.long(c.Value)
	p.bytes(c.Ends[0][:])
	p.bytes(c.Ends[1][:])
	var renewal store.Renewal
	if c.Renews != nil {
		renewal = *c.Renews
	}
	p.flag(c.Renews != nil)
	p.bytes(renewal.ID[:])
	p.number(uint64(renewal.Basis))
	p.bytes(renewal.Seal[:])
	p.key(renewal.Key)
	p.time(renewal.Authenticated)
	p.short(renewal.Methods)
	p.short(renewal.Level)
	p.number(uint64(c.Above))
	p.seed()
	p.short(c.Reason)
	p.short(c.By)
	reply, err := s.run(ctx, s.writes, createScript, true, p)
	if err != nil {
		return store.Snapshot{}, err
	}
	id := c.ID
	if text, _ := reply.(string); len(text) > 0 {
		switch store.Outcome(text[0]) {
		case store.Unwritten, store.Changed, store.Behind:
			id = renewal.ID
		}
	}
	return s.snapshot(createScript, reply, id)
}

// Advance implements [store.Store].
func (s *Store) Advance(ctx context.Context, a store.Advance) (store.Snapshot, error) {
	if err := a.Check(); err != nil {
		return store.Snapshot{}, err
	}
	p := make(packed, 0, 83)
	p.bytes(a.ID[:])
	p.number32(a.Generation)
	p.number16(a.Copy)
	p.flag(a.Native)
	p.number(uint64(a.Basis))
	// The server counts in whole milliseconds, so a minimum age is rounded up, and the
	// skew that an age must exceed is rounded down.
	p.number(wholeMilliseconds(a.Age))
	p.number16(a.Lag)
	p.number(uint64(a.Skew.Milliseconds()))
	p.flag(a.PositionOnly)
	p.key(a.Key)
	return s.write(ctx, advanceScript, a.ID, p)
}

// Reissue implements [store.Store].
func (s *Store) Reissue(ctx context.Context, r store.Reissue) (store.Snapshot, error) {
	if err := r.Check(); err != nil {
		return store.Snapshot{}, err
	}
	p := make(packed, 0, 80)
	p.bytes(r.ID[:])
	p.number32(r.Generation)
	p.number16(r.Copy)
	p.flag(r.Native)
	p.number(uint64(r.Basis))
	p.number(wholeMilliseconds(r.Age)) // rounded as in Advance
	p.number(uint64(r.Skew.Milliseconds()))
	p.key(r.Key)
	return s.write(ctx, reissueScript, r.ID, p)
}

// Bind implements [store.Store].
func (s *Store) Bind(ctx context.Context, b store.Binding) (store.Snapshot, error) {
	if err := b.Check(); err != nil {
		return store.Snapshot{}, err
	}
	var p packed
	p.bytes(b.ID[:])
	p.bytes(b.Key[:])
	p.bytes(b.Verified[:])
	p.bytes(b.Seal[:])
	p.flag(b.Counts)
	return s.write(ctx, bindScript, b.ID, p)
}

// Commit implements [store.Store].
func (s *Store) Commit(ctx context.Context, c store.Commit) (store.Snapshot, error) {
	if err := c.Check(); err != nil {
		return store.Snapshot{}, err
	}
	var p packed
	p.bytes(c.ID[:])
	p.number(uint64(c.Basis))
	p.key(c.Key)
	p.long(c.Value)
	p.number(uint64(c.Above))
	p.seed()
	p.short(c.Actor)
	return s.write(ctx, commitScript, c.ID, p)
}

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	if err := r.Check(); err != nil {
		return store.Snapshot{}, err
	}
	var p packed
	p.number(uint64(r.Above))
	p.seed()
	p.short(r.Reason)
	p.short(r.Actor)
	if !r.Name.IsZero() {
		p.bytes(r.Name[:])
		p.bytes(r.ID[:])
		return s.write(ctx, revokeNameScript, store.ID{}, p)
	}
	p.flag(r.Everyone)
	p.short(packRing(r.Ring, r.RingVersion))
	p.flag(r.Except != nil)
	var except store.Rebirth
	if r.Except != nil {
		except = *r.Except
	}
	p.bytes(except.ID[:])
	p.number(uint64(except.Basis))
	p.key(except.Key)
	var sessions packed
	for _, id := range r.Sessions {
		sessions.bytes(id[:])
	}
	more := make([]any, 1, 1+len(r.Subjects))
	more[0] = string(sessions)
	for _, subject := range r.Subjects {
		more = append(more, subject)
	}
	return s.write(ctx, revokeScript, except.ID, p, more...)
}

// Restore implements [store.Store].
func (s *Store) Restore(ctx context.Context, r store.Restoration) (store.Snapshot, error) {
	if err := r.Check(); err != nil {
		return store.Snapshot{}, err
	}
	var p packed
	p.number(uint64(r.Above))
	p.seed()
	more := make([]any, 0, len(r.Entries))
	for i := range r.Entries {
		e := &r.Entries[i]
		var q packed
		q.byte(byte(e.Kind))
		q.number(uint64(e.Position))
		switch e.Kind {
		case store.KindSubject:
			q.short(e.Subject)
		case store.KindSession:
			q.short(string(e.Session[:]))
		case store.KindEveryone:
			q.short(packRing(e.Ring, e.RingVersion))
		}
		q.short(e.Reason)
		q.short(e.Actor)
		more = append(more, string(q))
	}
	return s.write(ctx, restoreScript, store.ID{}, p, more...)
}
