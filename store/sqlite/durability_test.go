package sqlite_test

import (
	"path/filepath"
	"testing"

	"github.com/waferkit/wafer/store/sqlite"
)

func TestDurability(t *testing.T) {
	db := open(t, filepath.Join(t.TempDir(), "wafer.db"), sqlite.Options{})
	d, err := db.Durability(t.Context())
	if err != nil || d.JournalMode != "wal" || d.Synchronous != 2 {
		t.Errorf("%+v, %v: want WAL and FULL", d, err)
	}
}
