package redis

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/store"
)

// Tidy sweeps until there is no more to do, and all families have been looked at.
func (s *Store) Tidy(ctx context.Context) error {
	for place := ""; ; {
		var more bool
		var err error
		place, more, err = s.sweep(ctx, place)
		if err != nil || !more && place == "" {
			return err
		}
	}
}

// TidyOnce does one step of housekeeping.
func (s *Store) TidyOnce(ctx context.Context) (bool, error) {
	_, more, err := s.sweep(ctx, "")
	return more, err
}

// MaxLifetime is the maximum time for which a connection is used.
const MaxLifetime = maxLifetime

// ShortLives sets the lifetime of connections to d, until the returned function is
// called.
func ShortLives(d time.Duration) (restore func()) {
	lifetime = d
	return func() { lifetime = maxLifetime }
}

// SweepOften makes stores sweep, and read their server's settings, about every d,
// until the returned function is called.
func SweepOften(d time.Duration) (restore func()) {
	settingsEvery, sweepEvery = d, d
	return func() { settingsEvery, sweepEvery = time.Minute, time.Second }
}

// DialedOptions returns the options of the ClusterClient that a URL leads to, or nil
// if it leads to none.
func DialedOptions(ctx context.Context, url string) *goredis.ClusterOptions {
	client, err := dial(ctx, url)
	if err != nil {
		return nil
	}
	defer client.Close()
	if c, ok := client.(*goredis.ClusterClient); ok {
		return c.Options()
	}
	return nil
}

// NotServing reports whether an error shows that the server does not serve the
// store.
func NotServing(err error) bool { return notServing(err) }

// Listening reports whether the stream is watched.
func (s *Store) Listening() bool { return s.notifier.Watching() }

// ShiftClock adds the milliseconds in the key "shift" of a store to the clock that
// its scripts read, until the returned function is called. It returns nil if the
// scripts no longer read the clock, or set a time to live, with the code that this
// function replaces.
func ShiftClock() (restore func()) {
	all := scripts()
	kept := make([]script, len(all))
	replaced := map[string]int{}
	for i, sc := range all {
		kept[i] = *sc
		for old, new := range map[string]string{
			"clock[1] * 1000000 + clock[2]": "clock[1] * 1000000 + clock[2] + 1000 * (call('GET', PREFIX .. 'shift') or 0)",
			"'PXAT', whole(known_until)":    "'PXAT', whole(known_until - (call('GET', PREFIX .. 'shift') or 0))",
		} {
			replaced[old] += strings.Count(sc.text, old)
			sc.text = strings.ReplaceAll(sc.text, old, new)
		}
		sum := sha1.Sum([]byte(sc.text))
		sc.sha = hex.EncodeToString(sum[:])
	}
	restore = func() {
		for i, sc := range all {
			*sc = kept[i]
		}
	}
	if replaced["clock[1] * 1000000 + clock[2]"] != len(all) {
		restore()
		return nil
	}
	for _, n := range replaced {
		if n == 0 {
			restore()
			return nil
		}
	}
	return restore
}

// Row is a family as the server keeps it.
type Row struct {
	store.Family
	Ended bool
	Keep  time.Time // zero if the id need not stay known
}

// ParseRow parses a record.
func ParseRow(text string, id store.ID) (Row, error) {
	f, err := parseRecord(text, id)
	row := Row{Family: f.Family, Ended: f.ended}
	if f.keep > 0 {
		row.Keep = time.UnixMilli(int64(f.keep))
	}
	return row, err
}

// Place returns a family's member of the indexes.
func Place(f *store.Family) string {
	return string(packPlace(store.PageCursor{Birth: f.Birth, Started: f.Started.UnixMilli(), ID: f.ID}))
}

// IsNews reports whether a text contains no call of a script but those of Cutoffs,
// Announce and Since.
func IsNews(text string) bool {
	for _, sc := range scripts() {
		if sc != cutoffsScript && sc != announceScript && sc != sinceScript && strings.Contains(text, sc.sha) {
			return false
		}
	}
	return true
}

func scripts() []*script {
	return []*script{
		createScript, advanceScript, reissueScript, commitScript, bindScript, revokeScript, revokeNameScript, restoreScript, beginScript, sweepScript,
		familyScript, familiesScript, cutoffsScript, announceScript, loadKeysScript, swapKeysScript, sinceScript,
	}
}
