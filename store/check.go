package store

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"
)

// The checks below are what every engine calls first, so that all refuse the
// same arguments with the same words. Each error matches ErrArgument.

func bad(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrArgument, fmt.Sprintf(format, args...))
}

func checkID(what string, id ID) error {
	if id.IsZero() {
		return bad("%s is the zero id", what)
	}
	return nil
}

// CheckSubject reports what is no subject: it is text, and databases hold text
// without NUL alone.
func CheckSubject(subject string) error {
	if subject == "" {
		return bad("an empty subject")
	}
	return checkText("subject", subject, MaxSubject)
}

func checkText(what, text string, most int) error {
	if len(text) > most || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
		return bad("a %s of %d bytes: want at most %d, of UTF-8 without NUL", what, len(text), most)
	}
	return nil
}

func checkPosition(what string, p Position) error {
	if p > MaxPosition {
		return bad("%s is position %d: want at most 53 bits", what, p)
	}
	return nil
}

func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// Check reports what the type forbids.
func (c *Creation) Check() error {
	err := first(
		checkID("Creation.ID", c.ID),
		CheckSubject(c.Subject),
		checkText("label", c.Label, MaxLabel),
		checkText("reason", c.Reason, MaxReason),
		checkText("actor", c.Actor, MaxReason),
		checkPosition("NotBefore", c.NotBefore),
		checkPosition("Above", c.Above),
	)
	if err != nil {
		return err
	}
	if c.Renews != nil {
		if err := first(checkID("Renews.ID", c.Renews.ID), checkPosition("Renews.Basis", c.Renews.Basis)); err != nil {
			return err
		}
		if c.Renews.ID == c.ID {
			return bad("a family cannot renew itself")
		}
	}
	if c.Ends[0] == c.ID || c.Ends[1] == c.ID {
		return bad("a family cannot end itself")
	}
	if c.Renews == nil && (c.Idle < time.Millisecond || c.Absolute < time.Millisecond) {
		return bad("limits of %v and %v: want at least 1ms", c.Idle, c.Absolute)
	}
	if c.Limit < 0 || len(c.Value) > MaxValue {
		return bad("a limit of %d families, a value of %d bytes: want at least 0, and at most %d", c.Limit, len(c.Value), MaxValue)
	}
	return nil
}

// Check reports what the type forbids.
func (a *Advance) Check() error {
	if a.Generation == 0 || a.Generation == 1<<32-1 {
		return bad("generation %d: want 1 to 2^32-2", a.Generation)
	}
	return first(checkID("Advance.ID", a.ID), checkPosition("Basis", a.Basis))
}

// Check reports what the type forbids.
func (c *Commit) Check() error {
	if len(c.Value) == 0 || len(c.Value) > MaxValue {
		return bad("a value of %d bytes: want 1 to %d", len(c.Value), MaxValue)
	}
	return first(
		checkID("Commit.ID", c.ID),
		checkPosition("Basis", c.Basis),
		checkPosition("Above", c.Above),
		checkText("actor", c.Actor, MaxReason),
	)
}

// Check reports what the type forbids.
func (r *Revocation) Check() error {
	n := len(r.Sessions) + len(r.Subjects)
	if r.Everyone {
		n++
	}
	if n == 0 || n > MaxEntries {
		return bad("a revocation of %d entries: want 1 to %d", n, MaxEntries)
	}
	if r.Except != nil {
		if len(r.Subjects) != 1 || n != 1 {
			return bad("a rebirth goes with exactly one subject")
		}
		if err := first(checkID("Except.ID", r.Except.ID), checkPosition("Except.Basis", r.Except.Basis)); err != nil {
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
	return first(
		checkPosition("Above", r.Above),
		checkText("reason", r.Reason, MaxReason),
		checkText("actor", r.Actor, MaxReason),
	)
}

// Check reports what the type forbids.
func (r *Restoration) Check() error {
	if n := len(r.Entries); n == 0 || n > MaxEntries {
		return bad("a restoration of %d entries: want 1 to %d", n, MaxEntries)
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
		return bad("a lost entry at position %d: want 1 to Above, %d", e.Position, above)
	}
	var name error
	switch e.Kind {
	case KindEveryone:
	case KindSubject:
		name = CheckSubject(e.Subject)
	case KindSession:
		name = checkID("a session", e.Session)
	default:
		name = bad("a lost entry of %v: want everyone, subject or session", e.Kind)
	}
	return first(name, checkText("reason", e.Reason, MaxReason), checkText("actor", e.Actor, MaxReason))
}

// CheckSince reports what Since forbids.
func CheckSince(after Position, limit int) error {
	if limit < 1 || limit > MaxEntries {
		return bad("a limit of %d entries: want 1 to %d", limit, MaxEntries)
	}
	return checkPosition("after", after)
}

// CheckFamilies reports what Families forbids.
func CheckFamilies(subject string, limit int) error {
	if limit < 1 || limit > MaxListed {
		return bad("a limit of %d families: want 1 to %d", limit, MaxListed)
	}
	return CheckSubject(subject)
}

// CheckForgive reports what Forgive forbids.
func CheckForgive(id ID, generation uint32) error {
	if generation == 0 {
		return bad("generation 0: want at least 1")
	}
	return checkID("the family", id)
}
