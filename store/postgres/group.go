package postgres

import (
	"context"
	"sync"

	"github.com/waferkit/wafer/store"
)

// lane runs the writes that are waiting in groups. It never delays a write to let
// others join.
type lane[T any] struct {
	most  int // writes in a group
	queue chan *write[T]
	// closed is closed when no further write will run.
	closed chan struct{}
	// apart reports whether two writes cannot be in one group. If it is nil, any
	// two can.
	apart func(a, b *T) bool
	weigh func(w *T) int // in bytes; if nil, a write weighs 0
	do    func(group []*write[T])
}

// write is the work of one call.
type write[T any] struct {
	ctx  context.Context
	what T
	out  store.Snapshot
	err  error
	done chan struct{}
}

func (w *write[T]) finish(err error) {
	w.err = err
	close(w.done)
}

// maxWeight bounds the bytes that a group sends, so that the kernel accepts a whole
// transaction at once. A process that was stopped while sending one would hold its
// locks. (If the network is cut, the locks last until the server gives up the
// connection: see lock_head.)
const maxWeight = 32 << 10

// submit runs a write and returns when it is durable. If the caller gives up before
// the write has begun, nothing is written. If it gives up later, the write goes on
// without it.
func (l *lane[T]) submit(ctx context.Context, what T) (store.Snapshot, error) {
	if err := ctx.Err(); err != nil {
		return store.Snapshot{}, err
	}
	w := &write[T]{ctx: ctx, what: what, done: make(chan struct{})}
	select {
	case l.queue <- w:
	case <-ctx.Done():
		return store.Snapshot{}, ctx.Err()
	case <-l.closed:
		return store.Snapshot{}, errClosed
	}
	select {
	case <-w.done:
		return w.out, w.err
	case <-ctx.Done():
		return store.Snapshot{}, ctx.Err()
	case <-l.closed:
		// The write may have been in the last group.
		select {
		case <-w.done:
			return w.out, w.err
		default:
			return store.Snapshot{}, errClosed
		}
	}
}

// run runs groups until ctx ends, one at a time for each worker.
func (l *lane[T]) run(ctx context.Context, workers int) {
	defer close(l.closed)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() { l.work(ctx) })
	}
	wait.Wait()
}

func (l *lane[T]) work(ctx context.Context) {
	var deferred []*write[T] // for the next group
	for {
		var first *write[T]
		if len(deferred) > 0 {
			first, deferred = deferred[0], deferred[1:]
		} else {
			select {
			case <-ctx.Done():
				return
			case first = <-l.queue:
			}
		}
		if ctx.Err() != nil {
			return
		}
		var group []*write[T]
		group, deferred = l.gather(first, deferred)
		if group = waiting(group); len(group) > 0 {
			l.do(group)
		}
	}
}

// waiting returns the writes whose callers still wait, and finishes the others.
func waiting[T any](group []*write[T]) []*write[T] {
	live := group[:0]
	for _, w := range group {
		if err := w.ctx.Err(); err != nil {
			w.finish(err)
			continue
		}
		live = append(live, w)
	}
	return live
}

// gather returns a group of the writes that are waiting already: earlier ones, then
// those of the queue. It returns the writes that cannot be in the group as deferred,
// in order.
func (l *lane[T]) gather(first *write[T], earlier []*write[T]) (group, deferred []*write[T]) {
	group = []*write[T]{first}
	weight := l.weight(first)
	for len(group) < l.most {
		var w *write[T]
		if len(earlier) > 0 {
			w, earlier = earlier[0], earlier[1:]
		} else if len(deferred) < l.most {
			select {
			case w = <-l.queue:
			default:
			}
		}
		if w == nil {
			break
		}
		if weight+l.weight(w) > maxWeight {
			return group, append(append(deferred, w), earlier...)
		}
		if l.collides(group, w) {
			deferred = append(deferred, w)
			continue
		}
		group, weight = append(group, w), weight+l.weight(w)
	}
	return group, append(deferred, earlier...)
}

func (l *lane[T]) weight(w *write[T]) int {
	if l.weigh == nil {
		return 0
	}
	return l.weigh(&w.what)
}

func (l *lane[T]) collides(group []*write[T], w *write[T]) bool {
	if l.apart == nil {
		return false
	}
	for _, g := range group {
		if l.apart(&g.what, &w.what) {
			return true
		}
	}
	return false
}
