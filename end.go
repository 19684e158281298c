package wafer

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/waferkit/wafer/store"
)

// End is logout: it deletes the cookies in the browser, refuses the session on
// this node at once, and ends it in the store. It finds the session by either
// cookie, expired or not, and needs none. An error matches [ErrUnavailable] and
// says that the store did not take it: the logout is in force on this node and
// is tried again until the store takes it, but the answer should be 503.
func (s *Sessions[T]) End(w http.ResponseWriter, r *http.Request) error {
	a, done := s.changing(r.Context())
	defer done()
	if a != nil && a.bearer.load() != noBearer {
		return s.endBearer(r.Context(), a)
	}
	now := s.config.Now()
	c := s.read(r.Context(), now, r.Header)
	named := c.families()
	ids, at, actor := named[:], c.position(), c.cookie.Subject
	if a != nil {
		// The session that this request began or renewed is in no cookie yet.
		if current := a.current.Swap(nil); current != nil {
			ids, at, actor = append(ids, current.id()), max(at, current.Position()), current.header().Subject
		}
		a.over.Store(true)
	}
	s.setCookie(w, s.config.SessionCookie, "", now, time.Time{})
	s.setCookie(w, s.config.RefreshCookie, "", now, time.Time{})
	slices.SortFunc(ids, func(a, b store.ID) int { return slices.Compare(a[:], b[:]) })
	ids = slices.DeleteFunc(slices.Compact(ids), store.ID.IsZero)
	if len(ids) == 0 {
		return nil
	}
	return s.end(r.Context(), at, "logout", actor, ids...)
}

// endBearer ends the session of an access token, and looks at no cookie.
// A token that is not good names no session: then it returns why. In an outage
// an authentic one does.
func (s *Sessions[T]) endBearer(ctx context.Context, a *attachment[T]) error {
	current := a.current.Swap(nil)
	over := a.over.Swap(true)
	switch t := a.unsure; {
	case current != nil:
		return s.end(ctx, current.Position(), "logout", current.header().Subject, current.id())
	case over:
		return nil // ended before, in this request
	case t != nil:
		return s.end(ctx, store.Position(t.Position), "logout", t.Subject, store.ID(t.Session))
	}
	return a.none
}

// untaken is how far above all that this node knows a session is refused
// whose end the store has not yet taken. Other nodes may have minted newer
// cookies for it; positions are at least as far apart as microseconds, so this
// covers those of an hour.
const untaken = store.Position(time.Hour / time.Microsecond)

// end ends sessions: here at once, in the store now or later.
func (s *Sessions[T]) end(ctx context.Context, at store.Position, reason, actor string, ids ...store.ID) error {
	r := store.Revocation{Sessions: ids, Above: s.above(at), Reason: reason, Actor: actor}
	mark := func(at store.Position) {
		for _, id := range ids {
			s.refuseHere(id, at)
		}
	}
	mark(r.Above + 1)
	ctx, cancel := s.detached(ctx)
	defer cancel()
	snap, err := s.store.Revoke(ctx, r)
	if err != nil {
		mark(r.Above + untaken)
		s.ender.add(r)
		return s.unavailable(ids[0], err)
	}
	s.replica.Learn(snap.Head)
	mark(snap.Entry)
	for _, id := range ids {
		s.config.Observe(Event{Kind: KindEnded, Session: id, Reason: reason, Position: snap.Entry})
	}
	return nil
}

// refuseHere refuses a session's cookies below a position on this node, before
// the log brings the entry.
func (s *Sessions[T]) refuseHere(id store.ID, at store.Position) {
	if !id.IsZero() && at != 0 {
		s.replica.Apply(store.Entry{Kind: store.KindSession, Session: id, Position: at})
	}
}

// EndOthers is "log out everywhere else": it revokes every session of the
// subject but this one, and re-issues this session's cookie.
//
// Errors: [ErrEnded] if this session is itself dead by now, as when a thief was
// faster: the others are revoked all the same; [ErrConflict] if it was
// committed since this request's cookie, and nothing was revoked; [ErrExpired]
// in an upgrade; [ErrNoSession]; [ErrUnavailable].
func (s *Sessions[T]) EndOthers(w http.ResponseWriter, r *http.Request) error {
	a, current, done, err := s.change(r.Context())
	if err != nil {
		return err
	}
	defer done()
	ctx, cancel := s.detached(r.Context())
	defer cancel()
	snap, err := s.store.Revoke(ctx, store.Revocation{
		Subjects: []string{current.header().Subject},
		Except:   &store.Rebirth{ID: current.id(), Basis: current.Position()},
		Above:    s.above(current.Position()), Reason: "logged out everywhere else", Actor: current.header().Subject,
	})
	if err != nil {
		return s.unavailable(current.id(), err)
	}
	s.replica.Learn(snap.Head)
	if snap.Outcome == store.Behind {
		return ErrConflict
	}
	s.replica.Apply(store.Entry{Kind: store.KindSubject, Subject: current.header().Subject, Position: snap.Entry})
	s.config.Observe(Event{Kind: KindRevoked, Session: current.id(), Reason: "logged out everywhere else", Position: snap.Entry})
	if snap.State != store.Alive || snap.Family.Birth != snap.Entry {
		return ErrEnded
	}
	return s.rewriteAt(w, a, snap, current.header(), current.encoded())
}

