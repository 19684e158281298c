package sqlite

import "context"

// Durability is what a power failure is survived by: want "wal" and 2 (FULL).
type Durability struct {
	JournalMode string
	Synchronous int
}

// Durability reads the settings of the connection that writes. It waits for the
// file's write lock, as a write does.
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
		return Durability{}, err // what waits no more may still be written
	}
	return *d, nil
}
