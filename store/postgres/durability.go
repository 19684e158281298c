package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Durability holds the server's settings that decide whether an acknowledged write
// survives: see the README, and [Durability.Warnings].
type Durability struct {
	Version        int  // such as 150018
	InRecovery     bool // the server is a standby, which cannot be written to
	ReadOnly       bool // default_transaction_read_only of this role; the engine's own transactions write nevertheless
	Fsync          bool // if false, a crash of the machine can lose or corrupt anything
	FullPageWrites bool // if false, a crash of the machine can corrupt pages, unless the file system writes them whole
	// SynchronousCommit is that of this role. If it is "off", the engine's own
	// transactions use "on".
	SynchronousCommit string
	// StandbyNames is synchronous_standby_names. If it is empty, a failover can
	// lose acknowledged writes.
	StandbyNames string
	Standbys     int    // connected standbys, including those that no commit waits for
	Encoding     string // of the database
	Isolation    string // default_transaction_isolation; the engine's own writes are "read committed"

	byteaOutput string
}

// Durability returns the server's settings. It returns an error if the query
// fails, and never because of a setting: the caller judges those.
func (s *Store) Durability(ctx context.Context) (Durability, error) {
	d, err := durabilityOf(ctx, s.pool)
	if err != nil {
		return Durability{}, fmt.Errorf("postgres: durability: %w", err)
	}
	return d, nil
}

func durabilityOf(ctx context.Context, pool *pgxpool.Pool) (d Durability, err error) {
	err = pool.QueryRow(ctx, `SELECT current_setting('server_version_num')::int, pg_is_in_recovery(),
		current_setting('default_transaction_read_only') = 'on', current_setting('fsync') = 'on', current_setting('full_page_writes') = 'on',
		current_setting('synchronous_commit'), current_setting('synchronous_standby_names'),
		(SELECT count(*) FROM pg_stat_replication)::int,
		(SELECT pg_encoding_to_char(encoding)::text FROM pg_database WHERE datname = current_database()),
		current_setting('default_transaction_isolation'), current_setting('bytea_output')`).Scan(
		&d.Version, &d.InRecovery, &d.ReadOnly, &d.Fsync, &d.FullPageWrites, &d.SynchronousCommit, &d.StandbyNames, &d.Standbys, &d.Encoding, &d.Isolation, &d.byteaOutput)
	return d, err
}

// minVersion is the oldest version of the server that the engine supports.
const minVersion = 140000

// usable returns an error if the settings would silently lose revocations, or if
// the engine would not work with them.
func (d *Durability) usable() error {
	switch {
	case d.Version < minVersion:
		return fmt.Errorf("the server is version %d.%d; want 14 or later", d.Version/10000, d.Version%10000)
	case d.InRecovery:
		return errors.New("the server is a standby, which cannot be written to; connect to the primary (target_session_attrs=read-write finds it)")
	case !d.Fsync:
		return errors.New("the server runs with fsync = off: a crash would lose revocations that it had acknowledged; turn it on")
	case d.byteaOutput != "hex":
		return fmt.Errorf("bytea_output is %s, which pgx cannot read in its modes without prepared statements; give the role the default: ALTER ROLE … SET bytea_output = hex", d.byteaOutput)
	case d.Encoding != "UTF8":
		return fmt.Errorf("the database is in %s; want one in UTF8", d.Encoding)
	}
	return nil
}

// prepare checks the server, and creates or migrates the schema.
func prepare(ctx context.Context, pool *pgxpool.Pool, o Options) error {
	if err := checkSchema(o.Schema); err != nil {
		return err
	}
	d, err := durabilityOf(ctx, pool)
	if err != nil {
		return err
	}
	if err := d.usable(); err != nil {
		return err
	}
	version, err := versionOf(ctx, pool, o.Schema)
	switch {
	case err != nil || version == len(migrations):
		return err
	case o.MustExist && version == 0:
		return fmt.Errorf("%w in the schema %s of this database, and none is to be made", errNoLog, quote(o.Schema))
	case o.MustExist:
		return fmt.Errorf("the schema %s is version %d, and this program wants %d: migrate it first", quote(o.Schema), version, len(migrations))
	}
	return migrate(ctx, pool, o.Schema)
}
