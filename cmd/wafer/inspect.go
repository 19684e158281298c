package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

const inspectExample = `wl-paste | wafer inspect --ring data/ring --realm shop.example/production --store sqlite:data/wafer.db`

// inspector is one run of the inspect command.
type inspector struct {
	*flags
	realm, name   string
	sessionCookie string
	issuer        string
	audience      stringList
	access, grace time.Duration
	reveal        bool

	now  time.Time
	keys *keyring.Ring
	db   store.Store // nil without --store

	report report
}

func inspect(ctx context.Context, e *env, args []string) error {
	i := &inspector{flags: e.flags("inspect", "says what a cookie or token is, and whether it would be refused now. It reads standard input", inspectExample), now: e.now()}
	i.withRing()
	i.StringVar(&i.realm, "realm", "", "the application's Config.Realm (required)")
	i.StringVar(&i.sessionCookie, "session-cookie", "__Host-session", "the application's Config.SessionCookie, to which refresh tokens are bound")
	i.StringVar(&i.name, "name", "__Host-session", "the cookie's or value's `name`")
	i.StringVar(&i.issuer, "issuer", "", "the iss that an access token must have. Without it that is not judged")
	i.Var(&i.audience, "audience", "the aud that an access token may have; may be given several times. Without it that is not judged")
	i.DurationVar(&i.access, "access", 0, "the application's Config.Access (default 5m for refresh tokens; a cookie says its own)")
	i.DurationVar(&i.grace, "grace", 0, "the application's Config.Grace (default 30s, or an eighth of --access where that is less)")
	i.BoolVar(&i.reveal, "reveal", false, "show the application's data too")
	// Not flags.parse, which prints an unexpected argument.
	secret := slices.ContainsFunc(args, looksSecret)
	if !secret {
		if err := i.Parse(args); errors.Is(err, flag.ErrHelp) {
			return err
		} else if err != nil {
			return errUsage
		}
	}
	if secret || i.NArg() > 0 {
		return i.usageError("there is an argument that is no flag's: arguments are seen by every user of the machine and kept by the shell.\n" +
			"Give the credential on standard input. If that was one, take it for leaked: revoke its session, and clear the shell's history.")
	}
	if i.realm == "" {
		return i.usageError("--realm is missing: what is sealed opens in its realm alone")
	}
	close, err := i.open(ctx)
	if err != nil {
		return err
	}
	defer close()
	text, err := i.read()
	if err != nil {
		return err
	}
	if err := i.judge(ctx, text); err != nil {
		return err
	}
	if err := i.output(&i.report, i.report.print); err != nil {
		return err
	}
	if i.report.Refused {
		return errNo
	}
	return nil
}

// open opens the ring, and the store if one is given.
func (i *inspector) open(ctx context.Context) (close func() error, err error) {
	ring, closeRing, err := i.openRing(ctx)
	if err != nil {
		return nil, err
	}
	i.keys = ring
	if i.flags.db == "" {
		return closeRing, nil
	}
	db, closer, err := i.openStore(ctx)
	if err != nil {
		return nil, errors.Join(err, closeRing())
	}
	i.db = db
	return func() error { return errors.Join(closer.Close(), closeRing()) }, nil
}

// judge determines the format of the text and judges it. An error is a fault of
// this program or of the store, never of the text.
func (i *inspector) judge(ctx context.Context, text string) error {
	i.report.Bytes = len(text)
	switch format := formatOf(text); format {
	case formatRefresh:
		return i.judgeRefresh(ctx, text)
	case formatAccess:
		return i.judgeAccess(ctx, text)
	case formatGorilla:
		return i.judgeGorilla(text)
	case formatSealed:
		return i.judgeSealed(ctx, text)
	}
	i.report.Format = "unknown"
	i.report.refuse("format", "it is none of the formats: neither a sealed cookie or value, nor a refresh or access token, nor a gorilla cookie")
	return nil
}

// key adds the state of a key that the text names to the report. It returns the
// time at which to open what the key sealed: now, or shortly before the key
// expired. That time serves to show the content; whether the text is refused is
// judged by the current time.
func (i *inspector) key(id keyring.ID) (opens time.Time) {
	i.report.KeyID = id.String()
	for _, v := range viewKeys(i.keys.Set(), i.now) {
		if v.ID != id.String() {
			continue
		}
		i.report.Key = &v
		switch {
		case v.Revoked != nil:
			i.report.refuse("key revoked", "the key was revoked at %s: %s. Whoever had the key could have made this, so nothing in it is believed", stamp(*v.Revoked), printable(v.Reason))
		case v.Expires != nil && !i.now.Before(*v.Expires):
			i.report.refuse("key expired", "the key ceased to open at %s", stamp(*v.Expires))
			return v.Expires.Add(-time.Millisecond)
		}
		return i.now
	}
	i.report.refuse("key unknown", "the ring has no such key: it is another application's or environment's, or was pruned, or this is an old copy of the ring")
	return i.now
}

