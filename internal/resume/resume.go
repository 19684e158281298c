// Package resume continues a session by its refresh token: it settles which data
// the session goes on with, advances the family, and returns what to write. It
// writes no response and does not know HTTP.
package resume

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/node"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// Node is the part of a node that a Resumer uses.
type Node interface {
	Refresh(ctx context.Context, q refresh.Request) (refresh.Result, error)
	Look(ctx context.Context, q refresh.Request) (refresh.Result, error)
	End(ctx context.Context, reason, actor string, ids ...store.ID) error
	Ended(session store.ID) bool
	Dead(f *store.Family) bool
	ExpiredBelow(session store.ID) store.Position
	Unavailable(id store.ID, err error) error
	Outage(id store.ID, err error) error
}

// Observer receives what operators should know.
type Observer interface {
	Refused(session store.ID, reason string, err error)
	Replayed(session store.ID, reason string, at store.Position, lost int)
	Alarm(session store.ID, at store.Position, reason string, err error)
}

// Resumer continues sessions. Set its fields before the first use; it is then
// safe for concurrent use.
type Resumer struct {
	Node    Node
	Ring    *keyring.Ring
	Commits *codec.Commits
	// Mint returns the header of a session cookie for a family.
	Mint func(now time.Time, snap store.Snapshot) codec.Session
	// Fits returns an error if a browser would not keep the session cookie.
	Fits func(h *codec.Session, data []byte) error
	// Reload reads the application's data again and returns its encoding. An
	// error that wraps sentinel.ErrEnded ends the session; any other is an
	// outage. Nil keeps the data.
	Reload   func(ctx context.Context, header codec.Session, data []byte) ([]byte, error)
	Observer Observer
}

// Session is a session to write into cookies.
type Session struct {
	Header codec.Session
	Data   []byte // in CBOR; nil if there is none
	// Token is the refresh token to write. It is zero if the browser has it.
	Token codec.RefreshToken
	// At is the engine's time, which the deadlines count from.
	At time.Time
	// How says how the session was refreshed, and Lost how many of its answers
	// were lost since its last advance, for operators.
	How  string
	Lost int
}

// source is the data that a session continues with.
type source struct {
	data     []byte         // nil if there is none
	position store.Position // up to which the data includes what was committed
	carried  uint32         // the generation of the session cookie that it is of, or 0
}

// maxTurns bounds how often a refresh starts again because another request
// committed meanwhile.
const maxTurns = 4

// Refresh continues the session of an authentic refresh token. The error matches
// sentinel.ErrNoSession or ErrUnavailable.
//
// The order is a rule: the data is settled first, then Reload is called, then the
// family is advanced. So no family is advanced whose answer cannot be written.
func (r *Resumer) Refresh(ctx context.Context, now time.Time, c *gate.Credentials) (Session, error) {
	id := store.ID(c.Token.Family)
	from, header, err := r.settle(ctx, now, c)
	if err != nil {
		return Session{}, err
	}
	for range maxTurns {
		data, err := r.reload(ctx, header, from.data)
		if err != nil {
			return Session{}, err
		}
		if err := r.Fits(&header, data); err != nil {
			return Session{}, r.Node.Unavailable(id, fmt.Errorf("a refresh cannot be answered: %w", err))
		}
		if _, err := r.Ring.Primary(now); err != nil {
			return Session{}, r.Node.Unavailable(id, fmt.Errorf("a refresh cannot be answered: %w", err))
		}
		res, err := r.Node.Refresh(ctx, r.request(c, from))
		if err != nil {
			return Session{}, err
		}
		switch res.Verdict {
		case refresh.Issue:
			return r.issue(now, c.Token, res, data), nil
		case refresh.Behind:
			if from, err = r.without(ctx, now, res.Snapshot); err != nil {
				return Session{}, err
			}
			header = r.Mint(now, res.Snapshot)
		default:
			return Session{}, r.Refuse(id, res)
		}
	}
	return Session{}, r.Node.Unavailable(id, errors.New("others keep committing to the session"))
}

// Look continues a session for a request whose response cannot carry cookies. It
// writes nothing but the end of a replayed family.
func (r *Resumer) Look(ctx context.Context, now time.Time, c *gate.Credentials) (Session, error) {
	id := store.ID(c.Token.Family)
	from, _, err := r.settle(ctx, now, c)
	if err != nil {
		return Session{}, err
	}
	res, err := r.Node.Look(ctx, r.request(c, from))
	if err != nil {
		return Session{}, err
	}
	if res.Verdict == refresh.Behind {
		if from, err = r.without(ctx, now, res.Snapshot); err != nil {
			return Session{}, err
		}
	} else if res.Verdict != refresh.Issue {
		return Session{}, r.Refuse(id, res)
	}
	if r.Node.Dead(&res.Snapshot.Family) {
		res.Verdict, res.Reason = refresh.Refuse, node.ReasonLost
		return Session{}, r.Refuse(id, res)
	}
	header := r.Mint(now, res.Snapshot)
	data, err := r.reload(ctx, header, from.data)
	return Session{Header: header, Data: data, At: res.Snapshot.Now}, err
}

