package storetest

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
)

// promptly is the time after the commit in which a waiting Since must return.
// It is far less than the minute for which Since waits, and far more than a
// busy machine needs.
const promptly = 20 * time.Second

// sinceResult is the result of a waiting Since, and its time.
type sinceResult struct {
	store.Batch
	err error
	at  time.Time
}

// follow calls Since in the background and gives it time to begin waiting.
func (h *harness) follow(ctx context.Context, after store.Cursor, wait time.Duration) <-chan sinceResult {
	done := make(chan sinceResult, 1)
	go func() {
		b, err := h.Since(ctx, after, 10, wait)
		done <- sinceResult{b, err, time.Now()}
	}()
	time.Sleep(30 * time.Millisecond)
	return done
}

// wantEntryAt waits for the result and checks that its first entry is at p.
func (h *harness) wantEntryAt(done <-chan sinceResult, p store.Position) {
	h.t.Helper()
	select {
	case a := <-done:
		if a.err != nil || len(a.Entries) == 0 || a.Entries[0].Position != p {
			h.t.Errorf("%+v: want entry %d first", a, p)
		}
	case <-time.After(promptly):
		h.t.Errorf("no answer %v after entry %d", promptly, p)
	}
}

var waiting = []property{
	{name: "WhatIsThereIsReturnedAtOnce", test: func(h *harness) {
		h.wantEntryAt(h.follow(h.ctx, h.headCursor(), time.Minute), h.appendUnrelated())
		began := time.Now()
		if b, err := h.Since(h.ctx, store.Cursor{}, 1, time.Minute); err != nil || len(b.Entries) != 1 || time.Since(began) > promptly {
			h.t.Errorf("%d entries after %v, %v", len(b.Entries), time.Since(began), err)
		}
	}},
	{name: "EveryKindOfNewsWakes", test: func(h *harness) {
		f, old, replaced := h.family("anna"), h.family("anna"), h.family("anna")
		for _, write := range []func() store.Position{
			func() store.Position { return h.end(f.ID) },
			func() store.Position { return h.appendUnrelated() },
			func() store.Position { return h.revokeSubject("bob") },
			func() store.Position { return h.written(h.Commit(h.ctx, keep(old, "value"))).Entry },
			func() store.Position { return h.written(h.Create(h.ctx, renewal(h.look(old.ID).Family))).Entry },
			func() store.Position {
				c := login("anna")
				c.Ends = [2]store.ID{replaced.ID}
				return h.written(h.Create(h.ctx, c)).Entry
			},
			func() store.Position { return h.revoke(revokeName("n")) },
			func() store.Position { return h.revokeEveryone() },
		} {
			done := h.follow(h.ctx, h.headCursor(), time.Minute)
			h.wantEntryAt(done, write())
		}
	}},
	{name: "EveryoneWhoWaitsWakes", test: func(h *harness) {
		var all []<-chan sinceResult
		head := h.headCursor()
		for range 30 {
			done := make(chan sinceResult, 1)
			go func() {
				b, err := h.Since(h.ctx, head, 10, time.Minute)
				done <- sinceResult{b, err, time.Now()}
			}()
			all = append(all, done)
		}
		time.Sleep(50 * time.Millisecond)
		p := h.appendUnrelated()
		for _, done := range all {
			h.wantEntryAt(done, p)
		}
	}},
	{name: "NoNewsIsLostBetweenTwoCalls", test: func(h *harness) {
		// Entries are appended before, while and after each of many followers
		// starts to wait again. No entry follows the last one of a burst, so a
		// follower that was not woken by it is noticed.
		const followers = 8
		var read [followers]atomic.Uint64
		ctx, cancel := context.WithCancel(h.ctx)
		var done sync.WaitGroup
		defer done.Wait()
		defer cancel()
		after := h.headCursor()
		for i := range followers {
			done.Go(func() {
				for after := after; ; {
					b, err := h.Since(ctx, after, 10, time.Minute)
					if ctx.Err() != nil {
						return
					}
					if err != nil || len(b.Entries) == 0 {
						h.t.Errorf("Since: %d entries, %v", len(b.Entries), err)
						return
					}
					after = at(b.Entries[len(b.Entries)-1])
					read[i].Store(uint64(after.Position))
				}
			})
		}
		began := time.Now()
		for burst := 0; burst < 20 || rounds.Full() && time.Since(began) < time.Second; burst++ {
			var last store.Position
			for range 1 + burst%4 {
				last = h.appendUnrelated()
			}
			written := time.Now()
			for i := range read {
				for read[i].Load() < uint64(last) {
					if time.Since(written) > promptly {
						h.t.Fatalf("a follower has read up to %d, %v after entry %d", read[i].Load(), promptly, last)
					}
					runtime.Gosched()
				}
			}
		}
	}},
	{name: "WithoutNewsItLastsAsLongAsAsked", test: func(h *harness) {
		head := h.headCursor()
		const wait = 200 * time.Millisecond
		began := time.Now()
		b, err := h.Since(h.ctx, head, 10, wait)
		took := time.Since(began)
		if err != nil || len(b.Entries) != 0 || b.More || b.Head != head.Position {
			h.t.Errorf("%+v, %v: want an empty batch, head %d", b, err, head.Position)
		}
		if took < wait*3/4 || took > wait+promptly {
			h.t.Errorf("it took %v: want %v", took, wait)
		}
		began = time.Now()
		if _, err := h.Since(h.ctx, head, 10, 0); err != nil || time.Since(began) > promptly {
			h.t.Errorf("without a wait it took %v, %v", time.Since(began), err)
		}
	}},
	{name: "TheEndOfTheContextEndsIt", test: func(h *harness) {
		ctx, cancel := context.WithCancel(h.ctx)
		done := h.follow(ctx, h.headCursor(), time.Minute)
		cancel()
		select {
		case a := <-done:
			if a.err != nil && !errors.Is(a.err, context.Canceled) || len(a.Entries) != 0 {
				h.t.Errorf("%+v: want the context's error or an empty batch", a)
			}
		case <-time.After(promptly):
			h.t.Errorf("still waiting %v after the context ended", promptly)
		}
		h.wantEntryAt(h.follow(h.ctx, h.headCursor(), time.Minute), h.appendUnrelated())
	}},
	{name: "WaitingHoldsNobodyUp", test: func(h *harness) {
		ctx, cancel := context.WithCancel(h.ctx)
		defer cancel()
		head := h.headCursor()
		for range 20 {
			go h.Store.Since(ctx, head, 10, time.Minute)
		}
		time.Sleep(20 * time.Millisecond)
		began := time.Now()
		f := h.family("anna")
		for range 5 {
			f = h.written(h.Advance(h.ctx, next(f))).Family
		}
		h.end(f.ID)
		if took := time.Since(began); took > promptly {
			h.t.Errorf("seven writes took %v", took)
		}
	}},
}
