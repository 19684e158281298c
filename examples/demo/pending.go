package main

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"github.com/waferkit/wafer"
)

// pendingRevocations holds the users whose sessions must still be ended: their
// password was changed, but the store did not accept the revocation. It retries
// until the store does. (A real shop writes such a task into its database, in
// the transaction that changes the password.)
type pendingRevocations struct {
	revoke func(ctx context.Context, r wafer.Revocation) error
	every  time.Duration

	mu       sync.Mutex
	subjects map[string]bool // at most one entry for each user

	wake chan struct{}
	stop context.CancelFunc
	done chan struct{}
}

func newPendingRevocations(sessions *wafer.Sessions[basket]) *pendingRevocations {
	ctx, stop := context.WithCancel(context.Background())
	p := &pendingRevocations{
		revoke: func(ctx context.Context, r wafer.Revocation) error {
			_, err := sessions.Revoke(ctx, r)
			return err
		},
		every:    time.Second,
		subjects: make(map[string]bool), wake: make(chan struct{}, 1), stop: stop, done: make(chan struct{}),
	}
	go p.run(ctx)
	return p
}

// close gives up. It logs the users that are left.
func (p *pendingRevocations) close() {
	p.stop()
	<-p.done
	for subject := range p.subjects {
		slog.Error("sessions from before a password change may live on until their limits", "subject", subject)
	}
}

func (p *pendingRevocations) add(subject string) {
	p.mu.Lock()
	p.subjects[subject] = true
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

func (p *pendingRevocations) run(ctx context.Context) {
	defer close(p.done)
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		}
		for !p.settle(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(p.every):
			}
		}
	}
}

// settle revokes the sessions of the users, and reports whether none is left.
func (p *pendingRevocations) settle(ctx context.Context) bool {
	p.mu.Lock()
	subjects := make([]string, 0, len(p.subjects))
	for subject := range p.subjects {
		subjects = append(subjects, subject)
	}
	p.mu.Unlock()
	if len(subjects) == 0 {
		return true
	}
	if err := p.revoke(ctx, wafer.Revocation{Subjects: subjects, Reason: "password changed"}); err != nil {
		return false
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, subject := range subjects {
		delete(p.subjects, subject)
	}
	return len(p.subjects) == 0
}
