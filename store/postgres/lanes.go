package postgres

import (
	"context"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/waferkit/wafer/store"
)

const (
	// maxRefreshes bounds how many refreshes share one statement.
	maxRefreshes = 128
	// maxAppends bounds how many other writes share one transaction, which
	// holds the head's lock.
	maxAppends = 64
	// maxRefreshGroups bounds how many groups of refreshes are under way at a
	// time. Refreshes that arrive while all of them are busy wait, and so form a
	// group. With 16 callers one group was better on a quiet machine (140% of
	// the bare statement, against 70% with four) and worse on a busy one (33%,
	// against 53%), where a single backend gets a single share of the processor.
	// With 64 callers four were better on both.
	maxRefreshGroups = 4
	// maxLockWaits bounds how many refreshes wait for a locked row at a time.
	maxLockWaits = 2
)

// refresh is an Advance or, of kind kindReissue, a Reissue, whose arguments are
// among those of an Advance.
type refresh struct {
	store.Advance
	kind refreshKind
}

// refreshKind is what the schema's function refresh does to a family.
type refreshKind int32

const (
	kindAdvance refreshKind = 1
	kindReissue refreshKind = 2
	kindRaise   refreshKind = 3
)

// lanes holds the queues in which writes wait to share a transaction. A refresh
// does not lock the head, so it does not wait behind writes that do.
type lanes struct {
	refreshes *lane[refresh]
	alone     *lane[refresh] // one by one: their rows were locked
	appends   *lane[call]
}

func newLanes(s *Store) lanes {
	return lanes{
		refreshes: &lane[refresh]{
			most: maxRefreshes, queue: make(chan *write[refresh], maxRefreshes), closed: make(chan struct{}),
			apart: func(a, b *refresh) bool { return a.ID == b.ID },
			do:    s.refreshGroup,
		},
		alone: &lane[refresh]{
			most: 1, queue: make(chan *write[refresh], maxRefreshes), closed: make(chan struct{}),
			do: func(group []*write[refresh]) { s.refreshAlone(group[0]) },
		},
		appends: &lane[call]{
			most: maxAppends, queue: make(chan *write[call], maxAppends), closed: make(chan struct{}),
			weigh: weightOf,
			do:    s.appendGroup,
		},
	}
}

func (l *lanes) run(ctx context.Context) {
	var wait sync.WaitGroup
	wait.Go(func() { l.refreshes.run(ctx, maxRefreshGroups) })
	wait.Go(func() { l.alone.run(ctx, maxLockWaits) })
	wait.Go(func() { l.appends.run(ctx, 1) })
	wait.Wait()
}

// weightOf estimates how many bytes a call sends.
func weightOf(c *call) int {
	n := 256
	for _, a := range c.args {
		switch a := a.(type) {
		case string:
			n += len(a)
		case []byte:
			n += len(a)
		case []string:
			for _, s := range a {
				n += len(s) + 4
			}
		case [][]byte:
			for _, b := range a {
				n += len(b) + 4
			}
		case []pgtype.UUID:
			n += 20 * len(a)
		}
	}
	return n
}

// appendGroup runs a group in one transaction. If the server rolls that back and
// the fault may be that of one write, appendGroup runs each write by itself.
func (s *Store) appendGroup(group []*write[call]) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
	defer cancel()
	calls := make([]call, len(group))
	for i, w := range group {
		calls[i] = w.what
		calls[i].read = func(rows pgx.Rows) error {
			_, err := scanSnapshot(rows, &w.out)
			return err
		}
		if w.what.read != nil {
			calls[i].read = w.what.read
		}
	}
	rolledBack, err := s.transact(ctx, s.pool, calls)
	if rolledBack && ownFault(err) && len(group) > 1 {
		for i := range group {
			if one := waiting(group[i : i+1]); len(one) > 0 {
				s.appendGroup(one)
			}
		}
		return
	}
	appended := false
	for _, w := range group {
		appended = appended || err == nil && (w.out.Entry != 0 || w.out.Outcome == store.Again)
	}
	if appended {
		s.notifier.Notify()
	}
	for _, w := range group {
		w.finish(err)
	}
}

// refreshGroup runs a group of refreshes in one statement, which waits for no row.
// A refresh whose row another transaction has locked is moved to the lane alone.
// If the server rolls the group back, see appendGroup.
func (s *Store) refreshGroup(group []*write[refresh]) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
	defer cancel()
	rolledBack, err := s.transact(ctx, s.pool, []call{s.refreshCall(group, false)})
	if rolledBack && ownFault(err) && len(group) > 1 {
		for i := range group {
			if one := waiting(group[i : i+1]); len(one) > 0 {
				s.refreshGroup(one)
			}
		}
		return
	}
	for _, w := range group {
		if err == nil && w.out.Outcome == outcomeBusy {
			select {
			case s.lanes.alone.queue <- w:
				continue
			case <-w.ctx.Done():
				w.finish(w.ctx.Err())
				continue
			case <-s.lanes.alone.closed:
				w.finish(errClosed)
				continue
			}
		}
		w.finish(err)
	}
}

func (s *Store) refreshAlone(w *write[refresh]) {
	ctx, cancel := context.WithTimeout(context.Background(), s.options.Timeout)
	defer cancel()
	_, err := s.transact(ctx, s.pool, []call{s.refreshCall([]*write[refresh]{w}, true)})
	if err == nil && w.out.Outcome == outcomeBusy {
		// The family was created during the statement.
		w.out.Outcome = store.Unwritten
	}
	w.finish(err)
}

func (s *Store) refreshCall(group []*write[refresh], wait bool) call {
	n := len(group)
	ids, kinds, generations, copies := make([]pgtype.UUID, n), make([]int32, n), make([]int64, n), make([]int32, n)
	natives, bases, ages := make([]bool, n), make([]int64, n), make([]int64, n)
	lags, skews, keys := make([]int32, n), make([]int64, n), make([][]byte, n)
	for i, w := range group {
		r := &w.what
		ids[i], kinds[i], generations[i], copies[i] = uuid(r.ID), int32(r.kind), int64(r.Generation), int32(r.Copy)
		natives[i], bases[i], ages[i] = r.Native, int64(r.Basis), milliseconds(r.Age)
		lags[i], skews[i], keys[i] = int32(r.Lag), r.Skew.Milliseconds(), key(r.Key)
	}
	return call{s.sql.refresh, []any{ids, kinds, generations, copies, natives, bases, ages, lags, skews, keys, wait}, func(rows pgx.Rows) error {
		var snap store.Snapshot
		i, err := scanSnapshot(rows, &snap)
		if err == nil && (i < 0 || i >= n) {
			err = fmt.Errorf("an answer for %d of %d refreshes", i, n)
		}
		if err == nil {
			group[i].out = snap
		}
		return err
	}}
}
