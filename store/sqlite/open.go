package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/internal/engine"
)

// Options configures [Open]. The zero value is ready.
type Options struct {
	// Now is the engine's clock. Default [time.Now].
	Now func() time.Time
	// BusyTimeout is how long a write waits for one of another process.
	// Default 5 s.
	BusyTimeout time.Duration
}

// Store is the engine. It is safe for concurrent use, and by other processes on
// the same file.
type Store struct {
	now      func() time.Time
	writer   *committer
	readers  *sql.DB
	notifier *engine.Notifier
	stop     context.CancelFunc
	done     sync.WaitGroup

	once     sync.Once // of Close
	closeErr error
}

var _ store.Store = (*Store)(nil)

const defaultBusy = 5 * time.Second

// Open opens the store in a file, and makes the file if there is none; its
// directory is made with mode 0700 if it is absent. A file that is empty, not
// a database, of another program or of a later release is an error.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.BusyTimeout == 0 {
		o.BusyTimeout = defaultBusy
	}
	s, err := open(ctx, path, o)
	if err != nil {
		return nil, fmt.Errorf("sqlite: open %s: %w", path, err)
	}
	return s, nil
}

func open(ctx context.Context, path string, o Options) (*Store, error) {
	if err := ensure(ctx, path, o); err != nil {
		return nil, err
	}
	c, err := connect(path, o, true)
	if err != nil {
		return nil, err
	}
	conn, err := prepareWriter(ctx, c, o, false)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// From here on the committer waits for the lock by itself.
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return nil, errors.Join(err, conn.Close(), c.Close())
	}
	readers, err := connect(path, o, false)
	if err != nil {
		return nil, errors.Join(err, conn.Close(), c.Close())
	}
	run, stop := context.WithCancel(context.Background())
	s := &Store{now: o.Now, readers: readers, stop: stop}
	s.notifier = engine.NewNotifier(errClosed, s.watchFile)
	s.writer = newCommitter(c, conn, o, s.notifier.Notify)
	s.done.Go(func() { s.writer.run(run) })
	s.done.Go(func() { engine.Sweep(run, engine.SweepEvery, s.tidy) })
	return s, nil
}

// ensure makes a new file, whole or not at all: it is built under another name
// and linked to its own. Of several processes at once one makes it.
func ensure(ctx context.Context, path string, o Options) error {
	if path == "" {
		return errors.New("no path was given; want a file such as data/wafer.db")
	}
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return errors.New("it is a directory")
	case err == nil && info.Size() == 0:
		return errors.New("the file is empty: it was truncated, or something else made it; restore it, or remove it to begin with nobody logged in")
	case err == nil && info.Size() < headerSize:
		return fmt.Errorf("file is not a database: it has %d bytes, and SQLite's header alone has %d", info.Size(), headerSize)
	case err == nil:
		// SQLite would open it for reading alone, and leave files behind that
		// keep its owner from writing.
		return writable(path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		// SQLite would play it into whatever file stands there next.
		if _, err := os.Lstat(path + suffix); !errors.Is(err, fs.ErrNotExist) {
			if _, err := os.Stat(path); err == nil {
				return ensure(ctx, path, o) // another process has just made both
			}
			return fmt.Errorf("the file is gone and its %s is not: restore both, or remove both to begin with nobody logged in", path+suffix)
		}
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return err
	}
	temp := f.Name()
	defer func() {
		for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
			os.Remove(temp + suffix)
		}
	}()
	if err := f.Close(); err != nil {
		return err
	}
	db, err := connect(temp, o, true)
	if err != nil {
		return err
	}
	conn, err := prepareWriter(ctx, db, o, true)
	if err == nil {
		_, err = conn.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
		err = errors.Join(err, conn.Close())
	}
	if err = errors.Join(err, db.Close()); err != nil {
		return err
	}
	if err := os.Link(temp, path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// headerSize is how a SQLite file begins, in bytes.
const headerSize = 100

// connect returns a pool. A writer's holds one connection.
func connect(path string, o Options, writer bool) (*sql.DB, error) {
	pragmas := []string{
		fmt.Sprintf("busy_timeout(%d)", o.BusyTimeout.Milliseconds()), // first: the others may have to wait
		"synchronous(FULL)", "foreign_keys(OFF)", "trusted_schema(OFF)",
		"journal_size_limit(67108864)", "cache_size(-16384)",
	}
	if !writer {
		pragmas = append(pragmas, "query_only(ON)")
	}
	q := url.Values{"_pragma": pragmas, "mode": {"rw"}} // never make the file: ensure does
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	if writer {
		db.SetMaxOpenConns(1)
	} else {
		db.SetMaxOpenConns(maxReaders)
		db.SetMaxIdleConns(maxReaders)
	}
	return db, nil
}

// maxReaders bounds the connections that read.
const maxReaders = 8

// prepareWriter takes the one writing connection and brings the schema up. Only
// a file that was made just now may be without one.
func prepareWriter(ctx context.Context, db *sql.DB, o Options, fresh bool) (*sql.Conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	// A file that is not ours is left as it is, so that is looked at first.
	if _, err := schemaOf(ctx, c, fresh); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// auto_vacuum only counts for a file without tables.
	if _, err := c.ExecContext(ctx, "PRAGMA auto_vacuum = INCREMENTAL"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	var mode string
	if err := c.QueryRowContext(ctx, "PRAGMA journal_mode = WAL").Scan(&mode); err != nil || mode != "wal" {
		if err == nil {
			err = fmt.Errorf("its journal mode stays %q, and not WAL: is it on a network file system?", mode)
		}
		return nil, errors.Join(err, c.Close())
	}
	if _, err := c.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	err = migrate(ctx, c, o.Now().UnixMilli(), fresh)
	if err == nil {
		_, err = c.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // some errors have done it
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends the engine's goroutines and closes the file. What waits to be
// written gets an error. Closing again does nothing.
func (s *Store) Close() error {
	s.once.Do(func() {
		s.stop()
		s.notifier.Close()
		s.notifier.Wait()
		s.done.Wait()
		s.closeErr = errors.Join(s.writer.close(), s.readers.Close())
	})
	return s.closeErr
}
