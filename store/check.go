package store

import (
	"bytes"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// Every engine calls the checks below first, so that all engines refuse the
// same arguments with the same text. Each error wraps ErrArgument.

func badArgument(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrArgument, fmt.Sprintf(format, args...))
}

func checkID(what string, id ID) error {
	if id.IsZero() {
		return badArgument("%s is the zero id", what)
	}
	return nil
}

// CheckSubject returns ErrArgument if subject is not a valid subject: 1 to
// MaxSubject bytes of UTF-8 without NUL. Some databases cannot store NUL in
// text.
func CheckSubject(subject string) error {
	if subject == "" {
		return badArgument("an empty subject")
	}
	return checkText("subject", subject, MaxSubject)
}

func checkText(what, text string, limit int) error {
	if len(text) > limit || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return badArgument("a %s of %d bytes: want at most %d, of UTF-8 without NUL", what, len(text), limit)
	}
	return nil
}

func checkPosition(what string, p Position) error {
	if p > MaxPosition {
		return badArgument("%s is position %d: want at most 53 bits", what, p)
	}
	return nil
}

func firstError(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Check returns ErrArgument if a field is outside the range of its type.
func (c *Creation) Check() error {
	err := firstError(
		checkID("Creation.ID", c.ID),
		CheckSubject(c.Subject),
		checkText("label", c.Label, MaxLabel),
		checkText("reason", c.Reason, MaxReason),
		checkText("actor", c.Actor, MaxSubject),
		checkText("text of methods", c.Methods, MaxText),
		checkText("level", c.Level, MaxText),
		checkText("actor of an entry", c.By, MaxReason),
		checkNames(c.Names),
		checkPosition("NotBefore", c.NotBefore),
		checkPosition("Above", c.Above),
	)
	if err != nil {
		return err
	}
	if c.Leeway < 0 || c.Known < 0 || c.Started.IsZero() && !c.Authenticated.IsZero() {
		return badArgument("a leeway of %v, an id known for %v: want at least 0, and Started with Authenticated", c.Leeway, c.Known)
	}
	if c.Renews != nil {
		err := firstError(
			checkID("Renews.ID", c.Renews.ID), checkPosition("Renews.Basis", c.Renews.Basis),
			checkText("text of methods", c.Renews.Methods, MaxText), checkText("level", c.Renews.Level, MaxText),
		)
		if err != nil {
			return err
		}
		if c.Renews.ID == c.ID {
			return badArgument("a family cannot renew itself")
		}
	}
	if c.Ends[0] == c.ID || c.Ends[1] == c.ID {
		return badArgument("a family cannot end itself")
	}
	if c.Renews == nil && (c.Idle < time.Millisecond || c.Absolute < time.Millisecond) {
		return badArgument("limits of %v and %v: want at least 1ms", c.Idle, c.Absolute)
	}
	if c.Limit < 0 || len(c.Value) > MaxValue {
		return badArgument("a limit of %d families, a value of %d bytes: want at least 0, and at most %d", c.Limit, len(c.Value), MaxValue)
	}
	return nil
}

// checkNames checks that names are in rising order, so that one set of names has
// one form.
func checkNames(names []Name) error {
	if len(names) > MaxNames {
		return badArgument("%d names: want at most %d", len(names), MaxNames)
	}
	for i, n := range names {
		if n.IsZero() || i > 0 && bytes.Compare(names[i-1][:], n[:]) >= 0 {
			return badArgument("names that are zero, repeated or not in rising order")
		}
	}
	return nil
}

// Check returns ErrArgument if a field is outside the range of its type.
func (b *Binding) Check() error {
	if b.Key.IsZero() {
		return badArgument("Binding.Key is zero")
	}
	return checkID("Binding.ID", b.ID)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (a *Advance) Check() error {
	return firstError(
		checkPresented("Advance.ID", a.ID, a.Generation, a.Copy, a.Age, a.Skew),
		checkPosition("Basis", a.Basis),
	)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (r *Reissue) Check() error {
	return firstError(
		checkPresented("Reissue.ID", r.ID, r.Generation, r.Copy, r.Age, r.Skew),
		checkPosition("Basis", r.Basis),
	)
}

// checkPresented checks what a refresh token names, and the durations that its family
// is judged by. Its generation has a successor.
func checkPresented(what string, id ID, generation uint32, copied uint16, age, skew time.Duration) error {
	switch {
	case generation == 0 || generation >= MaxGeneration:
		return badArgument("generation %d: want 1 to %d", generation, MaxGeneration-1)
	case copied > MaxCopy:
		return badArgument("copy %d: want at most %d", copied, MaxCopy)
	case age < 0 || skew < 0:
		return badArgument("an age of %v and a skew of %v: want at least 0", age, skew)
	}
	return checkID(what, id)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (c *Commit) Check() error {
	if len(c.Value) == 0 || len(c.Value) > MaxValue {
		return badArgument("a value of %d bytes: want 1 to %d", len(c.Value), MaxValue)
	}
	return firstError(
		checkID("Commit.ID", c.ID),
		checkPosition("Basis", c.Basis),
		checkPosition("Above", c.Above),
		checkText("actor", c.Actor, MaxReason),
	)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (r *Revocation) Check() error {
	n := len(r.Sessions) + len(r.Subjects)
	if r.Everyone {
		n++
	}
	if !r.Name.IsZero() {
		if n++; n > 1 || r.Except != nil {
			return badArgument("a revocation of a name and of something else")
		}
	}
	if r.Name.IsZero() && !r.ID.IsZero() || !r.Everyone && (!r.Ring.IsZero() || r.RingVersion != 0) {
		return badArgument("an entry id without a name, or a ring without everyone")
	}
	if n == 0 || n > MaxEntries {
		return badArgument("a revocation of %d entries: want 1 to %d", n, MaxEntries)
	}
	if r.Except != nil {
		if len(r.Subjects) != 1 || n != 1 {
			return badArgument("a rebirth goes with exactly one subject")
		}
		if err := firstError(checkID("Except.ID", r.Except.ID), checkPosition("Except.Basis", r.Except.Basis)); err != nil {
			return err
		}
	}
	for _, id := range r.Sessions {
		if err := checkID("a session", id); err != nil {
			return err
		}
	}
	for _, s := range r.Subjects {
		if err := CheckSubject(s); err != nil {
			return err
		}
	}
	return firstError(
		checkPosition("Above", r.Above),
		checkText("reason", r.Reason, MaxReason),
		checkText("actor", r.Actor, MaxReason),
	)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (r *Restoration) Check() error {
	if n := len(r.Entries); n == 0 || n > MaxEntries {
		return badArgument("a restoration of %d entries: want 1 to %d", n, MaxEntries)
	}
	if err := checkPosition("Above", r.Above); err != nil {
		return err
	}
	for i := range r.Entries {
		if err := r.Entries[i].checkLost(r.Above); err != nil {
			return err
		}
	}
	return nil
}

func (e *Entry) checkLost(above Position) error {
	if e.Position == 0 || e.Position > above {
		return badArgument("a lost entry at position %d: want 1 to Above, %d", e.Position, above)
	}
	var name error
	switch e.Kind {
	case KindEveryone:
	case KindSubject:
		name = CheckSubject(e.Subject)
	case KindSession:
		name = checkID("a session", e.Session)
	default:
		name = badArgument("a lost entry of %v: want everyone, subject or session", e.Kind)
	}
	return firstError(name, checkText("reason", e.Reason, MaxReason), checkText("actor", e.Actor, MaxReason))
}

// CheckAbove returns ErrAbove if above is more than MaxAhead beyond both the log's
// head and the engine's clock. Every engine calls it, or does the same in its own
// language, in the transaction that would append.
func CheckAbove(above, head Position, now time.Time) error {
	if above > max(head, Position(max(now.UnixMicro(), 0)))+MaxAhead {
		return fmt.Errorf("%w: %d, with the head at %d", ErrAbove, above, head)
	}
	return nil
}

// CheckSince returns ErrArgument if an argument of Since is out of range.
func CheckSince(after Cursor, limit int) error {
	if limit < 1 || limit > MaxEntries {
		return badArgument("a limit of %d entries: want 1 to %d", limit, MaxEntries)
	}
	if after.Position == 0 && !after.ID.IsZero() {
		return badArgument("a cursor with an id at position 0")
	}
	return checkPosition("after", after.Position)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (q *Query) Check() error {
	if q.Limit < 1 || q.Limit > MaxLooked {
		return badArgument("a limit of %d families: want 1 to %d", q.Limit, MaxLooked)
	}
	if err := checkPosition("After", q.After.Birth); err != nil || q.Subject == "" {
		return err
	}
	return CheckSubject(q.Subject)
}

// Check returns ErrArgument if a field is outside the range of its type.
func (a *Announcement) Check() error {
	if min(a.Access, a.Absolute, a.Leeway, a.MaxStaleness) < 0 {
		return badArgument("a duration below 0")
	}
	return firstError(checkText("realm", a.Realm, MaxText), checkText("instance", a.Instance, MaxText), checkText("text of settings", a.Settings, MaxSettings))
}
