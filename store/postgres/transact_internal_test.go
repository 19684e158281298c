package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// A server may speak any language (lc_messages). What it has undone must be
// known all the same, and what it may have done must not be tried again.
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
		if got := undone(c.err); got != c.want {
			t.Errorf("%v: undone is %v", c.err, got)
		}
	}
}
