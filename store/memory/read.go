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
func (s *Store) Families(ctx context.Context, subject string, limit int) ([]store.Family, error) {
	now, err := s.begin(ctx, store.CheckFamilies(subject, limit))
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	living := s.living(subject, now)
	list := make([]store.Family, 0, min(limit, len(living)))
	for _, f := range living[:min(limit, len(living))] {
		list = append(list, s.snapshot(now, f, store.Unwritten).Family)
	}
	return list, nil
}

// living returns the families of a subject that are alive and within their
// limits. The one that was started last comes first.
func (s *Store) living(subject string, now time.Time) []*family {
	var list []*family
	for _, f := range s.bySubject[subject] {
		if s.live(f, now) {
			list = append(list, f)
		}
	}
	slices.SortFunc(list, func(a, b *family) int {
		if c := b.Started.Compare(a.Started); c != 0 {
			return c
		}
		return slices.Compare(b.ID[:], a.ID[:])
	})
	return list
}

// Since implements [store.Store].
func (s *Store) Since(ctx context.Context, after store.Position, limit int, wait time.Duration) (store.Batch, error) {
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
		if len(b.Entries) > 0 || wait <= 0 {
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

func (s *Store) batch(after store.Position, limit int) store.Batch {
	b := store.Batch{Log: s.log, Head: s.head, Floor: s.floor, Now: s.clock()}
	i, _ := slices.BinarySearchFunc(s.entries, after+1, func(e store.Entry, p store.Position) int {
		return int(int64(e.Position) - int64(p))
	})
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
		Subject: s.subjects[subject], Everyone: s.everyone,
		Floor: s.floor, Head: s.head, Log: s.log, Now: now,
		MaxStaleness: s.announced.MaxStaleness,
	}, nil
}

// Announce implements [store.Store].
func (s *Store) Announce(ctx context.Context, a store.Announcement) error {
	if _, err := s.begin(ctx, nil); err != nil {
		return err
	}
	defer s.mu.Unlock()
	s.announced = store.Announcement{
		Access:       max(s.announced.Access, a.Access),
		Absolute:     max(s.announced.Absolute, a.Absolute),
		Leeway:       max(s.announced.Leeway, a.Leeway),
		MaxStaleness: max(s.announced.MaxStaleness, a.MaxStaleness),
	}
	return nil
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
	if s.keysVersion != version {
		return false, nil
	}
	s.keys, s.keysVersion = slices.Clone(document), version+1
	return true, nil
}
