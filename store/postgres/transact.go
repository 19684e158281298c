package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// call is one statement of a transaction, with the function that reads its rows.
// read may be called again after a rollback.
type call struct {
	sql  string
	args []any
	read func(rows pgx.Rows) error
}

// begin overrides the server's defaults: under another isolation level a write
// that waited for a lock would not see what the lock's holder wrote.
const begin = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"

// attempts bounds how often a transaction is tried if the server rolls it back
// because of another transaction.
const attempts = 5

// transact runs the calls in one transaction over a pool and returns when that is durable. It
// sends the transaction whole, so that nothing that happens to this process
// meanwhile keeps it open. If there is an error, rolledBack reports whether the
// transaction certainly did nothing.
func (s *Store) transact(ctx context.Context, pool *pgxpool.Pool, calls []call) (rolledBack bool, err error) {
	for try := 1; ; try++ {
		rolledBack, err = transactOnce(ctx, pool, calls)
		if err == nil || !rolledBack || !conflict(err) || try == attempts {
			return rolledBack, err
		}
		select {
		case <-ctx.Done():
			return true, err
		case <-time.After(time.Duration(rand.Int64N(int64(time.Millisecond) << try))):
		}
	}
}

// conflict reports whether the server rolled a transaction back because of another,
// so that a repetition may succeed: serialization_failure, deadlock_detected, or
// the feature_not_supported of a statement that was prepared before a migration.
func conflict(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && (e.Code == "40001" || e.Code == "40P01" || e.Code == "0A000")
}

func transactOnce(ctx context.Context, pool *pgxpool.Pool, calls []call) (rolledBack bool, err error) {
	conn, err := pool.Acquire(ctx)
	if err != nil {
		return true, err
	}
	defer conn.Release() // closes the connection if it is still in a transaction
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
	if failedStatement(err) {
		// The server skipped the rest, and the transaction is still open.
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

// failedStatement reports whether an error is that of a statement, which rolls the
// transaction back. After any other error the outcome is unknown: perhaps only
// the answer was lost.
func failedStatement(err error) bool {
	var e *pgconn.PgError
	return errors.As(err, &e) && e.SeverityUnlocalized == "ERROR" // Severity is in the server's language
}

// ownFault reports whether one write of a group may have caused the error that
// rolled the group back, so that the others may succeed without it. No write is to
// blame if the server cannot do such work at present (class 53: resources; 55P03
// and 57014: timeouts; 25006: read only), or if another transaction is the cause
// (class 40).
func ownFault(err error) bool {
	var e *pgconn.PgError
	if !failedStatement(err) || !errors.As(err, &e) {
		return false
	}
	switch e.Code {
	case "55P03", "57014", "25006":
		return false
	}
	return !strings.HasPrefix(e.Code, "53") && !strings.HasPrefix(e.Code, "40")
}
