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

// Options configures [Open]. The zero value is ready to use.
type Options struct {
	// Now returns the time of the engine's clock. The default is [time.Now].
	Now func() time.Time
	// BusyTimeout is how long a write waits while another process holds the
	// file's write lock. The default is 5 s.
	BusyTimeout time.Duration
}

// Store is a [store.Store] in one SQLite file. It is safe for concurrent use,
// also while other processes use the same file. [Open] makes one, and the caller
// closes it.
type Store struct {
	now      func() time.Time
	writer   *committer
	readers  readers
	notifier *engine.Notifier
	stop     context.CancelFunc
	done     sync.WaitGroup

	once     sync.Once // guards Close
	closeErr error
}

var _ store.Store = (*Store)(nil)

const defaultBusy = 5 * time.Second

// Open opens the store in the file at path. If there is no file, Open creates
// it, in a directory that it creates with mode 0700 if necessary. Open returns
// an error if the file is empty, is not a database, belongs to another program,
// was migrated by a later release or is from before the first one. ctx bounds
// Open alone. The caller closes the Store.
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
	c, err := connect(path, o, 0)
	if err != nil {
		return nil, err
	}
	conn, err := prepareWriter(ctx, c, o, false)
	if err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// From here on the writer polls for the lock itself.
	if _, err := conn.ExecContext(ctx, "PRAGMA busy_timeout = 0"); err != nil {
		return nil, errors.Join(err, conn.Close(), c.Close())
	}
	r, err := newReaders(ctx, path, o)
	if err != nil {
		return nil, errors.Join(err, conn.Close(), c.Close())
	}
	run, stop := context.WithCancel(context.Background())
	s := &Store{now: o.Now, readers: r, stop: stop}
	s.notifier = engine.NewNotifier(errClosed, s.watchFile)
	s.writer = newCommitter(c, conn, o, s.notifier.Notify)
	s.done.Go(func() { s.writer.run(run) })
	s.done.Go(func() { engine.Sweep(run, engine.SweepEvery, s.sweep) })
	return s, nil
}

// ensure creates the file if there is none. It builds the file under another
// name and then links it to path, so that it appears whole or not at all. If
// several processes do so at once, one of them creates it.
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
		// Without write permission SQLite would open the file read-only, and
		// leave files behind that keep its owner from writing.
		return writable(path)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	}
	for _, suffix := range []string{"-wal", "-journal"} {
		// SQLite would replay it into the next file at this path.
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
	db, err := connect(temp, o, 0)
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

// headerSize is the size of a SQLite file's header, in bytes.
const headerSize = 100

// connect returns a pool of at most that many connections that read, or the one
// that writes if readers is 0.
func connect(path string, o Options, readers int) (*sql.DB, error) {
	pragmas := []string{
		fmt.Sprintf("busy_timeout(%d)", o.BusyTimeout.Milliseconds()), // first, since the others may have to wait
		"synchronous(FULL)", "foreign_keys(OFF)", "trusted_schema(OFF)",
		"journal_size_limit(67108864)", "cache_size(-16384)",
	}
	if readers > 0 {
		pragmas = append(pragmas, "query_only(ON)")
	}
	q := url.Values{"_pragma": pragmas, "mode": {"rw"}} // ensure alone creates the file
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Path: filepath.ToSlash(absolute), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(max(1, readers))
	db.SetMaxIdleConns(max(1, readers))
	return db, nil
}

// prepareWriter opens the writing connection and migrates the schema. Only a
// fresh file, which was just created, may have no schema.
func prepareWriter(ctx context.Context, db *sql.DB, o Options, fresh bool) (*sql.Conn, error) {
	c, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	// This comes first: another program's file must stay as it is.
	if _, err := schemaOf(ctx, c, fresh); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	// auto_vacuum takes effect only in a file without tables.
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
		_, _ = c.ExecContext(context.WithoutCancel(ctx), "ROLLBACK") // some errors have rolled back already
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close stops the engine's goroutines and closes the file. Calls that are still
// waiting return an error. A second Close does nothing.
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
