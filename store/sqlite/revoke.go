package sqlite

import (
	"context"
	"slices"

	"github.com/waferkit/wafer/store"
)

// Revoke implements [store.Store].
func (s *Store) Revoke(ctx context.Context, r store.Revocation) (store.Snapshot, error) {
	r.Sessions, r.Subjects = slices.Clone(r.Sessions), slices.Clone(r.Subjects)
	if r.Except != nil {
		except := *r.Except
		r.Except = &except
	}
	return s.append(ctx, r.Check(), r.Above, func(t *tx, out *store.Snapshot) error {
		if !r.Name.IsZero() {
			return t.revokeName(&r, out)
		}
		return t.revoke(&r, out)
	})
}

// revoked is what a revocation has done so far.
type revoked struct {
	outcome store.Outcome
	entry   int64
	ended   int
}

func (t *tx) revoke(r *store.Revocation, out *store.Snapshot) error {
	survivor := new(familyRow)
	if r.Except != nil {
		var err error
		if survivor, err = t.family(r.Except.ID); err != nil {
			return err
		}
	}
	alive := survivor.live(t.log.everyone, t.now) && survivor.Subject == r.Subjects[0]
	names, err := t.names(survivor.Names)
	if err != nil {
		return err
	}
	named := alive && int64(survivor.Birth) < names
	if alive && !named && r.Except.Basis < survivor.LastCommit {
		return t.snapshot(survivor, store.Behind, out)
	}
	entries := len(r.Sessions) + len(r.Subjects)
	if r.Everyone {
		entries++
	}
	if err := t.checkRoom(r.Above, entries); err != nil {
		return err
	}
	done := new(revoked)
	if err := t.revokeSessions(r, done); err != nil {
		return err
	}
	if err := t.revokeMany(r, done); err != nil {
		return err
	}
	if alive && !named && survivor.provenBy(r.Except.Key) {
		if err := t.rebear(survivor, done.entry); err != nil {
			return err
		}
		done.ended--
	}
	if survivor.found {
		// Read it again: it is reborn or cut off now.
		var err error
		if survivor, err = t.family(r.Except.ID); err != nil {
			return err
		}
	}
	err = t.revokedSnapshot(survivor, done, out)
	if named {
		out.State = store.Ended
	}
	return err
}

func (t *tx) revokedSnapshot(f *familyRow, done *revoked, out *store.Snapshot) error {
	err := t.snapshot(f, done.outcome, out)
	out.Entry, out.Ended = store.Position(done.entry), max(done.ended, 0)
	return err
}

func (t *tx) revokeSessions(r *store.Revocation, done *revoked) error {
	for _, id := range r.Sessions {
		ended, lived, err := t.endRow(id)
		if err != nil {
			return err
		}
		if lived {
			done.ended++
		}
		if !ended {
			// The family is absent or has ended. Its entry may be there already.
			entry, err := t.ending(id)
			if err != nil {
				return err
			}
			rows, err := t.number("SELECT count(*) FROM families WHERE id = ?", id[:])
			if err != nil {
				return err
			}
			if entry != 0 || rows != 0 {
				done.entry = max(done.entry, entry, t.log.floor) // a dropped entry is covered by the floor
				continue
			}
		}
		if err := t.appendRevoked(r, store.Entry{Kind: store.KindSession, Session: id}, done); err != nil {
			return err
		}
	}
	return nil
}

// revokeMany appends the entries of subjects and of everyone.
func (t *tx) revokeMany(r *store.Revocation, done *revoked) error {
	looked := int64(store.MaxLooked)
	for _, subject := range r.Subjects {
		living, err := t.count(subject, &looked)
		if err != nil {
			return err
		}
		done.ended += living
		if err := t.appendRevoked(r, store.Entry{Kind: store.KindSubject, Subject: subject}, done); err != nil {
			return err
		}
	}
	if r.Everyone {
		return t.appendRevoked(r, store.Entry{Kind: store.KindEveryone, Ring: r.Ring, RingVersion: r.RingVersion}, done)
	}
	return nil
}

func (t *tx) appendRevoked(r *store.Revocation, e store.Entry, done *revoked) error {
	e.Reason, e.Actor = r.Reason, r.Actor
	err := t.append(e, r.Above)
	done.outcome, done.entry = store.Written, t.log.head
	return err
}

// countQuery counts the rows of subjectQuery, up to a number, and those that live.
const countQuery = "SELECT count(*), ifnull(sum(living), 0) FROM (SELECT " + within + ` AS living FROM families
	WHERE subject = ?3 AND ended = 0 AND birth >= ?4 ORDER BY birth DESC LIMIT ?5)`

// countActorQuery does the same for the families in which a subject acts for
// another.
const countActorQuery = "SELECT count(*), ifnull(sum(living), 0) FROM (SELECT subject <> ?3 AND " + within + ` AS living FROM families
	WHERE actor = ?3 AND actor <> '' AND ended = 0 AND birth >= ?4 ORDER BY birth DESC LIMIT ?5)`

// count returns the number of the living families that a cutoff of the subject
// would cut off, its own and those in which it acts, as far as it may look at rows.
func (t *tx) count(subject string, looked *int64) (living int, err error) {
	cutoff, err := t.subject(subject)
	if err != nil {
		return 0, err
	}
	for _, query := range []string{countQuery, countActorQuery} {
		row, err := t.row(query, t.now.UnixMilli(), t.log.everyone, subject, max(cutoff, t.log.everyone), *looked)
		if err != nil {
			return 0, err
		}
		var rows, alive int64
		if err := row.Scan(&rows, &alive); err != nil {
			return 0, err
		}
		*looked -= rows
		living += int(alive)
	}
	return living, nil
}

// rebear makes a position the birth of a family.
func (t *tx) rebear(f *familyRow, at int64) error {
	if err := t.unlistNames(&listed{f.ID, int64(f.Birth), string(joinNames(f.Names))}); err != nil {
		return err
	}
	if err := t.exec("UPDATE families SET birth = ?1, position = ?1 WHERE id = ?2", at, f.ID[:]); err != nil {
		return err
	}
	f.Birth = store.Position(at)
	return t.listNames(f)
}
