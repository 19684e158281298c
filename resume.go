package wafer

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/node"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// carried is the data that a refreshed session goes on with.
type carried struct {
	data  []byte         // nil: none
	basis store.Position // what it is as new as
}

// maxResume bounds how often a refresh starts again because another request
// committed in between.
const maxResume = 4

// resume refreshes a session by an authentic refresh token, and writes its two
// cookies; or, if the request asks for an upgrade, takes the session as it is.
//
// The order matters: the data is settled first, then Reload, then the
// generation is advanced. So nothing is advanced that cannot be answered.
func (s *Sessions[T]) resume(w http.ResponseWriter, r *http.Request, now time.Time, c *credentials) (*Session[T], error) {
	ctx := r.Context()
	id := store.ID(c.token.Family)
	if s.node.Ended(id) {
		// An end is final, also one that the store has not taken yet, or lost.
		s.refuse(id, string(refresh.ReasonEnded))
		return nil, ErrNoSession
	}
	from, header, err := s.settle(ctx, now, c)
	if err != nil {
		return nil, err
	}
	if upgrades(r) {
		return s.look(ctx, now, c, from)
	}
	for range maxResume {
		session := newSession[T](header, from.data)
		data, err := s.reload(ctx, session)
		if err != nil {
			return nil, err
		}
		if err := s.fits(header.Subject, data); err != nil {
			return nil, s.node.Unavailable(id, fmt.Errorf("a refresh cannot be answered: %w", err))
		}
		if _, err := s.ring.Primary(now); err != nil {
			return nil, s.node.Unavailable(id, fmt.Errorf("a refresh cannot be answered: %w", err))
		}
		res, err := s.node.Refresh(ctx, s.request(c, from))
		if err != nil {
			return nil, err
		}
		switch res.Verdict {
		case refresh.Issue:
			return s.issue(w, now, c.token, res, data)
		case refresh.Behind:
			from, err = s.committed(ctx, now, res.Snapshot)
			if err != nil {
				return nil, err
			}
			header = s.mint(now, res.Snapshot)
		default:
			return nil, s.refusal(id, res)
		}
	}
	return nil, s.node.Unavailable(id, errors.New("others keep committing to the session"))
}

func (s *Sessions[T]) request(c *credentials, from carried) refresh.Request {
	return refresh.Request{
		Family: store.ID(c.token.Family), Generation: c.token.Generation,
		Basis: from.basis, Floor: s.node.ExpiredBelow(store.ID(c.token.Family)),
	}
}

// settle finds the data that the refreshed session goes on with, and a header
// for Reload to see: the cookie's, if it carries; else the family's committed
// value; else nothing, if Reload can make it anew.
func (s *Sessions[T]) settle(ctx context.Context, now time.Time, c *credentials) (carried, codec.Session, error) {
	if c.hasCookie && refresh.Carries(c.cookie, c.token) {
		return carried{c.content.Data(), store.Position(c.cookie.Position)}, c.cookie, nil
	}
	// What data there is does not matter yet: is the token good at all?
	id := store.ID(c.token.Family)
	res, err := s.node.Look(ctx, s.request(c, carried{basis: store.MaxPosition}))
	if err != nil {
		return carried{}, codec.Session{}, err
	}
	if res.Verdict != refresh.Issue && res.Reason != refresh.ReasonUpgrade {
		return carried{}, codec.Session{}, s.refusal(id, res)
	}
	header := s.mint(now, res.Snapshot)
	switch {
	case res.Snapshot.Family.LastCommit != 0:
		from, err := s.committed(ctx, now, res.Snapshot)
		return from, header, err
	case s.config.Reload != nil:
		return carried{}, header, nil
	}
	s.refuse(id, "the session's data is lost: no cookie carries it, none was committed, and there is no Reload")
	return carried{}, codec.Session{}, ErrNoSession
}

// committed opens a family's committed value.
func (s *Sessions[T]) committed(ctx context.Context, now time.Time, snap store.Snapshot) (carried, error) {
	f := &snap.Family
	data, err := s.commits.Open(ctx, now, codec.ID(f.ID), f.Value)
	if err == nil {
		return carried{data, f.LastCommit}, nil
	}
	s.config.Observe(Event{Kind: KindAlarm, Session: f.ID, Reason: "the committed value does not open", Err: err})
	if s.config.Reload != nil {
		return carried{basis: f.LastCommit}, nil
	}
	return carried{}, ErrNoSession
}