func (r *Resumer) request(c *gate.Credentials, from source) refresh.Request {
	id := store.ID(c.Token.Family)
	return refresh.Request{
		Family: id, Generation: c.Token.Generation, Copy: c.Token.Copy,
		Basis: from.position, Carried: from.carried, Floor: r.Node.ExpiredBelow(id),
	}
}

// settle returns the data that the session continues with, and a header for
// Reload: those of the session cookie, if it belongs to the token; else the
// family's committed value; else no data, if Reload can supply it.
func (r *Resumer) settle(ctx context.Context, now time.Time, c *gate.Credentials) (source, codec.Session, error) {
	id := store.ID(c.Token.Family)
	if r.Node.Ended(id) {
		// An end is final, even if the store has not taken it yet or has lost it.
		r.Observer.Refused(id, string(refresh.ReasonEnded), nil)
		return source{}, codec.Session{}, sentinel.ErrNoSession
	}
	if c.HasCookie && refresh.Carries(c.Cookie, c.Token) {
		return source{c.Content.Data(), store.Position(c.Cookie.Position), c.Cookie.Generation}, c.Cookie, nil
	}
	// The token is judged first, whatever data there is.
	res, err := r.Node.Look(ctx, r.request(c, source{position: store.MaxPosition}))
	if err != nil {
		return source{}, codec.Session{}, err
	}
	if res.Verdict != refresh.Issue {
		return source{}, codec.Session{}, r.Refuse(id, res)
	}
	from, err := r.without(ctx, now, res.Snapshot)
	return from, r.Mint(now, res.Snapshot), err
}

// without returns the data that a family continues with if no cookie's does.
func (r *Resumer) without(ctx context.Context, now time.Time, snap store.Snapshot) (source, error) {
	switch {
	case snap.Family.LastCommit != 0:
		return r.committed(ctx, now, snap)
	case r.Reload != nil:
		return source{}, nil
	}
	r.Observer.Refused(snap.Family.ID, "the session's data is lost: no cookie carries it, none was committed, and there is no Reload", nil)
	return source{}, sentinel.ErrNoSession
}

// committed opens a family's committed value.
func (r *Resumer) committed(ctx context.Context, now time.Time, snap store.Snapshot) (source, error) {
	f := &snap.Family
	data, err := r.Commits.Open(ctx, now, codec.ID(f.ID), f.Value)
	if err == nil {
		return source{data: data, position: f.LastCommit}, nil
	}
	r.Observer.Alarm(f.ID, 0, "the committed value does not open", err)
	if r.Reload != nil {
		return source{position: f.LastCommit}, nil
	}
	return source{}, sentinel.ErrNoSession
}

// reload calls Reload, if there is one, and ends the session if that says so.
func (r *Resumer) reload(ctx context.Context, header codec.Session, data []byte) ([]byte, error) {
	if r.Reload == nil {
		return data, nil
	}
	fresh, err := r.Reload(ctx, header, data)
	id := store.ID(header.ID)
	switch {
	case errors.Is(err, sentinel.ErrEnded):
		if err := r.Node.End(ctx, "ended by Reload", header.Subject.Text(), id); err != nil {
			return nil, err
		}
		return nil, sentinel.ErrNoSession
	case err != nil:
		return nil, r.Node.Outage(id, err)
	}
	return fresh, nil
}

// issue returns the answer to a token. It does not issue the presented token
// again: the browser has it and its deadline has not moved. A late answer would
// put it back over a newer one and make an honest browser look like a thief.
func (r *Resumer) issue(now time.Time, presented codec.RefreshToken, res refresh.Result, data []byte) Session {
	s := Session{
		Header: r.Mint(now, res.Snapshot), Data: data, At: res.Snapshot.Now,
		How: "the same token", Lost: int(res.Snapshot.Family.Copy),
	}
	if token := res.Answer(presented); token != presented {
		s.Token, s.How = token, "the same successor"
	}
	switch {
	case res.Advanced:
		s.How = "advanced"
	case res.Reissued:
		s.How = "a copy for a lost answer"
	}
	return s
}

// Refuse reports why a refresh token was refused and returns the error for the
// client, which does not say why.
func (r *Resumer) Refuse(id store.ID, res refresh.Result) error {
	switch {
	case res.Verdict == refresh.Replay:
		r.Observer.Replayed(id, string(res.Reason), res.Entry, int(res.Snapshot.Family.Copy))
	case res.Verdict == refresh.Ahead || res.Reason == node.ReasonLost:
		r.Observer.Alarm(id, 0, string(res.Reason), nil)
	default:
		r.Observer.Refused(id, string(res.Reason), nil)
	}
	return sentinel.ErrNoSession
}
