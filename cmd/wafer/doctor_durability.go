package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/redis"
	"github.com/waferkit/wafer/store/sqlite"
)

// checkDurability checks whether the settings of the engine's server keep every
// write that has returned. Settings that the engine must not run with at all are
// refused by its Open.
func (c *checkup) checkDurability(ctx context.Context, db store.Store) {
	var err error
	switch s := db.(type) {
	case *sqlite.Store:
		var d sqlite.Durability
		if d, err = s.Durability(ctx); err == nil {
			c.judgeSQLite(d.JournalMode, d.Synchronous)
		}
	case *redis.Store:
		var d redis.Durability
		if d, err = s.Durability(ctx); err == nil {
			c.judge(redisSettings(d), "store/redis", d.Warnings())
		}
	case *postgres.Store:
		var d postgres.Durability
		if d, err = s.Durability(ctx); err == nil {
			c.judge(postgresSettings(d), "store/postgres", d.Warnings())
		}
	}
	if err != nil {
		c.add("durability", false, "see what the engine says", "%v", err)
	}
}

// judge adds the settings as a finding, or each of their warnings as one.
func (c *checkup) judge(settings, folder string, warnings []string) {
	if len(warnings) == 0 {
		c.add("durability", true, "", "%s: what is written survives a crash", settings)
	}
	for _, w := range warnings {
		c.add("durability", true, "see the README of "+folder+", section Durability", "%s: %s", settings, w)
	}
}

func redisSettings(d redis.Durability) string {
	return fmt.Sprintf("%s %s, %s with %d replicas, maxmemory-policy=%s, appendonly=%s, appendfsync=%s", d.Server, d.Version, d.Role, d.Replicas,
		orUnknown(d.Policy), orUnknown(d.AppendOnly), orUnknown(d.AppendFsync))
}

func postgresSettings(d postgres.Durability) string {
	return fmt.Sprintf("PostgreSQL %d.%d, fsync=%s, full_page_writes=%s, synchronous_commit=%s, synchronous_standby_names=%q",
		d.Version/10000, d.Version%10000, onOff(d.Fsync), onOff(d.FullPageWrites), d.SynchronousCommit, d.StandbyNames)
}

func orUnknown(setting string) string {
	if strings.TrimSpace(setting) == "" {
		return "(not told)"
	}
	return setting
}

func onOff(on bool) string {
	if on {
		return "on"
	}
	return "off"
}

func (c *checkup) judgeSQLite(journal string, synchronous int) {
	const full = 2 // PRAGMA synchronous=FULL
	found := fmt.Sprintf("journal_mode=%s, synchronous=%d", journal, synchronous)
	if journal == "wal" && synchronous >= full {
		c.add("durability", true, "", "%s: what is written survives a loss of power", found)
		return
	}
	c.add("durability", false, "see the README of store/sqlite, section Durability", "%s: want wal and %d (FULL), or a loss of power forgets revocations", found, full)
}
