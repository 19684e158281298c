package revocation

import (
	"context"
	"fmt"

	"github.com/waferkit/wafer/store"
)

// take takes an answer in before anybody uses it. What it says of everyone and
// of the floor counts for all sessions from then on.
func (c *Cache) take(ctx context.Context, q question, said answer) error {
	if err := c.prepare(ctx, said); err != nil {
		return err
	}
	c.held.Learn(said.Head)
	c.held.RaiseFloor(said.Floor)
	if said.Everyone > c.held.Cutoffs(store.ID{}, "").Everyone {
		c.Apply(store.Entry{Kind: store.KindEveryone, Position: said.Everyone})
	}
	kept, back := c.place(said)
	if back != nil {
		c.config.Applied(nil)
		c.config.Observe(*back)
	}
	if kept {
		c.answers.put(q, said)
	}
	return nil
}

// prepare calls BeforeEveryone where an answer revokes everyone anew, or what
// was dropped since the last answer may have done so. No lock is held: it may
// read a file.
func (c *Cache) prepare(ctx context.Context, said answer) error {
	c.mu.Lock()
	due := said.Everyone > c.prepared || said.Floor > c.held.Head()
	c.mu.Unlock()
	if !due {
		return nil
	}
	if err := c.config.BeforeEveryone(ctx); err != nil {
		return fmt.Errorf("revocation: before everyone is revoked: %w", err)
	}
	c.mu.Lock()
	c.prepared = max(c.prepared, said.Everyone)
	c.mu.Unlock()
	return nil
}

// place puts an answer among the others. It reports whether to keep it, and
// what there is to tell where the log went back.
//
// Answers overtake each other: that one knows less than another shows nothing,
// unless its question was sent after the other had arrived.
func (c *Cache) place(said answer) (keep bool, back *Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch first := c.log.IsZero(); {
	case said.turn <= c.void.Load():
		return false, nil
	case first || said.Log == c.log && said.Head > c.held.Head():
		c.reach(said)
	case said.Log == c.log && said.Head == c.held.Head():
	case said.turn > c.proven:
		back = c.rolledBack(said)
	case said.Log != c.log:
		return false, nil // which of the two logs is the older one is not known yet
	}
	c.confirmed.confirm(said.sent, c.config.Now())
	return back == nil, back
}

// reach says that questions sent from now on find this log, and its head no
// lower.
func (c *Cache) reach(said answer) {
	c.log, c.proven = said.Log, c.asker.turns.Load()
	c.held.SetHead(said.Head)
}

// rolledBack drops every answer: they are of a log that is gone. What this node
// holds goes on counting, and what of it the log lacks counts above every
// position: see lostOf.
func (c *Cache) rolledBack(said answer) *Event {
	err := fmt.Errorf("%w: its head is %d after %d", ErrRollback, said.Head, c.held.Head())
	if said.Log != c.log {
		err = fmt.Errorf("%w: it is another log, %v after %v", ErrRollback, said.Log, c.log)
	}
	c.reach(said)
	c.forget()
	return &Event{State: Unknown, Head: said.Head, Floor: c.held.Floor(), Err: err}
}

// writeBack gives the store what it has lost of what this node holds about a
// session.
func (c *Cache) writeBack(ctx context.Context, q question, own, said store.Cutoffs) error {
	var entries []store.Entry
	add := func(kind store.Kind, held, has store.Position) {
		if lostOne(held, has, own, said) {
			entries = append(entries, store.Entry{Kind: kind, Session: q.session, Subject: q.subject, Position: held, Reason: reasonRestored})
		}
	}
	add(store.KindEveryone, own.Everyone, 0)
	add(store.KindSubject, own.Subject, said.Subject)
	add(store.KindSession, own.Ending, said.Ending)
	if len(entries) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.config.Timeout)
	defer cancel()
	snap, err := c.config.Restore(ctx, store.Restoration{Entries: entries, Above: c.held.Highest()})
	e := Event{State: c.State(c.config.Now()), Head: c.Head(), Floor: c.Floor(), Lost: len(entries), Err: err}
	if err == nil {
		c.held.Learn(snap.Head)
		e.Lost, e.Restored = 0, len(entries)
	}
	c.config.Observe(e)
	return err
}