// recordOpen adds the result of opening to the report, and reports whether the
// content is authentic.
func (i *inspector) recordOpen(err error, unauthentic string) bool {
	i.report.Authentic = err == nil
	switch {
	case err == nil:
	case !aboutKey(err):
		i.report.refuse("not authentic", "%v: %s", err, unauthentic)
	case !i.report.Refused:
		i.report.refuse("key unknown", "%v", err)
	}
	return err == nil
}

// aboutKey reports whether an error is about the key alone, which inspector.key
// has reported already.
func aboutKey(err error) bool {
	return errors.Is(err, keyring.ErrUnknown) || errors.Is(err, keyring.ErrRevoked) || errors.Is(err, keyring.ErrExpired)
}

const unauthentic = "another realm or name, or it was changed or cut off"

// report is the output of inspect. It never contains the credential.
type report struct {
	Format    string   `json:"format"`
	Bytes     int      `json:"bytes"`
	KeyID     string   `json:"key_id,omitempty"`
	Key       *keyView `json:"key,omitempty"`
	Authentic bool     `json:"authentic"`

	Session       string          `json:"session,omitempty"`
	Subject       string          `json:"subject,omitempty"`
	Position      *store.Position `json:"position,omitempty"`
	Generation    uint32          `json:"generation,omitempty"`
	Copy          uint16          `json:"copy,omitempty"`
	Started       *time.Time      `json:"started,omitempty"`
	Authenticated *time.Time      `json:"authenticated,omitempty"`
	Issued        *time.Time      `json:"issued,omitempty"`
	Access        *time.Time      `json:"access,omitempty"`
	Idle          *time.Time      `json:"idle,omitempty"`
	Absolute      *time.Time      `json:"absolute,omitempty"`
	Issuer        string          `json:"issuer,omitempty"`
	Audience      []string        `json:"audience,omitempty"`
	Client        string          `json:"client,omitempty"`

	DataBytes *int    `json:"data_bytes,omitempty"`
	Data      *string `json:"data,omitempty"` // only with --reveal

	Store *storeReport `json:"store,omitempty"`

	Refused bool     `json:"refused"`
	Reasons []reason `json:"reasons"`
	Notes   []string `json:"notes,omitempty"`
}

// reason is a reason for which the credential would be refused.
type reason struct {
	Code string `json:"code"`
	Why  string `json:"why"`
}

func (r *report) refuse(code, format string, args ...any) {
	r.Refused = true
	r.Reasons = append(r.Reasons, reason{code, fmt.Sprintf(format, args...)})
}

func (r *report) note(format string, args ...any) {
	r.Notes = append(r.Notes, fmt.Sprintf(format, args...))
}

func (r *report) print(w io.Writer) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%-14s %s\n", name, printable(fmt.Sprintf(format, args...)))
	}
	text := func(name, value string) {
		if value != "" {
			line(name, "%s", value)
		}
	}
	at := func(name string, t *time.Time) {
		if t != nil {
			line(name, "%s", stamp(*t))
		}
	}
	line("format", "%s, %d bytes", r.Format, r.Bytes)
	if r.Key != nil {
		line("key", "%s (%s)", r.KeyID, r.Key.State)
	} else if r.KeyID != "" {
		line("key", "%s (unknown)", r.KeyID)
	}
	text("session", r.Session)
	text("subject", r.Subject)
	if r.Position != nil {
		line("position", "%d", *r.Position)
	}
	if r.Generation != 0 {
		line("generation", "%s", generation(r.Generation, r.Copy))
	}
	at("started", r.Started)
	at("authenticated", r.Authenticated)
	at("issued", r.Issued)
	at("good until", r.Access)
	at("idle limit", r.Idle)
	at("absolute limit", r.Absolute)
	text("issuer", r.Issuer)
	for _, audience := range r.Audience {
		text("audience", audience)
	}
	text("client", r.Client)
	if r.Data != nil {
		line("data", "%s", *r.Data)
	} else if r.DataBytes != nil {
		line("data", "%d bytes; --reveal shows them", *r.DataBytes)
	}
	if s := r.Store; s != nil {
		s.print(line)
	}
	for _, n := range r.Notes {
		line("note", "%s", n)
	}
	for _, reason := range r.Reasons {
		line("refused", "%s: %s", reason.Code, reason.Why)
	}
	if !r.Refused {
		line("accepted", "nothing speaks against it")
	}
}

// generation returns a generation and, unless it is the first, its copy.
func generation(n uint32, copied uint16) string {
	if copied == 0 {
		return fmt.Sprint(n)
	}
	return fmt.Sprintf("%d, copy %d", n, copied)
}
