package sqlite

import "context"

// Durability holds the settings that decide whether a write survives a power
// failure.
type Durability struct {
	JournalMode string // should be "wal"
	Synchronous int    // should be 2 (FULL)
}

// Durability returns the settings of the connection that writes. It waits for
// the file's write lock, as a write does.
func (s *Store) Durability(ctx context.Context) (Durability, error) {
	d := new(Durability)
	err := s.writer.submit(ctx, func(t *tx) error {
		row, err := t.row("SELECT (SELECT journal_mode FROM pragma_journal_mode), (SELECT synchronous FROM pragma_synchronous)")
		if err != nil {
			return err
		}
		return row.Scan(&d.JournalMode, &d.Synchronous)
	})
	if err != nil {
		return Durability{}, err // if the call gave up, the writer may still fill in d
	}
	return *d, nil
}
