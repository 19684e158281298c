package wafer

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/node"
	"github.com/waferkit/wafer/store"
)

// StartOption is an option of [Sessions.Start] and [Sessions.Issue].
type StartOption func(*startOptions)

type startOptions struct {
	notBefore      *store.Position
	idle, absolute time.Duration
	label          string
	authenticated  time.Time
	names          []string
	actor          string
	methods        []string
	level          string
}

// NotBefore makes the login fail with [ErrNotBefore] if the subject or everyone
// was revoked after position p. Get p from [Sessions.Position] before you check
// the credentials: a login with the old password then cannot slip past a
// password change.
func NotBefore(p store.Position) StartOption {
	return func(o *startOptions) { o.notBefore = &p }
}

// Limits gives the session limits of its own, for example for "remember me". 0
// means the configured default. Start fails if a limit is not above
// [Config.Access], or is above [Config.MaxIdle] or MaxAbsolute.
func Limits(idle, absolute time.Duration) StartOption {
	return func(o *startOptions) { o.idle, o.absolute = idle, absolute }
}

// Label names the device, for [Sessions.Devices]. The label is cut to 255 bytes;
// invalid UTF-8 is replaced and NULs are removed. If it is empty or missing,
// Start uses the request's User-Agent. No network address is kept.
func Label(label string) StartOption {
	label = cleanLabel(label)
	return func(o *startOptions) { o.label = label }
}

func cleanLabel(label string) string {
	label = strings.ReplaceAll(strings.ToValidUTF8(label, "\uFFFD"), "\x00", "")
	if len(label) > store.MaxLabel {
		label = strings.ToValidUTF8(label[:store.MaxLabel], "")
	}
	return label
}

// Authenticated says when the user authenticated, if that was before this login,
// as the auth_time of an identity provider does. [Sessions.RequireRecent] judges
// it. A time in the future counts as now.
func Authenticated(at time.Time) StartOption {
	return func(o *startOptions) { o.authenticated = at }
}

// Names gives the session the names by which an outside system knows it, such as
// an identity provider's issuer and session id: "https://idp.example|sid:08a5".
// [Revocation.Names] ends the sessions that bear a name. At most 4, each of 1 to
// 255 bytes of UTF-8 without NUL; the store keeps hashes of them.
func Names(names ...string) StartOption {
	return func(o *startOptions) { o.names = append(o.names, names...) }
}

// Actor says who acts for the subject in this session, such as "support:carol".
// Like the subject it is your application's id for a user, of 1 to 255 bytes.
// Revoking either of the two as a subject ends the session. Such a session is
// never recent for [Sessions.RequireRecent], and cannot Reauthenticate or
// EndOthers.
func Actor(actor string) StartOption {
	return func(o *startOptions) { o.actor = actor }
}

// Methods says how the user authenticated, by the values of RFC 8176, such as
// "pwd" and "otp". Each has 1 to 31 bytes of printable ASCII without spaces.
func Methods(methods ...string) StartOption {
	return func(o *startOptions) { o.methods = append(o.methods, methods...) }
}

// Level says how strongly the user authenticated, by a value that your application
// or identity provider defines, as in the claim acr. At most 255 bytes.
func Level(level string) StartOption {
	return func(o *startOptions) { o.level = level }
}

// Position returns the position of the newest entry in the store's log. See
// [NotBefore]. The error matches [ErrUnavailable].
func (s *Sessions[T]) Position(ctx context.Context) (store.Position, error) {
	return s.node.Position(ctx)
}

