package revocation

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/waferkit/wafer/store"
)

// accept handles a result before any caller gets it. Its cutoff of everyone and
// its floor count for all sessions from then on.
func (c *Cache) accept(ctx context.Context, q query, res result) error {
	if err := c.prepare(ctx, res); err != nil {
		return err
	}
	c.held.Learn(res.Head)
	c.held.RaiseFloor(res.Floor)
	if res.Everyone > c.held.Cutoffs(store.ID{}, "").Everyone {
		c.Apply(store.Entry{Kind: store.KindEveryone, Position: res.Everyone})
	}
	keep, rollback := c.reconcile(res)
	if rollback != nil {
		c.config.Applied(nil)
		c.config.Observe(*rollback)
	}
	if keep {
		c.results.put(q, res)
	}
	return nil
}

// prepare calls BeforeEveryone if a result has a new cutoff of everyone, or if
// an entry that was dropped since the last result may have been one. It holds
// no lock meanwhile, since BeforeEveryone may read a file.
func (c *Cache) prepare(ctx context.Context, res result) error {
	c.mu.Lock()
	due := res.Everyone > c.prepared || res.Floor > c.held.Head()
	c.mu.Unlock()
	if !due {
		return nil
	}
	if err := c.config.BeforeEveryone(ctx); err != nil {
		return fmt.Errorf("revocation: before everyone is revoked: %w", err)
	}
	c.mu.Lock()
	c.prepared = max(c.prepared, res.Everyone)
	c.mu.Unlock()
	return nil
}

// reconcile compares a result with the earlier ones. It reports whether to
// cache the result, and returns the event to report if the log went back.
//
// Results overtake each other. A result with an older log proves nothing unless
// its query was sent after the newer result had arrived.
func (c *Cache) reconcile(res result) (keep bool, rollback *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch first := c.log.IsZero(); {
	case res.seq <= c.voidUpTo.Load():
		return false, nil
	case first || res.Log == c.log && res.Head > c.held.Head():
		c.reach(res)
	case res.Log == c.log && res.Head == c.held.Head():
	case res.seq > c.provenUpTo:
		rollback = c.rolledBack(res)
	case res.Log != c.log:
		return false, nil // it is not known yet which of the two logs is the older one
	}
	c.confirmed.confirm(res.sent, c.config.Now())
	return rollback == nil, rollback
}

// reach records that queries sent from now on find this log, with a head no
// lower.
func (c *Cache) reach(res result) {
	c.log, c.provenUpTo = res.Log, c.querier.lastSeq.Load()
	c.held.SetHead(res.Head)
}

// rolledBack voids every result, since they are from a log that is gone. The
// cutoffs that this node holds remain in force, and those that the log lacks
// apply to every position: see storeLost.
func (c *Cache) rolledBack(res result) *Event {
	err := fmt.Errorf("%w: its head is %d after %d", ErrRollback, res.Head, c.held.Head())
	if res.Log != c.log {
		err = fmt.Errorf("%w: it is another log, %v after %v", ErrRollback, res.Log, c.log)
	}
	c.reach(res)
	c.voidAll()
	return &Event{State: Unknown, Head: res.Head, Floor: c.held.Floor(), Err: err}
}

// writeBack restores to the store what it has lost of this node's cutoffs for
// one session.
func (c *Cache) writeBack(ctx context.Context, q query, local, res store.Cutoffs) error {
	var entries []store.Entry
	add := func(kind store.Kind, held store.Position, lost bool) {
		if lost {
			entries = append(entries, store.Entry{Kind: kind, Session: q.session, Subject: q.subject, Position: held, Reason: reasonRestored})
		}
	}
	add(store.KindEveryone, local.Everyone, cutoffLost(local.Everyone, 0, local, res))
	add(store.KindSubject, local.Subject, cutoffLost(local.Subject, res.Subject, local, res))
	add(store.KindSession, local.Ending, endingLost(local, res))
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Timeout)
	defer cancel()
	// A lost entry is not above the result's head, so no engine refuses this Above.
	highest := slices.MaxFunc(entries, func(a, b store.Entry) int { return cmp.Compare(a.Position, b.Position) })
	snap, err := c.config.Restore(ctx, store.Restoration{Entries: entries, Above: highest.Position})
	e := Event{State: c.State(c.config.Now()), Head: c.Head(), Floor: c.Floor(), Lost: len(entries), Err: err}
	if err == nil {
		c.held.Learn(snap.Head)
		e.Lost, e.Restored = 0, len(entries)
	}
	c.config.Observe(e)
	return err
}
