package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// finding is the result of one check, with the remedy in Do. A finding that is
// OK and has a remedy is a warning.
type finding struct {
	Check string `json:"check"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
	Do    string `json:"do,omitempty"`
}

// checkup collects findings.
type checkup struct {
	*flags
	keys     *keyring.Set // nil without --ring, or if it did not open
	findings []finding
}

func (c *checkup) add(check string, ok bool, do, format string, args ...any) {
	c.findings = append(c.findings, finding{check, ok, fmt.Sprintf(format, args...), do})
}

func doctor(ctx context.Context, e *env, args []string) error {
	c := &checkup{flags: e.flags("doctor", "looks for what is wrong with ring and store",
		"wafer doctor --ring data/ring --store sqlite:data/wafer.db"), findings: []finding{}}
	c.withRing()
	if err := c.parse(args); err != nil {
		return err
	}
	if c.ring.ring == "" && c.db == "" {
		return c.usageError("want --ring, --store or both")
	}
	if c.ring.ring != "" {
		if err := c.checkRing(ctx); err != nil {
			return err
		}
	}
	if c.db != "" {
		if err := c.checkStore(ctx); err != nil {
			return err
		}
	}
	c.checkFiles()
	if err := c.output(c.findings, c.print); err != nil {
		return err
	}
	for _, f := range c.findings {
		if !f.OK {
			return errNo
		}
	}
	return nil
}

func (c *checkup) print(w io.Writer) {
	for _, f := range c.findings {
		state := "ok"
		if !f.OK {
			state = "WRONG"
		} else if f.Do != "" {
			state = "warning"
		}
		fmt.Fprintf(w, "%-8s %-11s %s\n", state, f.Check, printable(f.Found))
		if f.Do != "" {
			fmt.Fprintf(w, "%20s do: %s\n", "", f.Do)
		}
	}
}

// failed adds an error as a finding. It returns the error if it is about the
// command line.
func (c *checkup) failed(check, do string, err error) error {
	if errors.Is(err, errUsage) || errors.Is(err, flag.ErrHelp) {
		return err
	}
	c.add(check, false, do, "%v", err)
	return nil
}

func (c *checkup) checkRing(ctx context.Context) error {
	ring, close, err := c.openRing(ctx)
	if err != nil {
		return c.failed("ring", "see that --ring and --keeper are those of the application, and that this user may read them", err)
	}
	defer close()
	set, now := ring.Set(), c.env.now()
	c.keys = set
	c.checkPrimary(set, now)
	c.checkNext(set, now)
	return nil
}

func (c *checkup) checkPrimary(set *keyring.Set, now time.Time) {
	primary, err := set.Primary(now)
	if err != nil {
		c.add("primary", false, "run wafer keys rotate; nobody can log in or refresh until then. If the clock is wrong, set it first",
			"version %d of the ring, %d keys: %v", set.Version(), len(set.Keys()), err)
		return
	}
	c.add("primary", true, "", "version %d of the ring: key %v seals since %s", set.Version(), primary.ID(), stamp(primary.Activates()))
	due := primary.Activates().Add(set.Schedule().Seals)
	if late := now.Sub(due); late > 0 {
		c.add("rotation", false, "run wafer keys rotate, and have it run daily", "the primary should have been replaced at %s: overdue for %v", stamp(due), late.Round(time.Second))
		return
	}
	c.add("rotation", true, "", "due at %s, in %v", stamp(due), due.Sub(now).Round(time.Second))
}

func (c *checkup) checkNext(set *keyring.Set, now time.Time) {
	for _, k := range set.Keys() {
		if _, revoked := k.Revocation(); !revoked && k.Activates().After(now) {
			c.add("next key", true, "", "key %v takes over at %s, in %v", k.ID(), stamp(k.Activates()), k.Activates().Sub(now).Round(time.Second))
			return
		}
	}
	c.add("next key", false, "run wafer keys rotate, and have it run daily: a key must be known to every node before it seals", "none is published")
}

// Limits of the difference between this clock and the store's. Between any two
// clocks, nodes excuse twice Config.Skew, which is 5 s by default.
const (
	skewWarns = 2500 * time.Millisecond
	skewFails = 5 * time.Second
)

func (c *checkup) checkStore(ctx context.Context) error {
	db, closer, err := c.openStore(ctx)
	if err != nil {
		return c.failed("store", "see that --store is the application's, that the file is whole, and that this user may write it", err)
	}
	defer closer.Close()
	before := c.env.now()
	cutoffs, err := db.Cutoffs(ctx, store.ID{}, "")
	if err != nil {
		return c.failed("store", "see what the engine says", err)
	}
	c.checkClock(before, c.env.now(), cutoffs.Now)
	c.checkLog(ctx, db, &cutoffs)
	c.checkBelongs(ctx, db)
	c.checkDurability(ctx, db)
	return nil
}

// checkClock compares the store's clock with this machine's. stores was read
// between before and after.
func (c *checkup) checkClock(before, after, stores time.Time) {
	apart := max(before.Sub(stores), stores.Sub(after), 0)
	const do = "let a time service set the clocks of every node and of the store's machine"
	switch {
	case apart > skewFails:
		c.add("clock", false, do, "this machine's clock and the store's are %v apart; at most %v is excused", apart.Round(time.Millisecond), skewFails)
	case apart > skewWarns:
		c.add("clock", true, do, "this machine's clock and the store's are %v apart; at most %v is excused", apart.Round(time.Millisecond), skewFails)
	default:
		c.add("clock", true, "", "this machine's clock and the store's are %v apart", apart.Round(time.Millisecond))
	}
}

func (c *checkup) checkLog(ctx context.Context, db store.Store, cutoffs *store.Cutoffs) {
	log, err := readLog(ctx, db)
	if err != nil {
		c.add("log", false, "see what the engine says", "%v", err)
		return
	}
	found := fmt.Sprintf("log %v, head %d, floor %d, %d entries", log.Log, log.Head, log.Floor, log.entries)
	now := c.env.now()
	var ahead time.Duration
	if log.entries > 0 {
		found += fmt.Sprintf("; oldest entry from %s, newest from %s (%v ago)", stamp(log.oldest), stamp(log.newest), now.Sub(log.newest).Round(time.Second))
		ahead = log.newest.Sub(now)
	}
	if ahead > skewFails {
		c.add("log", false, "set the clock right; if it is, the store's was wrong when it wrote, and its families live too long or too short", "%s: the newest entry is from the future", found)
		return
	}
	if cutoffs.MaxStaleness == 0 {
		c.add("log", true, "if the application runs, see that it uses this very store", "%s; no node has ever announced itself", found)
		return
	}
	c.add("log", true, "", "%s; a revocation is everywhere after %v", found, cutoffs.MaxStaleness)
}

// logSummary describes a log that was read from its floor to its head.
type logSummary struct {
	store.Batch    // the last one
	entries        int
	oldest, newest time.Time
}

func readLog(ctx context.Context, db store.Store) (s logSummary, err error) {
	var after store.Cursor
	for {
		if s.Batch, err = db.Since(ctx, after, store.MaxEntries, 0); err != nil {
			return s, err
		}
		switch {
		case s.Broken && s.Floor > after.Position: // that entry was dropped meanwhile
			s, after = logSummary{}, store.Cursor{}
			continue
		case s.Broken:
			return s, errors.New("the log went back while it was read")
		}
		for i := range s.Entries {
			e := &s.Entries[i]
			if s.entries++; s.entries == 1 {
				s.oldest = e.Time
			}
			s.newest, after = e.Time, e.Cursor()
		}
		if !s.More {
			return s, nil
		}
	}
}