// Start begins a session of subject (1 to 255 bytes of UTF-8 without NUL) under a
// new id, and writes its cookies. Call it after you have checked the credentials.
// In the same step Start ends the sessions that the request's cookies name,
// expired or not, so that a planted session does not live on. It also ends a
// session that this request itself has begun, if the request passed Handler.
//
// Errors: [ErrTooLarge], [ErrNotBefore], [ErrLimit], [ErrUnavailable]; any other
// is a mistake in the arguments. After an error no cookie was written.
func (s *Sessions[T]) Start(w http.ResponseWriter, r *http.Request, subject string, data T, options ...StartOption) error {
	creation, err := s.creation(subject, options)
	if err != nil {
		return err
	}
	if creation.Label == "" {
		creation.Label = cleanLabel(r.UserAgent())
	}
	b, err := s.encode(&codec.Session{
		Subject: codec.Hide(subject), Actor: codec.Hide(creation.Actor), Methods: codec.Hide(creation.Methods), Level: codec.Hide(creation.Level),
	}, data)
	if err != nil {
		return err
	}
	a, done := s.changing(r.Context())
	defer done()
	now := s.config.Now()
	var cookies gate.Cookies
	s.find(r.Header, &cookies)
	c := s.gate.Read(r.Context(), now, &cookies)
	creation.Ends = c.Families()
	if a != nil && a.bearer.load() == noBearer {
		// The request's cookies do not name a session that the request itself
		// began or renewed.
		if current := a.current.Load(); current != nil && current.id() != creation.Ends[0] {
			creation.Ends[1] = current.id()
		}
	}
	snap, err := s.node.Start(r.Context(), creation)
	if err != nil {
		return err
	}
	return s.begun(w, a, KindStarted, snap, b)
}

// creation checks the arguments of a login and returns the family to create.
func (s *Sessions[T]) creation(subject string, options []StartOption) (store.Creation, error) {
	o := startOptions{idle: s.config.Idle, absolute: s.config.Absolute}
	for _, option := range options {
		option(&o)
	}
	o.idle = cmp.Or(o.idle, s.config.Idle)
	o.absolute = cmp.Or(o.absolute, s.config.Absolute)
	if min(o.idle, o.absolute) <= s.config.Access || o.idle > s.config.MaxIdle || o.absolute > s.config.MaxAbsolute {
		return store.Creation{}, fmt.Errorf("wafer: Limits(%v, %v): want more than Config.Access (%v) and at most MaxIdle (%v) and MaxAbsolute (%v)", o.idle, o.absolute, s.config.Access, s.config.MaxIdle, s.config.MaxAbsolute)
	}
	if err := store.CheckSubject(subject); err != nil {
		return store.Creation{}, fmt.Errorf("wafer: a login: %w", err)
	}
	c := store.Creation{
		ID: newID(), Subject: subject, Label: o.label, Idle: o.idle, Absolute: o.absolute,
		Limit: s.config.MaxSessions, EndOldest: s.config.EndOldest,
		Actor: o.actor, Level: o.level, Authenticated: o.authenticated,
		Reason: "replaced by a login", By: cmp.Or(o.actor, subject),
	}
	var err error
	if c.Names, err = hashed(o.names); err != nil {
		return store.Creation{}, fmt.Errorf("wafer: Names: %w", err)
	}
	if c.Methods, err = joined(o.methods); err != nil {
		return store.Creation{}, err
	}
	if o.notBefore != nil {
		if c.NotBefore = *o.notBefore; c.NotBefore == 0 {
			return store.Creation{}, errors.New("wafer: NotBefore(0): no log has that position; did Position fail?")
		}
	}
	check := c
	check.Started = check.Authenticated // which the node names
	if err := check.Check(); err != nil {
		return store.Creation{}, fmt.Errorf("wafer: a login: %w", err)
	}
	return c, nil
}

// joined joins methods by spaces.
func joined(methods []string) (string, error) {
	for _, m := range methods {
		if m == "" || len(m) > 31 || strings.ContainsFunc(m, func(r rune) bool { return r <= ' ' || r > '~' }) {
			return "", fmt.Errorf("wafer: Methods(%.40q): want 1 to 31 bytes of printable ASCII without spaces", m)
		}
	}
	return strings.Join(methods, " "), nil
}

