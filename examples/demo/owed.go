package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/waferkit/wafer"
)

// owed are the users whose sessions are still to be ended: their password was
// changed, and the store did not take the revocation. It is tried until the
// store takes it. (A real shop writes such a debt into its database, in the
// transaction that changes the password.)
type owed struct {
	revoke func(ctx context.Context, r wafer.Revocation) error
	every  time.Duration

	mu       sync.Mutex
	subjects map[string]bool // at most one for each user

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

func newOwed(sessions *wafer.Sessions[basket]) *owed {
	ctx, stop := context.WithCancel(context.Background())
	o := &owed{
		revoke: func(ctx context.Context, r wafer.Revocation) error {
			_, err := sessions.Revoke(ctx, r)
			return err
		},
		every:    time.Second,
		subjects: make(map[string]bool), wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{}),
	}
	go o.run(ctx)
	return o
}

// close gives up. What is still owed then is logged.
func (o *owed) close() {
	o.stop()
	<-o.done
	for subject := range o.subjects {
		slog.Error("sessions from before a password change may live on until their limits", "subject", subject)
	}
}

func (o *owed) add(subject string) {
	o.mu.Lock()
	o.subjects[subject] = true
	o.mu.Unlock()
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

func (o *owed) run(ctx context.Context) {
	defer close(o.done)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-o.wake:
		}
		for !o.settle(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(o.every):
			}
		}
	}
}

// settle reports whether nothing is owed any more.
func (o *owed) settle(ctx context.Context) bool {
	o.mu.Lock()
	subjects := make([]string, 0, len(o.subjects))
	for subject := range o.subjects {
		subjects = append(subjects, subject)
	}
	o.mu.Unlock()
	if len(subjects) == 0 {
		return true
	}
	if err := o.revoke(ctx, wafer.Revocation{Subjects: subjects, Reason: "password changed"}); err != nil {
		return false
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, subject := range subjects {
		delete(o.subjects, subject)
	}
	return len(o.subjects) == 0
}
