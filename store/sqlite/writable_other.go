//go:build !(linux || darwin || freebsd)

package sqlite

// writable returns nil: SQLite checks the permissions itself.
func writable(string) error { return nil }