// Renew gives the session a new id and writes its cookies. Call it after a change
// of privilege. The old session ends in the same step. The times of the login and
// of the authentication, and the limits, stay, and so does who acts.
//
// Errors: [ErrConflict] if the session was committed after this request's cookie
// was sealed, [ErrEnded], [ErrExpired], [ErrNoSession], [ErrUnavailable].
func (s *Sessions[T]) Renew(w http.ResponseWriter, r *http.Request) error {
	return s.renew(w, r, node.Renewal{})
}

// Reauthenticate is Renew for a user who has authenticated again, now. The
// absolute limit begins anew (NIST SP 800-63B-4, section 5.2). It takes the options
// [Methods] and [Level], which replace the session's. Its errors are those of Renew,
// [ErrTooLarge] and [ErrActor].
func (s *Sessions[T]) Reauthenticate(w http.ResponseWriter, r *http.Request, options ...StartOption) error {
	var o startOptions
	for _, option := range options {
		option(&o)
	}
	methods, err := joined(o.methods)
	if err != nil {
		return err
	}
	if o.notBefore != nil || o.idle != 0 || o.absolute != 0 || o.label != "" || !o.authenticated.IsZero() || len(o.names) > 0 || o.actor != "" {
		return errors.New("wafer: Reauthenticate takes Methods and Level alone")
	}
	return s.renew(w, r, node.Renewal{Reauthenticate: true, Methods: methods, Level: o.level})
}

func (s *Sessions[T]) renew(w http.ResponseWriter, r *http.Request, renewal node.Renewal) error {
	a, current, done, err := s.change(r.Context())
	if err != nil {
		return err
	}
	defer done()
	h := current.header()
	if renewal.Reauthenticate {
		if err := onlySubject(h); err != nil {
			return err
		}
		h.Methods, h.Level = codec.Hide(renewal.Methods), codec.Hide(renewal.Level)
		if err := s.fits(&h, current.encoded()); err != nil {
			return err
		}
	}
	id := newID()
	// The store keeps the value only if the old family has a committed one.
	value, err := s.commits.Seal(s.config.Now(), codec.ID(id), current.encoded())
	if err != nil {
		return s.node.Unavailable(store.ID(h.ID), err)
	}
	old := store.Renewal{ID: store.ID(h.ID), Basis: store.Position(h.Position)}
	snap, err := s.node.Renew(r.Context(), store.Creation{
		ID: id, Subject: h.Subject.Text(), Value: value, Renews: &old, Reason: "renewed", By: acting(h),
	}, renewal)
	if err != nil {
		return err
	}
	return s.begun(w, a, KindRenewed, snap, current.encoded())
}

// encode encodes session data and checks that it fits into a cookie with a header.
func (s *Sessions[T]) encode(h *codec.Session, data T) ([]byte, error) {
	b, err := codec.MarshalData(data)
	if err != nil {
		return nil, err
	}
	return b, s.fits(h, b)
}

// changing locks the request's session for a change. a is nil if the request is
// not attached.
func (s *Sessions[T]) changing(ctx context.Context) (a *attachment[T], done func()) {
	if a = s.attached(ctx); a == nil {
		return nil, func() {}
	}
	a.changes.Lock()
	return a, a.changes.Unlock
}

// change is changing for calls that need a session whose cookies can be written.
func (s *Sessions[T]) change(ctx context.Context) (*attachment[T], *Session[T], func(), error) {
	a, done := s.changing(ctx)
	if a == nil {
		return nil, nil, nil, errNotAttached
	}
	current, err := a.get()
	if err == nil && current.readOnly {
		err = fmt.Errorf("%w, and the answer to an upgrade or a bearer token cannot carry another", ErrExpired)
	}
	if err != nil {
		done()
		return nil, nil, nil, err
	}
	return a, current, done, nil
}

func newID() (id store.ID) {
	rand.Read(id[:])
	return id
}
