package sqlite

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"

	"github.com/waferkit/wafer/store"
)

// applicationID ("wafr") marks a file as wafer's. userVersion is the version of
// its schema.
const (
	applicationID = 0x77616672
	userVersion   = 1
)

// migrations[i] brings a file from schema i to schema i+1. A migration that has
// been released never changes.
var migrations = [userVersion]string{`
CREATE TABLE log (
	one          INTEGER PRIMARY KEY CHECK (one = 1),
	id           BLOB    NOT NULL,
	head         INTEGER NOT NULL,
	head_id      BLOB    NOT NULL, -- of the entry at the head, also once that is dropped
	floor        INTEGER NOT NULL,
	floor_id     BLOB,             -- of the last entry dropped
	everyone     INTEGER NOT NULL,
	access       INTEGER NOT NULL, -- the longest announced, in milliseconds
	absolute     INTEGER NOT NULL,
	leeway       INTEGER NOT NULL,
	staleness    INTEGER NOT NULL,
	realm        TEXT    NOT NULL, -- empty before the first announcement
	ring         BLOB,             -- the id, and the highest version in 8 bytes
	keys_version INTEGER NOT NULL,
	keys         BLOB
) STRICT;

CREATE TABLE entries (
	position INTEGER PRIMARY KEY,
	previous INTEGER NOT NULL,
	id       BLOB    NOT NULL,
	kind     INTEGER NOT NULL,
	session  BLOB, -- of one session
	subject  TEXT, -- of a subject
	name     BLOB, -- of a name
	ring     BLOB, -- of everyone, as in the log
	reason   TEXT    NOT NULL,
	actor    TEXT    NOT NULL,
	time     INTEGER NOT NULL
) STRICT;
CREATE INDEX entries_session ON entries (session, kind, position) WHERE session IS NOT NULL;
CREATE INDEX entries_name ON entries (name, position) WHERE name IS NOT NULL;
CREATE INDEX entries_name_id ON entries (id) WHERE name IS NOT NULL;

CREATE TABLE subjects (
	subject  TEXT    PRIMARY KEY,
	position INTEGER NOT NULL,
	time     INTEGER NOT NULL -- from which the time that the cutoff is kept counts
) STRICT, WITHOUT ROWID;
CREATE INDEX subjects_time ON subjects (time);

CREATE TABLE families (
	id            BLOB    PRIMARY KEY,
	subject       TEXT    NOT NULL,
	label         TEXT    NOT NULL,
	native        INTEGER NOT NULL,
	names         BLOB, -- 32 bytes each
	actor         TEXT    NOT NULL,
	methods       TEXT    NOT NULL,
	level         TEXT    NOT NULL,
	key           BLOB,
	counts        INTEGER NOT NULL,
	first         BLOB,
	successor     BLOB,
	seal          BLOB    NOT NULL,
	birth         INTEGER NOT NULL,
	position      INTEGER NOT NULL,
	last_commit   INTEGER NOT NULL,
	generation    INTEGER NOT NULL,
	copy          INTEGER NOT NULL,
	used          INTEGER NOT NULL,
	started       INTEGER NOT NULL,
	authenticated INTEGER NOT NULL,
	issued        INTEGER NOT NULL,
	idle          INTEGER NOT NULL,
	absolute      INTEGER NOT NULL,
	ended         INTEGER NOT NULL,
	known         INTEGER NOT NULL, -- the row stays until then
	due           INTEGER NOT NULL  -- when housekeeping looks at it next
) STRICT, WITHOUT ROWID;
CREATE INDEX families_due ON families (due);

-- Calls walk these. They hold no family that has ended.
CREATE INDEX families_living ON families (birth, started, id) WHERE ended = 0;
CREATE INDEX families_subject ON families (subject, birth, started, id) WHERE ended = 0;
CREATE INDEX families_actor ON families (actor, birth) WHERE actor <> '' AND ended = 0;
CREATE TABLE names (
	name   BLOB    NOT NULL,
	born   INTEGER NOT NULL,
	family BLOB    NOT NULL,
	PRIMARY KEY (name, born, family)
) STRICT, WITHOUT ROWID;

CREATE TABLE committed (
	id    BLOB PRIMARY KEY,
	value BLOB NOT NULL
) STRICT;

CREATE TABLE peers (
	turn     INTEGER PRIMARY KEY, -- rises with each announcement
	node     BLOB    NOT NULL UNIQUE,
	instance TEXT    NOT NULL,
	settings TEXT    NOT NULL,
	ring     BLOB    NOT NULL, -- as in the log
	seen     INTEGER NOT NULL
) STRICT;
`}

