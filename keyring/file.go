package keyring

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// maxFile bounds how much of a ring file is read, in bytes.
const maxFile = 1 << 20

// File returns a [Source] that keeps the key set in the file at path, which it
// replaces atomically. Writers lock an empty file beside it, path.lock, so the
// compare-and-swap holds between the processes of one machine. The file system
// must honor locks, as a local one does.
//
// A new file belongs to the user that writes it and has mode 0600, so run the
// application and the command line as the same user.
//
// The file has three lines: "wafer/1 keyring", the version in decimal, and the
// sealed set in base64.
func File(path string) Source { return file(path) }

type file string

func (f file) LoadKeys(context.Context) (uint64, []byte, error) {
	r, err := os.Open(string(f))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil, nil
	}
	if err != nil {
		return 0, nil, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, maxFile+1))
	if err != nil {
		return 0, nil, err
	}
	if len(b) > maxFile {
		return 0, nil, fmt.Errorf("%s is larger than %d bytes: not a ring file", f, maxFile)
	}
	version, sealed, err := parseFile(b)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", f, err)
	}
	return version, sealed, nil
}

func (f file) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	// Follow a symbolic link, so that it stays one and its target has one lock
	// under any name.
	if target, err := filepath.EvalSymlinks(string(f)); err == nil {
		f = file(target)
	}
	unlock, err := lockFile(ctx, string(f)+".lock")
	if err != nil {
		return false, fmt.Errorf("lock %s: %w", f, err)
	}
	defer unlock()
	newest, _, err := f.LoadKeys(ctx)
	if err != nil {
		return false, err
	}
	if newest != version && newest != 0 {
		return false, nil
	}
	content := formatFile(version+1, document)
	if len(content) > maxFile {
		return false, fmt.Errorf("%s would be larger than the %d bytes that are read of it", f, maxFile)
	}
	if newest == 0 {
		err = createFile(string(f), content)
		if errors.Is(err, fs.ErrExist) {
			return false, nil
		}
		return err == nil, err
	}
	temp, err := writeTemp(string(f), content)
	if err != nil {
		return false, err
	}
	if err := os.Rename(temp, string(f)); err != nil {
		os.Remove(temp)
		return false, err
	}
	return true, syncDir(string(f))
}

func formatFile(version uint64, sealed []byte) []byte {
	return fmt.Appendf(nil, "%s\n%d\n%s\n", documentFormat, version, base64.StdEncoding.EncodeToString(sealed))
}

func parseFile(b []byte) (uint64, []byte, error) {
	lines := bytes.Split(b, []byte("\n"))
	if len(lines) != 4 || string(lines[0]) != documentFormat || len(lines[3]) != 0 {
		return 0, nil, fmt.Errorf("not a whole ring file: want the line %q, a version, and the sealed set", documentFormat)
	}
	version, err := strconv.ParseUint(string(lines[1]), 10, 64)
	if err != nil || version == 0 {
		return 0, nil, errors.New("the version of the ring file is not a whole number above 0")
	}
	sealed, err := base64.StdEncoding.Strict().DecodeString(string(lines[2]))
	if err != nil {
		return 0, nil, errors.New("the sealed set of the ring file is not base64")
	}
	if !bytes.Equal(formatFile(version, sealed), b) {
		return 0, nil, errors.New("the ring file is not in its one encoding")
	}
	return version, sealed, nil
}

// writeTemp writes content durably to a new file of mode 0600 beside path and
// returns its name.
func writeTemp(path string, content []byte) (string, error) {
	f, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+".*")
	if err != nil {
		return "", err
	}
	_, err = f.Write(content)
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(f.Name())
		return "", err
	}
	return f.Name(), nil
}

// syncDir makes a new name in the directory of path durable, on systems that
// can sync a directory.
func syncDir(path string) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, fs.ErrInvalid) {
		return err
	}
	return nil
}

// lockFile creates the file at path if it is missing, locks it exclusively, and
// returns a function that releases the lock. The lock ends with the process, so
// a crash leaves nothing to clean up.
func lockFile(ctx context.Context, path string) (func(), error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		locked, err := tryLock(f)
		if err != nil {
			f.Close()
			return nil, err
		}
		if locked {
			return func() { f.Close() }, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(5 * time.Millisecond):
		}
	}
}
