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

// migrations holds the migrations in order. The first makes version 1.
var migrations = func() (texts []string) {
	names, _ := fs.Glob(files, "migrations/*.sql") // sorted
	for _, name := range names {
		text, err := files.ReadFile(name)
		if err != nil {
			panic(err) // the files are embedded
		}
		texts = append(texts, string(text))
	}
	return texts
}()

// SQL returns the statements that create a schema of this release, with its log.
// Run them by hand, all in one transaction, in a database that has no such schema
// yet. An empty name stands for the default, "wafer". SQL returns an error if the
// name cannot be a schema's.
func SQL(schema string) (string, error) {
	return SQLFrom(schema, 0)
}

// SQLFrom returns the statements that bring a schema from a version to this
// release's. The version is the highest in the schema's table migrations, or 0 if
// there is no schema yet. See [SQL].
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

// Migrate creates the schema and its log if there are none, and migrates an older
// schema. If several processes call it at once, one of them does the work. The
// role must own the schema, or have the right to create one in the database.
// Migrate reads only Schema of the options. It returns an error if the schema belongs
// to another program or a later release, or is of the first edition of the store contract.
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

// lockKey ("wafer") is the advisory lock that creating or migrating a schema
// holds.
const lockKey = 0x7761666572

func migrate(ctx context.Context, pool *pgxpool.Pool, schema string) error {
	// The isolation is explicit: one statement waits for the lock, and the next
	// must see what the previous holder did.
	return pgx.BeginTxFunc(ctx, pool, pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}, func(tx pgx.Tx) error {
		// A log that anybody has seen must survive a crash.
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
			// CREATE SCHEMA IF NOT EXISTS would require the right to create one
			// even if the schema exists.
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
			// Only the simple protocol allows many statements in one text.
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

// versionOf returns the version of a schema, or 0 if the schema is absent or empty.
// The error says what is wrong with the schema.
func versionOf(ctx context.Context, q querier, schema string) (version int, err error) {
	var ours, log, seals, others bool
	err = q.QueryRow(ctx, `SELECT
		EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'migrations' AND c.relkind = 'r'),
		EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relname = 'log' AND c.relkind = 'r'),
		EXISTS (SELECT FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
			WHERE n.nspname = $1 AND c.relname = 'families' AND a.attname = 'seal'),
		EXISTS (SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = $1)`, schema).Scan(&ours, &log, &seals, &others)
	switch {
	case err != nil:
		return 0, err
	case !ours && !others:
		return 0, nil
	case !ours:
		return 0, fmt.Errorf("the schema %s has other tables; give wafer one of its own", quote(schema))
	case !log:
		return 0, fmt.Errorf("the schema %s has no log; it is another program's, or damaged: restore it from a backup", quote(schema))
	case !seals:
		return 0, fmt.Errorf("the schema %[1]s is of the first edition of the store contract, which had no family seals, and nothing migrates it; DROP SCHEMA %[1]s CASCADE to begin with nobody logged in, or give wafer another schema", quote(schema))
	}
	var logs bool
	err = q.QueryRow(ctx, fill(`SELECT coalesce((SELECT max(version) FROM @schema@.migrations), 0),
		EXISTS (SELECT FROM @schema@.log) AND EXISTS (SELECT FROM @schema@.entries) AND EXISTS (SELECT FROM @schema@.announced) AND EXISTS (SELECT FROM @schema@.keys)`, schema)).Scan(&version, &logs)
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

// checkSchema returns an error for a name that PostgreSQL would truncate or
// reserves, or that the text of the functions cannot contain.
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

// fill replaces @schema@ in a text with the schema's quoted name, and @name@ with
// the name as a string.
func fill(text, schema string) string {
	literal := "'" + strings.ReplaceAll(schema, "'", "''") + "'"
	if strings.Contains(schema, `\`) {
		literal = " E'" + strings.ReplaceAll(strings.ReplaceAll(schema, `\`, `\\`), "'", "''") + "'"
	}
	return strings.NewReplacer("@schema@", quote(schema), "@name@", literal).Replace(text)
}

var errNoLog = errors.New("there is no log")
