package sqlite

import (
	"bytes"
	"context"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// valueQuery selects the committed value of a family.
const valueQuery = "SELECT value FROM committed WHERE id = ?"

// Family implements [store.Store].
func (s *Store) Family(ctx context.Context, id store.ID) (out store.Snapshot, err error) {
	err = s.read(ctx, s.readers.families, func(r *snap) error {
		f := new(familyRow)
		if err := zeroIfNone(f.scan(r.row(familyQuery, id[:]), &f.cutoff)); err != nil {
			return err
		}
		out = snapshot(&r.log, f, store.Unwritten, r.now)
		if f.LastCommit == 0 {
			return nil
		}
		return r.row(valueQuery, id[:]).Scan(&out.Family.Value)
	})
	return out, err
}

// listQuery walks the families that have not ended, the one born last first, from
// a birth upwards and after a place in the list.
const (
	listFields        = "SELECT " + familyColumns + " FROM families WHERE ended = 0 AND birth >= ?1 AND (birth, started, id) < (?2, ?3, ?4)"
	listEnd           = " ORDER BY birth DESC, started DESC, id DESC LIMIT ?5"
	listQuery         = listFields + " AND subject = ?6" + listEnd
	everyoneListQuery = listFields + listEnd
)

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, q store.Query) (page store.Page, err error) {
	if err := q.Check(); err != nil {
		return store.Page{}, err
	}
	err = s.read(ctx, s.readers.lists, func(r *snap) error {
		page, err = r.list(&q)
		return err
	})
	return page, err
}

func (r *snap) list(q *store.Query) (store.Page, error) {
	from := q.After
	if from == (store.PageCursor{}) {
		from.Birth = store.MaxPosition + 1
	}
	// One row more than the call may look at says whether there are more.
	query, args := everyoneListQuery, []any{r.log.everyone, int64(from.Birth), from.Started, from.ID[:], store.MaxLooked + 1}
	if q.Subject != "" {
		cutoff, err := r.number(subjectCutoffQuery, q.Subject)
		if err != nil {
			return store.Page{}, err
		}
		query, args = listQuery, append(args, q.Subject)
		args[0] = max(cutoff, r.log.everyone)
	}
	rows, err := r.query(query, args...)
	if err != nil {
		return store.Page{}, err
	}
	defer rows.Close()
	page := store.Page{Now: r.now}
	var last store.PageCursor
	for looked := 0; rows.Next(); looked++ {
		if looked == store.MaxLooked || len(page.Families) == q.Limit {
			page.Next = last
			break
		}
		f := new(familyRow)
		if err := f.scan(rows, &f.cutoff); err != nil {
			return store.Page{}, err
		}
		if last = (store.PageCursor{Birth: f.Birth, Started: f.Started.UnixMilli(), ID: f.ID}); f.live(r.log.everyone, r.now) {
			page.Families = append(page.Families, f.Family)
		}
	}
	return page, rows.Err()
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if err := store.CheckSince(after, limit); err != nil {
		return store.Batch{}, err
	}
	return s.notifier.Since(ctx, wait, func() (store.Batch, error) { return s.batch(ctx, after, limit) })
}

func (s *Store) batch(ctx context.Context, after store.Cursor, limit int) (b store.Batch, err error) {
	err = s.read(ctx, s.readers.log, func(r *snap) error {
		b = store.Batch{Log: r.log.id, Head: store.Position(r.log.head), Floor: store.Position(r.log.floor), Now: r.now}
		var head, floor, at []byte
		if err := r.row(cursorQuery, int64(after.Position)).Scan(&head, &floor, &at); err != nil {
			return err
		}
		copy(b.HeadID[:], head)
		if at == nil {
			at = floor // the last entry dropped
			b.Broken = after.Position != 0 && after.Position != b.Floor
		}
		if b.Broken = b.Broken || after.Position != 0 && !bytes.Equal(at, after.ID[:]); b.Broken || int64(after.Position) >= r.log.head {
			return nil
		}
		rows, err := r.query(batchQuery, int64(after.Position), limit+1)
		if err != nil {
			return err
		}
		defer rows.Close()
		b.Entries = make([]store.Entry, 0, min(limit, 64))
		for rows.Next() {
			if len(b.Entries) == limit {
				b.More = true
				break
			}
			var e store.Entry
			if err := scanEntry(rows, &e); err != nil {
				return err
			}
			b.Entries = append(b.Entries, e)
		}
		return rows.Err()
	})
	return b, err
}

// cursorQuery selects the ids of the entries at the head, at the floor and at a
// cursor.
const cursorQuery = "SELECT head_id, floor_id, (SELECT id FROM entries WHERE position = ?) FROM log WHERE one = 1"

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (c store.Cutoffs, err error) {
	err = s.read(ctx, s.readers.log, func(r *snap) error {
		c = store.Cutoffs{
			Everyone: store.Position(r.log.everyone), Floor: store.Position(r.log.floor),
			Head: store.Position(r.log.head), Log: r.log.id, Now: r.now,
			MaxStaleness: time.Duration(r.log.staleness) * time.Millisecond,
		}
		ending, err := r.number(sessionQuery, session[:], store.KindSession)
		if err != nil {
			return err
		}
		superseding, err := r.number(sessionQuery, session[:], store.KindSuperseding)
		if err != nil {
			return err
		}
		cutoff, err := r.number(subjectCutoffQuery, subject)
		c.Ending, c.Superseding, c.Subject = store.Position(ending), store.Position(superseding), store.Position(cutoff)
		return err
	})
	return c, err
}

const keysQuery = "SELECT keys_version, keys FROM log WHERE one = 1"

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (version uint64, document []byte, err error) {
	err = wrap(s.readers.log.stmt[keysQuery].QueryRowContext(ctx).Scan(&version, &document))
	return version, document, err
}

// SwapKeys implements [store.Store].
func (s *Store) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	swapped := new(bool)
	document = slices.Clone(document) // see write
	err := s.writer.submit(ctx, func(t *tx) error {
		result, err := t.c.exec(t.ctx, "UPDATE log SET keys_version = ?2 + 1, keys = ?1 WHERE one = 1 AND keys_version IN (0, ?2)", document, int64(version))
		if err != nil {
			return err
		}
		n, err := result.RowsAffected()
		*swapped = n == 1
		return err
	})
	if err != nil {
		return false, err
	}
	return *swapped, nil
}