// schemaOf returns the version of the file's schema, or an error that says what
// is wrong with the file. Only a fresh file may have no schema.
func schemaOf(ctx context.Context, c *sql.Conn, fresh bool) (version int, err error) {
	var application, tables int
	err = c.QueryRowContext(ctx, `SELECT (SELECT application_id FROM pragma_application_id),
		(SELECT user_version FROM pragma_user_version), (SELECT count(*) FROM sqlite_schema)`).Scan(&application, &version, &tables)
	switch {
	case err != nil:
	case fresh && application == 0 && version == 0 && tables == 0:
	case application == 0 && tables == 0:
		err = errors.New("it is an empty database; restore it, or remove it to begin with nobody logged in")
	case application != applicationID:
		err = fmt.Errorf("it is a database of another program (application id %#x); give wafer a file of its own", application)
	case version > userVersion:
		err = fmt.Errorf("its schema is version %d, and this program knows %d; a newer release has migrated it: run that one", version, userVersion)
	case version < 1:
		err = errors.New("its schema has no version; restore it from a backup")
	case !fresh:
		var logs, seals int
		err = c.QueryRowContext(ctx, `SELECT (SELECT count(*) FROM log),
			(SELECT count(*) FROM pragma_table_info('families') WHERE name = 'seal')`).Scan(&logs, &seals)
		switch {
		case err != nil:
		case seals == 0:
			err = errors.New("it is from before the first release, and nothing migrates it; remove it, with its -wal and -shm, to begin with nobody logged in")
		case logs != 1:
			err = errors.New("its log is gone; restore it from a backup")
		}
	}
	return version, err
}

// migrate brings the file to this release's schema, and begins the log in a
// fresh file. c is the only connection of this process that writes, and holds
// the file's write lock.
func migrate(ctx context.Context, c *sql.Conn, now int64, fresh bool) error {
	version, err := schemaOf(ctx, c, fresh)
	if err != nil {
		return err
	}
	for v := version; v < userVersion; v++ {
		if _, err := c.ExecContext(ctx, migrations[v]); err != nil {
			return fmt.Errorf("migrate the schema from version %d: %w", v, err)
		}
	}
	if version == userVersion {
		return nil
	}
	if _, err := c.ExecContext(ctx, fmt.Sprintf("PRAGMA application_id = %d; PRAGMA user_version = %d", applicationID, userVersion)); err != nil {
		return err
	}
	if version > 0 {
		return nil
	}
	// A log has a random id, and its first entry revokes everyone, so that a new
	// store trusts no older cookie.
	var log, entry store.ID
	rand.Read(log[:])
	rand.Read(entry[:])
	first := max(1, now*1000)
	if _, err = c.ExecContext(ctx, `INSERT INTO log VALUES (1, ?, ?, ?, 0, NULL, ?, 0, 0, 0, 0, '', NULL, 0, NULL)`, log[:], first, entry[:], first); err != nil {
		return err
	}
	_, err = c.ExecContext(ctx, `INSERT INTO entries VALUES (?, 0, ?, ?, NULL, NULL, NULL, ?, 'the log begins', '', ?)`,
		first, entry[:], store.KindEveryone, packRing(store.ID{}, 0), now)
	return err
}
