package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"time"
)

// readers holds the connections that read, in pools: a call that waits for one
// waits only for calls of its kind. Listing one account's families as often as
// possible keeps neither the log's readers nor a refresh waiting.
type readers struct {
	log      *pool // for what a node needs to stay fresh and to begin a login
	families *pool // for single families
	lists    *pool // for lists of them
}

// The watch keeps one connection of the log's pool while callers wait for entries.
const (
	logReaders    = 4
	familyReaders = 4
	listReaders   = 4
)

func newReaders(ctx context.Context, path string, o Options) (r readers, err error) {
	if r.log, err = newPool(ctx, path, o, logReaders, cursorQuery, batchQuery, sessionQuery, subjectCutoffQuery, keysQuery); err != nil {
		return readers{}, err
	}
	if r.families, err = newPool(ctx, path, o, familyReaders, familyQuery, valueQuery); err != nil {
		return readers{}, errors.Join(err, r.log.Close())
	}
	if r.lists, err = newPool(ctx, path, o, listReaders, subjectCutoffQuery, listQuery, everyoneListQuery); err != nil {
		return readers{}, errors.Join(err, r.log.Close(), r.families.Close())
	}
	return r, nil
}

func (r *readers) Close() error {
	return errors.Join(r.log.Close(), r.families.Close(), r.lists.Close())
}

// pool is a number of connections that read, with their statements by their text.
type pool struct {
	*sql.DB
	stmt map[string]*sql.Stmt
}

func newPool(ctx context.Context, path string, o Options, most int, queries ...string) (*pool, error) {
	db, err := connect(path, o, most)
	if err != nil {
		return nil, err
	}
	p := &pool{db, make(map[string]*sql.Stmt)}
	for _, text := range append(queries, logQuery) {
		if p.stmt[text], err = db.PrepareContext(ctx, text); err != nil {
			delete(p.stmt, text)
			return nil, errors.Join(err, p.Close())
		}
	}
	return p, nil
}

func (p *pool) Close() error {
	var errs []error
	for _, s := range p.stmt {
		errs = append(errs, s.Close())
	}
	return errors.Join(append(errs, p.DB.Close())...)
}

// snap is a read transaction: it sees the file at one moment.
type snap struct {
	ctx  context.Context
	tx   *sql.Tx
	stmt map[string]*sql.Stmt
	log  logRow
	now  time.Time // in whole milliseconds
}

// read runs f in a read transaction of a pool.
func (s *Store) read(ctx context.Context, from *pool, f func(r *snap) error) error {
	tx, err := from.BeginTx(ctx, &sql.TxOptions{ReadOnly: true})
	if err != nil {
		return wrap(err)
	}
	defer tx.Rollback()
	r := &snap{ctx: ctx, tx: tx, stmt: from.stmt}
	if err := r.log.scan(r.row(logQuery)); err != nil {
		return wrap(err)
	}
	r.now = time.UnixMilli(s.now().UnixMilli())
	return wrap(f(r))
}

func (r *snap) row(query string, args ...any) *sql.Row {
	return r.tx.StmtContext(r.ctx, r.stmt[query]).QueryRowContext(r.ctx, args...)
}

func (r *snap) query(query string, args ...any) (*sql.Rows, error) {
	return r.tx.StmtContext(r.ctx, r.stmt[query]).QueryContext(r.ctx, args...)
}

// number returns the number that a query selects, or 0 if there is no row.
func (r *snap) number(query string, args ...any) (n int64, err error) {
	err = zeroIfNone(r.row(query, args...).Scan(&n))
	return n, err
}
