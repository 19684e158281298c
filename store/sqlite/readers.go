package sqlite

import (
	"database/sql"
	"errors"
)

// readers holds the connections that read, in pools: a call that waits for one
// waits only for calls of its kind. Listing one account's families as often as
// possible keeps neither the log's readers nor a refresh waiting.
type readers struct {
	log      *sql.DB // for what a node needs to stay fresh and to begin a login
	families *sql.DB // for single families
	lists    *sql.DB // for lists of them
}

// The watch keeps one connection of the log's pool while callers wait for entries.
const (
	logReaders    = 4
	familyReaders = 4
	listReaders   = 4
)

func newReaders(path string, o Options) (r readers, err error) {
	for _, pool := range []struct {
		db   **sql.DB
		most int
	}{{&r.log, logReaders}, {&r.families, familyReaders}, {&r.lists, listReaders}} {
		if *pool.db, err = connect(path, o, pool.most); err != nil {
			return readers{}, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

func (r *readers) Close() error {
	var errs []error
	for _, db := range []*sql.DB{r.log, r.families, r.lists} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}
