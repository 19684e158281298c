package redis

import (
	"context"
	"crypto/rand"
	_ "embed"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
)

//go:embed scripts/begin.lua
var beginLua string

//go:embed scripts/rights.lua
var rightsLua string

var (
	beginScript  = newScript("begin", beginLua)
	rightsScript = newScript("rights", rightsLua)
)

// schemaVersion is the version of the keys and of their contents. Versions 1 and 2 were
// never released.
const schemaVersion = "3"

// seen holds the highest head that this process has seen. A log that replaces a
// lost one begins above it.
type seen struct{ highest atomic.Uint64 }

func (s *seen) raise(p store.Position) {
	for {
		old := s.highest.Load()
		if uint64(p) <= old || s.highest.CompareAndSwap(old, uint64(p)) {
			return
		}
	}
}

// openLog creates the log if there is none, and refuses one of another schema. It
// first checks that the user may run every command: a script that is refused a
// command in its middle would be half done.
func (s *Store) openLog(ctx context.Context) error {
	if _, err := s.writes.do(&call{ctx: ctx, script: rightsScript}); err != nil && !goredis.IsOOMError(err) {
		return fmt.Errorf("try the commands that the engine needs: %w", explain(err))
	}
	version, err := s.version(ctx)
	if err == nil && version == "" {
		if err = s.begin(ctx); err == nil {
			version, err = s.version(ctx)
		}
	}
	switch {
	case err != nil:
		return explain(err)
	case version == "1" || version == "2":
		return fmt.Errorf("the store's schema is version %s, of before the first release, and this program knows %s; nothing migrates it: give Options another Name, or delete the keys %s*, with which all sessions end and a key set kept there is lost", version, schemaVersion, s.key(""))
	case version != schemaVersion:
		return fmt.Errorf("the store's schema is version %q, and this program knows %s; a newer release has written it: run that one", version, schemaVersion)
	}
	return nil
}

// version reads the version of the schema. It is "" if there is no log.
func (s *Store) version(ctx context.Context) (string, error) {
	reply, err := s.direct(ctx, "HMGET", s.servers.key, "id", "version")
	if err != nil {
		return "", err
	}
	row, _ := reply.([]any)
	if len(row) != 2 {
		return "", errDamaged
	}
	if row[0] == nil {
		return "", nil
	}
	version, ok := row[1].(string)
	if !ok || version == "" {
		return "", errors.New("the store's schema has no version; restore it from a backup")
	}
	return version, nil
}

// announced holds the longest durations that this node has announced, in
// milliseconds.
type announced struct {
	mu sync.Mutex
	ms [4]uint64 // access, absolute, leeway, staleness
}

func (a *announced) raise(ms [4]uint64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for i := range ms {
		a.ms[i] = max(a.ms[i], ms[i])
	}
}

// begin creates the log, unless another process has created it meanwhile.
func (s *Store) begin(ctx context.Context) error {
	if s.options.MustExist {
		return fmt.Errorf("%w: the server holds no key %s, or has lost one of its entries, sessions or subjects", ErrNoStore, s.servers.key)
	}
	var log, entry store.ID
	rand.Read(log[:])
	rand.Read(entry[:])
	var p packed
	p.bytes(log[:])
	p.bytes(entry[:])
	p.number(s.seen.highest.Load())
	// Nodes announce only when they start. Without this, a log that replaces a lost
	// one while they run would never drop an entry.
	s.announced.mu.Lock()
	for _, ms := range s.announced.ms {
		p.number(ms)
	}
	s.announced.mu.Unlock()
	if _, err := s.writes.do(&call{ctx: ctx, script: beginScript, args: string(p), write: true}); err != nil {
		return fmt.Errorf("make the log: %w", err)
	}
	return nil
}
