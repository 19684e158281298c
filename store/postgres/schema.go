package postgres

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

//go:embed migrations/*.sql
var files embed.FS

// migrations are in order: the first makes version 1.
var migrations = func() (texts []string) {
	names, _ := fs.Glob(files, "migrations/*.sql") // sorted
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			panic(err) // it is embedded
		}
		texts = append(texts, string(text))
	}
	return texts
}()

// SQL returns what makes a schema of this release, with its log, in a database
// that has none: to be run by hand, whole, in one transaction. An empty name is
// the default's.
func SQL(schema string) (string, error) {
	return SQLFrom(schema, 0)
}

// SQLFrom is SQL for a schema of a version, as [Version] reports it: what is
// still to be run. 0 is no schema at all.
func SQLFrom(schema string, version int) (string, error) {
	if schema == "" {
		schema = defaultSchema
	}
	if err := checkSchema(schema); err != nil {
		return "", fmt.Errorf("postgres: %w", err)
	}
	if version < 0 || version > len(migrations) {
		return "", fmt.Errorf("postgres: version %d of the schema: want 0 to %d", version, len(migrations))
	}
	var b strings.Builder
	if version == 0 {
		fmt.Fprintf(&b, "CREATE SCHEMA IF NOT EXISTS %s;\n\n", quote(schema))
	}
	for _, text := range migrations[version:] {
		b.WriteString(fill(text, schema))
	}
	return b.String(), nil
}

// Migrate makes the schema and its log where there are none, and brings an
// older one up. Of several at once one does the work. The role must own the
// schema, or be allowed to make one in the database. Only Schema is read of the
// options.
func Migrate(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	o.fill()
	if err := checkSchema(o.Schema); err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	if err := migrate(ctx, pool, o.Schema); err != nil {
		return fmt.Errorf("postgres: migrate: %w", err)
	}
	return nil
}

// lockKey names the lock under which schemas are made and migrated: "wafer".
const lockKey = 0x7761666572

func migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	// Explicitly so: the lock is waited for in one statement, and the next must
	// see what the one before has done.
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		// The log must be there after a crash once somebody has seen it.
		if _, err := tx.Exec(ctx, "SELECT set_config('synchronous_commit', 'on', true) WHERE current_setting('synchronous_commit') = 'off'"); err != nil {
			return err
		}
		if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1)", int64(lockKey)); err != nil {
			return err
		}
		version, err := versionOf(ctx, tx, schema)
		if err != nil || version == len(migrations) {
			return err
		}
		if version == 0 {
			// Not IF NOT EXISTS: that asks for the right to make one first.
			var found bool
			if err := tx.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = $1)", schema).Scan(&found); err != nil {
				return err
			}
			if !found {
				if _, err := tx.Exec(ctx, "CREATE SCHEMA "+quote(schema)); err != nil {
					return fmt.Errorf("make the schema %s: %w", quote(schema), err)
				}
			}
		}
		for v := version; v < len(migrations); v++ {
			// Many statements in one text: that is the simple protocol's.
			if _, err := tx.Conn().PgConn().Exec(ctx, fill(migrations[v], schema)).ReadAll(); err != nil {
				return fmt.Errorf("bring the schema %s from version %d to %d: %w", quote(schema), v, v+1, err)
			}
		}
		return nil
	})
}

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// versionOf returns the version of a schema, 0 where nothing of ours is there,
// or what is wrong with it.
func versionOf(ctx context.Context, q querier, schema string) (version int, err error) {
	var ours, log, others bool
	err = q.QueryRow(ctx, `SELECT
		EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'migrations' AND c.relkind = 'r'),
		EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'log' AND c.relkind = 'r'),
		EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1)`, schema).Scan(&ours, &log, &others)
	switch {
	case err != nil:
		return 0, err
	case !ours && !others:
		return 0, nil
	case !ours:
		return 0, fmt.Errorf("the schema %s has other tables; give wafer one of its own", quote(schema))
	case !log:
		return 0, fmt.Errorf("the schema %s has no log; it is another program's, or damaged: restore it from a backup", quote(schema))
	}
	var logs bool
	err = q.QueryRow(ctx, fill(`SELECT coalesce((SELECT max(version) FROM @schema@.migrations), 0),
		EXISTS (SELECT FROM @schema@.log) AND EXISTS (SELECT FROM @schema@.entries) AND EXISTS (SELECT FROM @schema@.keys)`, schema)).Scan(&version, &logs)
	switch {
	case err != nil:
	case version > len(migrations):
		err = fmt.Errorf("the schema %s is version %d, and this program knows %d; a newer release has migrated it: run that one", quote(schema), version, len(migrations))
	case version < 1:
		err = fmt.Errorf("the schema %s has no version; restore it from a backup", quote(schema))
	case !logs:
		err = fmt.Errorf("the log in the schema %s is gone; restore it from a backup, or drop the schema to begin with nobody logged in", quote(schema))
	}
	return version, err
}

// checkSchema refuses names that PostgreSQL would cut short, or that cannot
// stand inside the functions' text.
func checkSchema(name string) error {
	switch {
	case name == "" || len(name) > 63:
		return fmt.Errorf("a schema's name of %d bytes: want 1 to 63", len(name))
	case !utf8.ValidString(name) || strings.ContainsAny(name, "\x00$@"):
		return fmt.Errorf("the schema's name %q: want UTF-8 without NUL, $ and @", name)
	case strings.HasPrefix(name, "pg_") || name == "information_schema":
		return fmt.Errorf("the schema's name %q is the server's own", name)
	}
	return nil
}

func quote(schema string) string { return pgx.Identifier{schema}.Sanitize() }

// fill puts a schema's name into a text. @name@ is the name as a string.
func fill(text, schema string) string {
	literal := "'" + strings.ReplaceAll(schema, "'", "''") + "'"
	if strings.Contains(schema, `\`) {
		literal = " E'" + strings.ReplaceAll(strings.ReplaceAll(schema, `\`, `\\`), "'", "''") + "'"
	}
	return strings.NewReplacer("@schema@", quote(schema), "@name@", literal).Replace(text)
}

var errNoLog = errors.New("there is no log")
