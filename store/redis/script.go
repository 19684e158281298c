package redis

import (
	"context"
	"crypto/sha1"
	_ "embed"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
)

// script is a Lua script, which the server runs atomically.
type script struct {
	name string
	text string
	sha  string // identifies the text for EVALSHA; SHA-1 has no security purpose here
}

//go:embed scripts/base.lua
var baseLua string

//go:embed scripts/family.lua
var familyLua string

//go:embed scripts/index.lua
var indexLua string

//go:embed scripts/append.lua
var appendLua string

func newScript(name string, parts ...string) *script {
	text := strings.Join(parts, "\n")
	sum := sha1.Sum([]byte(text))
	return &script{name: name, text: text, sha: hex.EncodeToString(sum[:])}
}

// packed holds the arguments of a script: numbers are big-endian, and texts follow
// their length.
type packed []byte

func (p *packed) byte(b byte)       { *p = append(*p, b) }
func (p *packed) number(n uint64)   { *p = binary.BigEndian.AppendUint64(*p, n) }
func (p *packed) number16(n uint16) { *p = binary.BigEndian.AppendUint16(*p, n) }
func (p *packed) number32(n uint32) { *p = binary.BigEndian.AppendUint32(*p, n) }
func (p *packed) bytes(b []byte)    { *p = append(*p, b...) }

func (p *packed) flag(b bool) {
	if b {
		p.byte(1)
	} else {
		p.byte(0)
	}
}

// short appends a text of at most 255 bytes.
func (p *packed) short(s string) {
	p.byte(byte(len(s)))
	*p = append(*p, s...)
}

// long appends at most 65535 bytes.
func (p *packed) long(b []byte) {
	*p = binary.BigEndian.AppendUint16(*p, uint16(len(b)))
	*p = append(*p, b...)
}

// time appends a time in whole milliseconds. No time is 0, so one of before 1970 is 1.
func (p *packed) time(t time.Time) {
	if t.IsZero() {
		p.number(0)
	} else {
		p.number(uint64(min(max(t.UnixMilli(), 1), int64(store.MaxPosition))))
	}
}

// key appends a device's key. No key is an empty text.
func (p *packed) key(k store.Key) {
	if k.IsZero() {
		p.short("")
	} else {
		p.short(string(k[:]))
	}
}

func (p *packed) names(names []store.Name) {
	p.byte(byte(len(names) * len(store.Name{})))
	for _, n := range names {
		p.bytes(n[:])
	}
}

// packRing packs the name of an entry of everyone. It is empty if there is no ring.
func packRing(ring store.ID, version uint64) string {
	if ring.IsZero() && version == 0 {
		return ""
	}
	return string(binary.BigEndian.AppendUint64(ring[:], version))
}

// run runs a script on the server. If the script finds no log, run creates one and
// runs the script again.
func (s *Store) run(ctx context.Context, sender *groupSender, sc *script, write bool, args packed, more ...any) (any, error) {
	for attempt := 0; ; attempt++ {
		reply, err := sender.do(&call{ctx: ctx, script: sc, args: string(args), more: more, write: write})
		if err == nil && reply == nil && attempt == 0 {
			if err = s.begin(ctx); err == nil {
				continue
			}
		}
		if err == nil && reply == nil {
			err = fmt.Errorf("the log is gone again, right after it was made")
		}
		if err != nil {
			return nil, fmt.Errorf("redis: %s: %w", sc.name, explain(err))
		}
		return reply, nil
	}
}

// explain adds the remedy to an error.
func explain(err error) error {
	switch {
	case err == nil:
		return nil
	case goredis.HasErrorPrefix(err, "BEYOND"):
		return fmt.Errorf("%w: %w", store.ErrAbove, err)
	case notServing(err):
		return fmt.Errorf("%w (the server has become a replica, or its Cluster is down; the next call looks for the master anew, as the client finds it: by its Sentinels, its Cluster, or the server's name)", err)
	case goredis.IsOOMError(err):
		return fmt.Errorf("%w (nothing was written; give the server more memory)", err)
	case goredis.HasErrorPrefix(err, "ASK"), goredis.IsTryAgainError(err), strings.Contains(err.Error(), "non local key"):
		return fmt.Errorf("%w (nothing was written: the store's slot is being moved to another node, and is served again once it is there)", err)
	case goredis.IsPermissionError(err), strings.Contains(err.Error(), "can't run this command"), strings.Contains(err.Error(), "has no permissions"):
		return fmt.Errorf("%w (the README of the engine lists what its user must be allowed)", err)
	}
	return err
}
