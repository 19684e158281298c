package wafer

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/hidden"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// Issue begins a session of a native client. It returns a refresh token and an
// access token for [TokenConfig.Audience]; there are no cookies and no T. Call it
// after you have checked the credentials. It takes the options of [Sessions.Start].
// The client refreshes at POST refresh of [Sessions.Endpoints]. Only native
// clients' refresh tokens are accepted there, and they are accepted nowhere else.
//
// Errors: [ErrNotBefore], [ErrLimit], [ErrUnavailable], [ErrEnded] if
// [TokenConfig.Claims] returned it; any other is a mistake in the arguments or an
// error of Claims.
func (s *Sessions[T]) Issue(ctx context.Context, subject string, options ...StartOption) (*TokenPair, error) {
	if s.config.Tokens == nil {
		return nil, errNoTokens
	}
	creation, err := s.creation(subject, options)
	if err != nil {
		return nil, err
	}
	creation.Native = true
	now := s.config.Now()
	// A trial run first: it must not leave a session behind for which no token
	// can be minted.
	planned := newSession[T](codec.Session{
		ID: codec.ID(creation.ID), Subject: codec.Hide(subject), Position: 1, Started: now, Authenticated: now, Issued: now,
		Idle: now.Add(creation.Idle), Absolute: now.Add(creation.Absolute),
		Actor: codec.Hide(creation.Actor), Methods: codec.Hide(creation.Methods), Level: codec.Hide(creation.Level),
	}, nil)
	claims, err := s.claims(ctx, planned)
	if err != nil {
		return nil, err
	}
	if _, err := s.mintAccess(now, planned, s.config.Tokens.Audience, claims); err != nil {
		return nil, err
	}
	snap, err := s.node.Start(ctx, creation)
	if err != nil {
		return nil, err
	}
	s.config.Observe(Event{Kind: KindStarted, Session: creation.ID, Reason: "native client", Position: snap.Entry})
	return s.pair(now, snap, refresh.Newest(&snap.Family), s.config.Tokens.Audience, claims)
}

// pair mints an access token of a native family, and the refresh token given.
func (s *Sessions[T]) pair(now time.Time, snap store.Snapshot, token codec.RefreshToken, audience string, claims TokenClaims) (*TokenPair, error) {
	p, err := s.mintAccess(now, newSession[T](s.mint(now, snap), nil), audience, claims)
	if err != nil {
		return nil, s.unavailableUnless(ErrNoSession, snap.Family.ID, err)
	}
	refreshToken, err := s.refreshTokens.Mint(now, token)
	if err != nil {
		return nil, s.node.Unavailable(snap.Family.ID, err)
	}
	p.refresh = hidden.HideText(refreshToken)
	return p, nil
}

// unavailableUnless reports an outage unless err matches expected.
func (s *Sessions[T]) unavailableUnless(expected error, id store.ID, err error) error {
	if errors.Is(err, expected) {
		return err
	}
	return s.node.Unavailable(id, err)
}

// refreshNative refreshes a native client's session. The error matches ErrNoSession
// or ErrUnavailable.
func (s *Sessions[T]) refreshNative(ctx context.Context, text, audience string) (*TokenPair, error) {
	now := s.config.Now()
	token, err := s.refreshTokens.Parse(ctx, now, text)
	if err != nil {
		s.config.Observe(Event{Kind: KindRefused, Reason: "refresh token not authentic", Err: err})
		return nil, ErrNoSession
	}
	id := store.ID(token.Family)
	if s.node.Ended(id) {
		observer(s.config.Observe).Refused(id, string(refresh.ReasonEnded), nil)
		return nil, ErrNoSession
	}
	q := refresh.Request{
		Family: id, Generation: token.Generation, Copy: token.Copy, Native: true,
		Basis: store.MaxPosition, // native clients have no data that could be out of date
		Floor: s.node.ExpiredBelow(id),
	}
	claims, err := s.plan(ctx, now, q, audience)
	if err != nil {
		return nil, err
	}
	res, err := s.node.Refresh(ctx, q)
	if err != nil {
		return nil, err
	}
	if res.Verdict != refresh.Issue {
		return nil, s.resumer.Refuse(id, res)
	}
	s.config.Observe(Event{Kind: KindRefreshed, Session: id, Reason: "native client", Lost: int(res.Snapshot.Family.Copy)})
	return s.pair(now, res.Snapshot, res.Answer(token), audience, claims)
}

// plan mints on trial what a refresh is going to mint. So no family is advanced
// whose answer cannot be minted.
func (s *Sessions[T]) plan(ctx context.Context, now time.Time, q refresh.Request, audience string) (TokenClaims, error) {
	if s.config.Tokens.Claims == nil {
		if _, err := s.ring.Primary(now); err != nil {
			return TokenClaims{}, s.node.Unavailable(q.Family, fmt.Errorf("a refresh cannot be answered: %w", err))
		}
		return TokenClaims{}, nil
	}
	res, err := s.node.Look(ctx, q)
	if err != nil {
		return TokenClaims{}, err
	}
	if res.Verdict != refresh.Issue {
		return TokenClaims{}, s.resumer.Refuse(q.Family, res)
	}
	// The advance will set the idle time to now, by the engine's clock.
	planned := res.Snapshot
	planned.Family.Issued = planned.Now
	session := newSession[T](s.mint(now, planned), nil)
	claims, err := s.claimsOf(ctx, session)
	if err != nil {
		return TokenClaims{}, err
	}
	if _, err := s.mintAccess(now, session, audience, claims); err != nil {
		return TokenClaims{}, s.unavailableUnless(ErrNoSession, q.Family, err)
	}
	return claims, nil
}
