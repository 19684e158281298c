package main

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// judgeSealed judges a session cookie, or a sealed value if the text opens only
// as one.
func (i *inspector) judgeSealed(ctx context.Context, text string) error {
	i.report.Format = formatSealed
	opens := i.now
	if id, ok := sealedKey(text); ok {
		opens = i.key(id)
	}
	cookies, err := codec.NewCookies(i.keys, i.realm, i.name)
	if err != nil {
		return i.usageError("%v", err)
	}
	session, data, err := cookies.Open(ctx, opens, text)
	if errors.Is(err, codec.ErrForged) && i.isValue(ctx, text) {
		i.report.Format = formatValue
		i.judgeValue(ctx, text)
		return nil
	}
	if !i.recordOpen(err, unauthentic) {
		return nil
	}
	i.report.Format = formatCookie
	i.showSession(&session)
	i.showData(data)
	i.judgeTimes(&session)
	return i.judgePosition(ctx, store.ID(session.ID), session.Subject.Text(), store.Position(session.Position), i.name)
}

// sealedKey decodes the key id, which is not encrypted.
func sealedKey(text string) (id keyring.ID, ok bool) {
	const size = 1 + len(keyring.ID{})
	b := make([]byte, base64.RawURLEncoding.DecodedLen(8))
	if len(text) < 8 {
		return id, false
	}
	if n, err := base64.RawURLEncoding.Decode(b, []byte(text[:8])); err != nil || n < size {
		return id, false
	}
	return keyring.ID(b[1:size]), true
}

func (i *inspector) showSession(s *codec.Session) {
	r := &i.report
	position := store.Position(s.Position)
	r.Session, r.Subject, r.Position, r.Generation = store.ID(s.ID).String(), s.Subject.Text(), &position, s.Generation
	r.Issued, r.Access, r.Idle, r.Absolute = utc(s.Issued), utc(s.Access), utc(s.Idle), utc(s.Absolute)
	r.Started, r.Authenticated = utc(s.Started), utc(s.Authenticated)
}

func utc(t time.Time) *time.Time {
	t = t.UTC()
	return &t
}

// judgeTimes compares the cookie's times with the current time, as a node does.
func (i *inspector) judgeTimes(s *codec.Session) {
	access := i.access
	if access == 0 {
		access = s.Access.Sub(s.Issued)
	}
	if s.Issued.After(i.now.Add(codec.DefaultLeeway)) {
		i.report.refuse("issued in the future", "it was issued at %s, and it is %s: the clocks are apart", stamp(s.Issued), stamp(i.now))
	}
	if !i.now.Before(s.Idle) {
		i.report.refuse("past idle", "the session's idle limit ended at %s", stamp(s.Idle))
	}
	if !i.now.Before(s.Absolute) {
		i.report.refuse("past absolute", "the session's absolute limit ended at %s: only a login helps", stamp(s.Absolute))
	}
	if ends := s.Expires(access); !i.now.Before(ends) && i.now.Before(s.Deadline()) {
		i.report.refuse("past access", "the access lifetime ended at %s; the session goes on if its refresh token is good", stamp(ends))
	}
}

