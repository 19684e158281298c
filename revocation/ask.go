package revocation

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer/internal/clock"
	"github.com/waferkit/wafer/internal/flight"
	"github.com/waferkit/wafer/store"
)

// maxAsking bounds how many questions to the store are under way at once.
const maxAsking = 64

// asker asks the store about single sessions. Callers that ask for one session
// share one question.
type asker struct {
	source  Source
	timeout time.Duration
	oldest  time.Duration // an answer that took longer is none
	now     func() time.Time
	turns   atomic.Uint64
	take    func(context.Context, question, answer) error // sees an answer before its askers; nil: nobody
	// writeBack gives the store back what it has lost; nil: that is not done
	// here.
	writeBack func(ctx context.Context, q question, own, said store.Cutoffs) error
	flights   flight.Group[question, answer]
	slots     chan struct{}
}

// question is one that is under way to the store, for all who ask it.
type question struct {
	session store.ID
	subject string
}

// answer is what the store said, as of the moment it was asked.
type answer struct {
	store.Cutoffs
	sent time.Time
	turn uint64 // counts the questions in the order in which they are sent, from 1
}

func newAsker(source Source, c Config) *asker {
	return &asker{
		source: source, timeout: c.Timeout, oldest: c.MaxStaleness, now: c.Now,
		slots: make(chan struct{}, maxAsking),
	}
}

// ask returns the store's answer. began is false where the question had been
// sent before the call.
func (a *asker) ask(ctx context.Context, q question) (said answer, began bool, err error) {
	said, err = a.flights.Do(ctx, q, func() (answer, error) {
		began = true
		return a.question(ctx, q)
	})
	return said, began, err
}

func (a *asker) question(ctx context.Context, q question) (answer, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
	defer cancel()
	select {
	case a.slots <- struct{}{}:
		defer func() { <-a.slots }()
	case <-ctx.Done():
		return answer{}, fmt.Errorf("revocation: %d questions to the store are under way already: %w", maxAsking, ctx.Err())
	}
	said := answer{sent: a.now(), turn: a.turns.Add(1)}
	var err error
	said.Cutoffs, err = a.source.Cutoffs(ctx, q.session, q.subject)
	if err == nil && a.take != nil {
		err = a.take(ctx, q, said)
	}
	if err == nil && clock.Elapsed(said.sent, a.now()) > a.oldest {
		err = errors.New("revocation: the store's answer is older than MaxStaleness; was the process paused?")
	}
	return said, err
}

// judge asks the store and judges a token by its answer and by what is held
// here. An answer to a question up to turn void is none. Ahead means that the
// store itself does not know the position.
func (a *asker) judge(ctx context.Context, q question, at store.Position, void uint64, held func() store.Cutoffs) (Verdict, error) {
	for turn := 0; ; turn++ {
		said, began, err := a.ask(ctx, q)
		if err != nil {
			return Unconfirmed, err
		}
		if said.turn <= void {
			continue // it was under way already; the next one is not
		}
		own := held()
		if lostOf(own, said.Cutoffs) {
			if turn == 0 && a.writeBack != nil && a.writeBack(ctx, q, own, said.Cutoffs) == nil {
				continue
			}
			return Revoked, nil
		}
		// A question that was under way already may have been answered before
		// the token was minted; only one sent after seeing it can say that the
		// store does not know its position.
		if v := Judge(join(own, said.Cutoffs), at); v != Ahead || began || turn == 1 {
			return v, nil
		}
	}
}

// join returns the higher of both cutoffs. The head is the second's.
func join(own, said store.Cutoffs) store.Cutoffs {
	said.Ending = max(said.Ending, own.Ending)
	said.Superseding = max(said.Superseding, own.Superseding)
	said.Subject = max(said.Subject, own.Subject)
	said.Everyone = max(said.Everyone, own.Everyone)
	said.Floor = max(said.Floor, own.Floor)
	return said
}

// lostOf reports whether the store's answer lacks what is held here, though its
// log goes that far and has not dropped it: the store has lost it. Whatever the
// store now says of that session is then from a past in which it was not yet
// revoked, so what is held counts as above every position.
func lostOf(own, said store.Cutoffs) bool {
	return lostOne(own.Everyone, 0, own, said) || lostOne(own.Subject, said.Subject, own, said) || lostOne(own.Ending, said.Ending, own, said)
}

// lostOne is lostOf of one cutoff that is held and what the store has of it.
func lostOne(held, has store.Position, own, said store.Cutoffs) bool {
	return held > max(own.Floor, said.Floor) && held <= said.Head && held > max(has, said.Everyone)
}
