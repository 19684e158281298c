package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

type tokens struct {
	Access  string    `json:"access"`
	Expires time.Time `json:"expires"` // of Access
	Refresh string    `json:"refresh"`
}

// tokenFile stores the tokens. A new pair replaces the old one in one step. A
// program that is killed before that goes on with the old refresh token, and
// the server treats it as one whose answer was lost.
type tokenFile struct{ path string }

func (f *tokenFile) read() (t tokens, err error) {
	b, err := os.ReadFile(f.path)
	if errors.Is(err, fs.ErrNotExist) {
		return t, errLoggedOut
	}
	if err != nil {
		return t, err
	}
	if err := json.Unmarshal(b, &t); err != nil {
		return t, fmt.Errorf("%s is not a file of tokens (%w); log in again", f.path, err)
	}
	return t, nil
}

func (f *tokenFile) write(t tokens) error {
	dir := filepath.Dir(f.path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	b, err := json.Marshal(t)
	if err != nil {
		return err
	}
	next, err := os.CreateTemp(dir, ".tokens-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(next.Name()) // after the rename it does not exist
	_, err = next.Write(b)
	if err := errors.Join(err, next.Sync(), next.Close()); err != nil {
		return err
	}
	return os.Rename(next.Name(), f.path)
}

func (f *tokenFile) remove() error {
	if err := os.Remove(f.path); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
