// Package repository locates the files of the repository.
package repository

import (
	"errors"
	"os"
	"path/filepath"
)

// Root returns the folder of the root module, which is the working directory or
// above it.
func Root() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for ; dir != filepath.Dir(dir); dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
	}
	return "", errors.New("run it inside the repository")
}
