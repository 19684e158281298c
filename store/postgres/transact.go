package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// call is one statement of a transaction and what reads its rows. read may be
// called again after a rollback.
type call struct {
	sql  string
	args []any
	read func(rows pgx.Rows) error
}

// begin does not go by the server's defaults: in another isolation a write that
// waited for a lock would not see what it waited for.
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

// attempts is how often a transaction is tried that the server undid whole
// because of another.
const attempts = 5

// transact runs the calls in one transaction, which is sent whole: nothing that
// happens to this process in the middle keeps it open. It returns when it is
// durable. rolledBack says of an error that nothing was done.
func (s *Store) transact(ctx context.Context, calls []call) (rolledBack bool, err error) {
	for try := 1; ; try++ {
		rolledBack, err = s.transactOnce(ctx, calls)
		if err == nil || !rolledBack || !another(err) || try == attempts {
			return rolledBack, err
		}
		select {
		case <-ctx.Done():
			return true, err
		case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond) << try))):
		}
	}
}

// another reports whether a transaction was undone because of another, so that
// the same may well succeed: serialization_failure, deadlock_detected, and the
// feature_not_supported that a statement prepared before a migration gets.
func another(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01" || e.Code == "0A000")
}

func (s *Store) transactOnce(ctx context.Context, calls []call) (rolledBack bool, err error) {
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return true, err
	}
	defer conn.Release() // closes it if it is still in a transaction
	batch := new(pgx.Batch)
	batch.Queue(begin)
	for _, c := range calls {
		batch.Queue(c.sql, c.args...)
	}
	batch.Queue("COMMIT")
	results := conn.SendBatch(ctx, batch)
	err = readAll(results, calls)
	err = errors.Join(err, results.Close())
	if err == nil {
		return false, nil
	}
	if undone(err) {
		// The rest was skipped, and the transaction is open.
		_, _ = conn.Exec(ctx, "ROLLBACK")
		return true, err
	}
	return false, err
}

func readAll(results pgx.BatchResults, calls []call) error {
	if _, err := results.Exec(); err != nil {
		return err
	}
	for _, c := range calls {
		rows, err := results.Query()
		if err != nil {
			return err
		}
		for rows.Next() {
			if err := c.read(rows); err != nil {
				rows.Close()
				return err
			}
		}
		if err := rows.Err(); err != nil {
			return err
		}
	}
	tag, err := results.Exec()
	if err == nil && tag.String() != "COMMIT" {
		err = fmt.Errorf("the transaction ended with %s and not with COMMIT", tag)
	}
	return err
}

// undone reports whether an error is a statement's, which has undone the
// transaction. Of any other it is not known: the answer may be all that was
// lost.
func undone(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.SeverityUnlocalized == "ERROR" // Severity is in the server's language
}