// judgePosition queries the store for revocations that cover a session's
// position, and for its family, which belongs to the instance with that session
// cookie.
func (i *inspector) judgePosition(ctx context.Context, id store.ID, subject string, at store.Position, cookie string) error {
	if i.db == nil {
		i.report.note("whether it is revoked is not judged: that takes --store")
		return nil
	}
	c, err := i.db.Cutoffs(ctx, id, subject)
	if err != nil {
		return err
	}
	if c.Ending != 0 {
		i.report.refuse("session ended", "the session was ended at position %d", c.Ending)
	}
	for _, cutoff := range []struct {
		code, by string
		at       store.Position
	}{
		{"subject revoked", "its subject was revoked", c.Subject},
		{"everyone revoked", "everyone was revoked", c.Everyone},
		{"superseded", "a Commit has made it out of date; the session goes on if its refresh token is good,", c.Superseding},
		{"below the floor", "entries have been dropped that may name it; the session goes on if its refresh token is good,", c.Floor},
	} {
		if cutoff.at > at {
			i.report.refuse(cutoff.code, "%s at position %d, above its own %d", cutoff.by, cutoff.at, at)
		}
	}
	if revocation.Judge(c, at) == revocation.Ahead {
		i.report.refuse("ahead of the store", "its position %d is above the store's head %d: the store went back in time (see \"wafer restored\"), or it is another one", at, c.Head)
	}
	snap, err := i.db.Family(ctx, id)
	if err != nil {
		return err
	}
	verified, err := i.showFamily(ctx, &snap, cookie)
	if err == nil && !verified && living(&snap) {
		i.report.note("%s. Its next refresh is refused for that", refusals[refresh.ReasonSeal])
	}
	return err
}

// showData adds the size of the application's data to the report, and with
// --reveal the data.
func (i *inspector) showData(data []byte) {
	n := len(data)
	i.report.DataBytes = &n
	if !i.reveal {
		return
	}
	text, err := cbor.Diagnose(data)
	if err != nil {
		text = fmt.Sprintf("not CBOR: %q", data)
	}
	i.report.Data = &text
}

// values returns the codec of sealed values with a clock that stands at now.
func (i *inspector) values(now time.Time) (*codec.Values, error) {
	return codec.NewValues(i.keys, codec.ValuesConfig{Realm: i.realm, Lifetime: i.keys.Life(), Now: func() time.Time { return now }})
}

// isValue reports whether the text is an authentic sealed value of the name, and
// shows it if so. It opens the value at the Unix epoch, when neither the value
// nor its key can have expired.
func (i *inspector) isValue(ctx context.Context, text string) bool {
	values, err := i.values(time.Unix(0, 0))
	if err != nil {
		return false
	}
	data, err := values.Open(ctx, i.name, text)
	if err == nil {
		i.showValue(data)
	}
	return err == nil
}

func (i *inspector) showValue(data []byte) {
	n := len(data)
	i.report.DataBytes = &n
	if i.reveal {
		text := fmt.Sprintf("%q", data)
		i.report.Data = &text
	}
}

func (i *inspector) judgeValue(ctx context.Context, text string) {
	i.report.Authentic = true
	i.report.note("it is no session: an application's own value. Its lifetime is judged by the ring's %v and what it was sealed with", i.keys.Life())
	values, err := i.values(i.now)
	if err == nil {
		_, err = values.Open(ctx, i.name, text)
	}
	if errors.Is(err, codec.ErrExpired) {
		i.report.refuse("past its lifetime", "%v", err)
	} else if err != nil {
		i.recordOpen(err, unauthentic)
	}
}

// judgeGorilla judges a cookie in gorilla's format. The format's codec uses the
// system's clock.
func (i *inspector) judgeGorilla(text string) error {
	i.report.Format = formatGorilla
	if id, err := keyring.ParseID(text[:8]); err == nil {
		i.key(id)
	}
	g, err := codec.NewGorilla(i.keys, codec.GorillaConfig{Realm: i.realm, Lifetime: i.keys.Life()})
	if err != nil {
		return i.usageError("%v", err)
	}
	var values map[any]any
	err = g.Decode(i.name, text, &values)
	switch {
	case errors.Is(err, codec.ErrExpired) && !errors.Is(err, keyring.ErrExpired):
		i.report.Authentic = true
		i.report.refuse("past its lifetime", "it is older than the ring's %v", i.keys.Life())
		return nil
	case errors.Is(err, codec.ErrContent):
		i.report.note("its values are of types that this program does not know")
		err = nil
	}
	if i.recordOpen(err, unauthentic) && i.reveal && values != nil {
		text := fmt.Sprint(values)
		i.report.Data = &text
	}
	return nil
}