// reload calls the application's Reload, if there is one, and returns the data
// to seal.
func (s *Sessions[T]) reload(ctx context.Context, session *Session[T]) ([]byte, error) {
	if s.config.Reload == nil {
		return session.encoded(), nil
	}
	data, err := s.config.Reload(ctx, session)
	if errors.Is(err, ErrEnded) {
		if err := s.node.End(ctx, session.Position(), "ended by Reload", session.Subject, session.ID); err != nil {
			return nil, err
		}
		return nil, ErrNoSession
	}
	if err != nil {
		return nil, s.node.Outage(session.id(), fmt.Errorf("wafer: Config.Reload: %w", err))
	}
	b, err := codec.MarshalData(data)
	if err != nil {
		return nil, s.node.Unavailable(session.ID, err)
	}
	return b, nil
}

// issue writes the cookies of a family as the snapshot has it. A token that is
// the one presented is not written again: the browser has it, its deadline has
// not moved, and an answer that comes late would put it back over a newer one
// and make an honest browser look like a thief.
func (s *Sessions[T]) issue(w http.ResponseWriter, now time.Time, presented codec.RefreshToken, res refresh.Result, data []byte) (*Session[T], error) {
	header := s.mint(now, res.Snapshot)
	if err := s.write(w, now, res.Snapshot.Now, &header, data, header.Generation != presented.Generation); err != nil {
		return nil, s.node.Unavailable(res.Snapshot.Family.ID, err)
	}
	reason := "the same generation"
	switch {
	case res.Advanced:
		reason = "advanced"
	case res.Forgiven:
		reason = "a lost answer was forgiven"
	}
	s.config.Observe(Event{Kind: KindRefreshed, Session: res.Snapshot.Family.ID, Reason: reason})
	return newSession[T](header, data), nil
}

// look takes the session of a request that cannot carry an answer.
func (s *Sessions[T]) look(ctx context.Context, now time.Time, c *credentials, from carried) (*Session[T], error) {
	id := store.ID(c.token.Family)
	res, err := s.node.Look(ctx, s.request(c, from))
	if err != nil {
		return nil, err
	}
	if res.Verdict == refresh.Behind {
		if from, err = s.committed(ctx, now, res.Snapshot); err != nil {
			return nil, err
		}
	} else if res.Verdict != refresh.Issue {
		return nil, s.refusal(id, res)
	}
	if s.node.Dead(&res.Snapshot.Family) {
		res.Verdict, res.Reason = refresh.Refuse, node.ReasonLost
		return nil, s.refusal(id, res)
	}
	header := s.mint(now, res.Snapshot)
	data, err := s.reload(ctx, newSession[T](header, from.data))
	if err != nil {
		return nil, err
	}
	return newSession[T](header, data), nil
}

// refusal reports why a refresh token was refused. The client learns nothing
// of it.
func (s *Sessions[T]) refusal(id store.ID, res refresh.Result) error {
	e := Event{Kind: KindRefused, Session: id, Reason: string(res.Reason)}
	switch res.Verdict {
	case refresh.Replay:
		e.Kind, e.Position = KindReplayed, res.Entry
	case refresh.Ahead:
		e.Kind = KindAlarm
	}
	if res.Reason == node.ReasonLost {
		e.Kind = KindAlarm
	}
	s.config.Observe(e)
	return ErrNoSession
}

// write seals a session and writes its cookie, and its refresh token where the
// generation is new to the browser. The cookies' Max-Age counts from a time by
// the clock that set the deadline, the engine's: a node whose own is ahead must
// not have the browser drop them.
func (s *Sessions[T]) write(w http.ResponseWriter, now, from time.Time, header *codec.Session, data []byte, withToken bool) error {
	value, err := s.cookies.Seal(now, header, data)
	if err != nil {
		return err
	}
	deadline := header.Deadline()
	if withToken {
		token, err := s.tokens.Mint(now, codec.RefreshToken{Family: header.ID, Generation: header.Generation})
		if err != nil {
			return err
		}
		s.setCookie(w, s.config.RefreshCookie, token, from, deadline)
	}
	s.setCookie(w, s.config.SessionCookie, value, from, deadline)
	return nil
}
