package postgres

import (
	"context"
	"sync"

	"github.com/waferkit/wafer/store"
)

// lane gathers the writes that wait and has them done together; a lone one
// waits for nobody.
type lane[T any] struct {
	most  int // in a group
	queue chan *write[T]
	// closed is closed when nothing will be done any more.
	closed chan struct{}
	// apart reports whether two writes cannot be in one group. Nil: none.
	apart func(a, b *T) bool
	weigh func(w *T) int // in bytes; nil: 0
	do    func(group []*write[T])
}

// write is one caller's work.
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

// maxWeight bounds what a group sends, so that a whole transaction is in the
// kernel's hands at once: a process that is stopped in the middle of sending
// one would hold its locks. (A network that is cut then holds them until the
// server gives the connection up: see lock_head.)
const maxWeight = 32 << 10

// submit has a write done and returns when it is durable. A caller that gives
// up before its write has begun leaves nothing behind; after that the write
// goes on, and the caller does not learn of its end.
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
		// The last group may have had it.
		select {
		case <-w.done:
			return w.out, w.err
		default:
			return store.Snapshot{}, errClosed
		}
	}
}

// run does groups until ctx ends, as many at a time as there are workers.
func (l *lane[T]) run(ctx context.Context, workers int) {
	defer close(l.closed)
	var wait sync.WaitGroup
	for range workers {
		wait.Go(func() { l.work(ctx) })
	}
	wait.Wait()
}

func (l *lane[T]) work(ctx context.Context) {
	var put []*write[T] // back for the next group
	for {
		var first *write[T]
		if len(put) > 0 {
			first, put = put[0], put[1:]
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
		group, put = l.gather(first, put)
		if group = waiting(group); len(group) > 0 {
			l.do(group)
		}
	}
}

// waiting are those whose callers still wait. Of the others nothing is done.
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

// gather takes what waits already, and waits for nobody. What cannot be in the
// group is put back, in order.
func (l *lane[T]) gather(first *write[T], waiting []*write[T]) (group, put []*write[T]) {
	group = []*write[T]{first}
	weight := l.weight(first)
	for len(group) < l.most {
		var w *write[T]
		if len(waiting) > 0 {
			w, waiting = waiting[0], waiting[1:]
		} else if len(put) < l.most {
			select {
			case w = <-l.queue:
			default:
			}
		}
		if w == nil {
			break
		}
		if weight+l.weight(w) > maxWeight {
			return group, append(append(put, w), waiting...)
		}
		if l.collides(group, w) {
			put = append(put, w)
			continue
		}
		group, weight = append(group, w), weight+l.weight(w)
	}
	return group, append(put, waiting...)
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
