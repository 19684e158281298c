package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server may use any language (lc_messages). A transaction that it certainly
// rolled back must be recognized in each, and one that may have been committed
// must not be tried again.
func TestUndone(t *testing.T) {
	for _, c := range []struct {
		err  error
		want bool
	}{
		{&pgconn.PgError{Severity: "FEHLER", SeverityUnlocalized: "ERROR", Code: "40001"}, true},
		{fmt.Errorf("wrapped: %w", &pgconn.PgError{Severity: "ERROR", SeverityUnlocalized: "ERROR"}), true},
		{&pgconn.PgError{Severity: "FATAL", SeverityUnlocalized: "FATAL", Code: "57P01"}, false}, // the connection ends
		{errors.New("unexpected EOF"), false},
	} {
		if got := failedStatement(c.err); got != c.want {
			t.Errorf("%v: undone is %v", c.err, got)
		}
	}
}
