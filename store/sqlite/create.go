package sqlite

import (
	"context"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// Create implements [store.Store].
func (s *Store) Create(ctx context.Context, c store.Creation) (store.Snapshot, error) {
	c.Value, c.Names = slices.Clone(c.Value), slices.Clone(c.Names)
	if c.Renews != nil {
		renews := *c.Renews
		c.Renews = &renews
	}
	return s.append(ctx, c.Check(), c.Above, func(t *tx, out *store.Snapshot) error { return t.create(&c, out) })
}

func (t *tx) create(c *store.Creation, out *store.Snapshot) error {
	existing, err := t.family(c.ID)
	if err != nil {
		return err
	}
	ended, err := t.ending(c.ID)
	if err != nil {
		return err
	}
	if existing.found || ended != 0 {
		return t.snapshot(existing, store.Taken, out)
	}
	f := &familyRow{found: true, Family: t.newFamily(c)}
	var ends []store.ID
	if c.Renews != nil {
		old, err := t.family(c.Renews.ID)
		if err != nil {
			return err
		}
		outcome, named, err := t.renewable(c, old)
		if err != nil {
			return err
		}
		if outcome != store.Written {
			err := t.snapshot(old, outcome, out)
			if named {
				out.State = store.Ended
			}
			return err
		}
		f.takeOver(old, c)
		ends = append(ends, old.ID)
	}
	if f.cutoff, err = t.cutoff(&f.Family); err != nil {
		return err
	}
	if early, err := t.early(c, f); err != nil || early {
		return t.refuse(err, store.Early, out)
	}
	if t.offClock(c, f) {
		return t.snapshot(nil, store.OffClock, out)
	}
	for _, id := range c.Ends {
		if id.IsZero() || slices.Contains(ends, id) {
			continue
		}
		replaceable, err := t.replaceable(id)
		if err != nil {
			return err
		}
		if replaceable {
			ends = append(ends, id)
		}
	}
	again := false
	if c.Limit > 0 {
		var excess []store.ID
		if excess, again, err = t.excess(c, ends); err != nil {
			return err
		}
		if len(excess) > 0 && !c.EndOldest {
			return t.snapshot(nil, store.Full, out)
		}
		if again {
			ends = nil // those that the family replaces end with the last call
		}
		ends = append(ends, excess...)
	}
	if err := t.checkRoom(c.Above, len(ends)); err != nil {
		return err
	}
	for _, id := range ends {
		if err := t.endFamily(id, c.Above, c.Reason, c.By); err != nil {
			return err
		}
	}
	if again {
		return t.snapshot(nil, store.Again, out)
	}
	if err := t.begins(c, f); err != nil {
		return err
	}
	err = t.snapshot(f, store.Written, out)
	if len(ends) > 0 {
		out.Entry = out.Head
	}
	return err
}

// newFamily returns the family that a creation asks for.
func (t *tx) newFamily(c *store.Creation) store.Family {
	started := stamp(c.Started, t.now)
	return store.Family{
		ID: c.ID, Subject: c.Subject, Label: c.Label, Native: c.Native, Names: c.Names, Actor: c.Actor, Methods: c.Methods, Level: c.Level,
		Key: c.Key, Counts: !c.Key.IsZero(), Seal: c.Seal, Generation: 1,
		Started: started, Authenticated: stamp(c.Authenticated, started), Issued: t.now,
		Idle: c.Idle.Truncate(time.Millisecond), Absolute: c.Absolute.Truncate(time.Millisecond),
	}
}

// stamp returns a time that the caller named, in whole milliseconds, or else the
// engine's.
func stamp(named, engine time.Time) time.Time {
	if named.IsZero() {
		return engine
	}
	return time.UnixMilli(named.UnixMilli())
}

// renewable returns Written if a creation may continue the family. named is true
// if a name of the family was revoked above its birth.
func (t *tx) renewable(c *store.Creation, old *familyRow) (outcome store.Outcome, named bool, err error) {
	r := c.Renews
	if !old.live(t.log.everyone, t.now) || old.Subject != c.Subject || old.Native != c.Native || !old.provenBy(r.Key) {
		return store.Unwritten, false, nil
	}
	cutoff, err := t.names(old.Names)
	switch {
	case err != nil || int64(old.Birth) < cutoff:
		return store.Unwritten, true, err
	case old.Seal != r.Seal:
		return store.Changed, false, nil
	case r.Basis < old.LastCommit:
		return store.Behind, false, nil
	}
	return store.Written, false, nil
}

// takeOver makes f the continuation of old.
func (f *familyRow) takeOver(old *familyRow, c *store.Creation) {
	f.Label, f.Names, f.Actor, f.Methods, f.Level = old.Label, old.Names, old.Actor, old.Methods, old.Level
	f.Key, f.Counts, f.Started, f.Authenticated, f.Idle, f.Absolute = old.Key, old.Counts, old.Started, old.Authenticated, old.Idle, old.Absolute
	if r := c.Renews; !r.Authenticated.IsZero() {
		f.Authenticated, f.Methods, f.Level = stamp(r.Authenticated, time.Time{}), r.Methods, r.Level
	}
	if !old.Key.IsZero() {
		if f.First = old.First; f.First.IsZero() {
			f.First = old.ID
		}
	}
	if old.LastCommit != 0 {
		f.Value = c.Value
	}
}

// cutoff returns the cutoff of a family that is not in the file yet.
func (t *tx) cutoff(f *store.Family) (int64, error) {
	subject, err := t.subject(f.Subject)
	if err != nil || f.Actor == "" {
		return subject, err
	}
	actor, err := t.subject(f.Actor)
	return max(subject, actor), err
}

// early reports whether something was revoked after the caller looked.
func (t *tx) early(c *store.Creation, f *familyRow) (bool, error) {
	if c.NotBefore == 0 {
		return false, nil
	}
	names, err := t.names(f.Names)
	return int64(c.NotBefore) < max(f.cutoff, t.log.everyone, names, t.log.floor), err
}

// refuse fills in a snapshot of no family, unless there was an error.
func (t *tx) refuse(err error, outcome store.Outcome, out *store.Snapshot) error {
	if err != nil {
		return err
	}
	return t.snapshot(nil, outcome, out)
}

// offClock reports whether a time that the caller has sealed is off the clock.
func (t *tx) offClock(c *store.Creation, f *familyRow) bool {
	far := func(named time.Time) bool { return named.Sub(t.now).Abs() > c.Leeway }
	if c.Renews != nil {
		return !c.Renews.Authenticated.IsZero() && far(c.Renews.Authenticated)
	}
	return !c.Started.IsZero() && (far(c.Started) || f.Authenticated.After(t.now.Add(c.Leeway)))
}

// replaceable reports whether a login in the place of a family appends the entry of
// its end.
func (t *tx) replaceable(id store.ID) (bool, error) {
	f, err := t.family(id)
	if err != nil {
		return false, err
	}
	switch f.state(t.log.everyone) {
	case store.Alive:
		return true, nil
	case store.Absent:
		ending, err := t.ending(id)
		return ending == 0, err
	}
	return false, nil
}

// begins writes a new family, whose birth is the head.
func (t *tx) begins(c *store.Creation, f *familyRow) error {
	f.Birth, f.Position = store.Position(t.log.head), store.Position(t.log.head)
	if f.Value != nil {
		f.LastCommit = f.Birth
		if err := t.exec("INSERT INTO committed VALUES (?, ?)", f.ID[:], f.Value); err != nil {
			return err
		}
	}
	if !f.First.IsZero() {
		// The row stays known until its successor's deadline at least.
		if err := t.exec("UPDATE families SET successor = ?, known = max(known, ?) WHERE id = ?", f.ID[:], f.Deadline().UnixMilli(), f.First[:]); err != nil {
			return err
		}
	}
	known := t.now
	if c.Renews == nil {
		known = known.Add(c.Known)
	}
	return t.insert(f, known)
}
