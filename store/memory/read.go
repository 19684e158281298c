package memory

import (
	"context"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// Family implements [store.Store].
func (s *Store) Family(ctx context.Context, id store.ID) (store.Snapshot, error) {
	now, err := s.begin(ctx, nil)
	if err != nil {
		return store.Snapshot{}, err
	}
	defer s.mu.Unlock()
	return s.snapshot(now, s.families[id], store.Unwritten), nil
}

// Families implements [store.Store].
func (s *Store) Families(ctx context.Context, q store.Query) (store.Page, error) {
	now, err := s.begin(ctx, q.Check())
	if err != nil {
		return store.Page{}, err
	}
	defer s.mu.Unlock()
	rows, from, cutoff := &s.living, first, s.everyone
	if q.Subject != "" {
		rows, cutoff = s.bySubject[q.Subject], s.cutoff(q.Subject, "")
	}
	if q.After != (store.PageCursor{}) {
		from = place{q.After.Birth, q.After.Started, q.After.ID}
	}
	page, looked := store.Page{Now: now}, 0
	for f := range rows.after(from) {
		if f.Birth < cutoff {
			break // as are all that follow
		}
		if looked == store.MaxLooked || len(page.Families) == q.Limit {
			page.Next = store.PageCursor{Birth: from.birth, Started: from.started, ID: from.id}
			break
		}
		looked++
		if from = placeOf(f); s.live(f, now) {
			listed := s.snapshot(now, f, store.Unwritten).Family
			listed.Value = nil
			page.Families = append(page.Families, listed)
		}
	}
	return page, nil
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Cursor, limit int, wait time.Duration) (store.Batch, error) {
	if err := store.CheckSince(after, limit); err != nil {
		return store.Batch{}, err
	}
	timeout := time.NewTimer(wait)
	defer timeout.Stop()
	for {
		if err := ctx.Err(); err != nil {
			return store.Batch{}, err
		}
		s.mu.Lock()
		b, appended := s.batch(after, limit), s.appended
		s.mu.Unlock()
		if len(b.Entries) > 0 || b.Broken || wait <= 0 {
			return b, nil
		}
		select {
		case <-appended:
		case <-timeout.C:
			wait = 0
		case <-ctx.Done():
		}
	}
}

func (s *Store) batch(after store.Cursor, limit int) store.Batch {
	b := store.Batch{Log: s.log, Head: s.head, HeadID: s.headID, Floor: s.floor, Now: s.clock()}
	i, found := slices.BinarySearchFunc(s.entries, after.Position, func(e store.Entry, p store.Position) int {
		return int(int64(e.Position) - int64(p))
	})
	switch {
	case found:
		b.Broken = s.entries[i].ID != after.ID
		i++
	case after.Position != 0:
		b.Broken = after != store.Cursor{Position: s.floor, ID: s.floorID}
	}
	if b.Broken {
		return b
	}
	n := min(limit, len(s.entries)-i)
	b.Entries = slices.Clone(s.entries[i : i+n])
	b.More = i+n < len(s.entries)
	return b
}

// Cutoffs implements [store.Store].
func (s *Store) Cutoffs(ctx context.Context, session store.ID, subject string) (store.Cutoffs, error) {
	now, err := s.begin(ctx, nil)
	if err != nil {
		return store.Cutoffs{}, err
	}
	defer s.mu.Unlock()
	c := s.sessions[session]
	return store.Cutoffs{
		Ending: c.ending, Superseding: c.superseding,
		Subject: s.subjects.at(subject), Everyone: s.everyone,
		Floor: s.floor, Head: s.head, Log: s.log, Now: now,
		MaxStaleness: s.announced.MaxStaleness,
	}, nil
}

// LoadKeys implements [store.Store].
func (s *Store) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	if _, err := s.begin(ctx, nil); err != nil {
		return 0, nil, err
	}
	defer s.mu.Unlock()
	return s.keysVersion, slices.Clone(s.keys), nil
}

// SwapKeys implements [store.Store].
func (s *Store) SwapKeys(ctx context.Context, version uint64, document []byte) (bool, error) {
	if _, err := s.begin(ctx, nil); err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	if s.keysVersion != version && s.keysVersion != 0 {
		return false, nil
	}
	s.keys, s.keysVersion = slices.Clone(document), version+1
	return true, nil
}