// Revocation says whose sessions to end. The zero value names nobody and is an
// error.
type Revocation struct {
	Sessions []store.ID
	Subjects []string
	Everyone bool
	// Reason and Actor are kept with the revocation, for an audit: at most 255
	// bytes each.
	Reason, Actor string
}

// Revoke ends the sessions it names: at once on this node, at most
// [Config.MaxStaleness] later on every other, and for good. It returns the
// position from which [Sessions.WaitFor] waits. An error means that a part may
// have been revoked; revoking again does no harm.
func (s *Sessions[T]) Revoke(ctx context.Context, r Revocation) (store.Position, error) {
	if len(r.Sessions)+len(r.Subjects) == 0 && !r.Everyone {
		return 0, fmt.Errorf("wafer: Revoke: %w: it names no session, no subject and not everyone", store.ErrArgument)
	}
	var last store.Position
	for len(r.Sessions)+len(r.Subjects) > 0 || r.Everyone {
		part := store.Revocation{Above: s.above(last), Reason: r.Reason, Actor: r.Actor}
		n := min(len(r.Sessions), store.MaxEntries)
		part.Sessions, r.Sessions = r.Sessions[:n], r.Sessions[n:]
		n = min(len(r.Subjects), store.MaxEntries-n)
		part.Subjects, r.Subjects = r.Subjects[:n], r.Subjects[n:]
		if len(part.Sessions)+len(part.Subjects) < store.MaxEntries {
			part.Everyone, r.Everyone = r.Everyone, false
		}
		at, err := s.revoke(ctx, part)
		if err != nil {
			return last, err
		}
		last = max(last, at)
	}
	return last, nil
}

func (s *Sessions[T]) revoke(ctx context.Context, r store.Revocation) (store.Position, error) {
	if err := r.Check(); err != nil {
		return 0, fmt.Errorf("wafer: Revoke: %w", err)
	}
	ctx, cancel := s.detached(ctx)
	defer cancel()
	snap, err := s.store.Revoke(ctx, r)
	if err != nil {
		return 0, s.unavailable(store.ID{}, err)
	}
	s.replica.Learn(snap.Head)
	for _, id := range r.Sessions {
		s.refuseHere(id, snap.Entry)
	}
	s.applyOwn(ctx, r, snap.Entry)
	s.config.Observe(Event{Kind: KindRevoked, Reason: r.Reason, Position: snap.Entry})
	return snap.Entry, nil
}

// applyOwn puts the subjects and everyone of a revocation in force here, whose
// last entry is at last. The entries of one call have consecutive positions:
// sessions, subjects, everyone.
func (s *Sessions[T]) applyOwn(ctx context.Context, r store.Revocation, last store.Position) {
	if r.Everyone {
		// It may follow the revocation of a key.
		if err := s.ring.Reload(ctx); err != nil {
			s.config.Observe(Event{Kind: KindAlarm, Reason: "everyone is revoked, and the ring could not be reloaded", Err: err})
		}
		s.replica.Apply(store.Entry{Kind: store.KindEveryone, Position: last})
		last--
	}
	entries := make([]store.Entry, len(r.Subjects))
	for i := range entries {
		entries[i] = store.Entry{Kind: store.KindSubject, Subject: r.Subjects[i], Position: last - store.Position(len(entries)-1-i)}
	}
	s.replica.Apply(entries...)
}

// WaitFor returns when this node has applied every revocation up to a
// position. Every other node has, MaxStaleness after it was returned.
func (s *Sessions[T]) WaitFor(ctx context.Context, p store.Position) error {
	if err := s.replica.WaitFor(ctx, p); err != nil {
		return fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return nil
}

// Devices returns the living sessions of a subject, those started last first,
// at most 1,000.
func (s *Sessions[T]) Devices(ctx context.Context, subject string) ([]Device, error) {
	ctx, cancel := s.detached(ctx)
	defer cancel()
	families, err := s.store.Families(ctx, subject, store.MaxListed)
	if err != nil {
		return nil, s.unavailable(store.ID{}, err)
	}
	devices := make([]Device, len(families))
	for i, f := range families {
		devices[i] = Device{
			ID: f.ID, Label: f.Label, Native: f.Native,
			Started: f.Started, Authenticated: f.Authenticated, Seen: f.Issued,
		}
	}
	return devices, nil
}
