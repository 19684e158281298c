package wafer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"

	"github.com/waferkit/wafer/internal/gate"
	"github.com/waferkit/wafer/internal/keywatch"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Kind says what happened. See [Event].
type Kind string

// The kinds of events.
const (
	KindStarted     Kind = "session started"
	KindRefreshed   Kind = "session refreshed"
	KindRenewed     Kind = "session renewed"
	KindEnded       Kind = "session ended"
	KindRevoked     Kind = "revoked"
	KindRefused     Kind = "credential refused" // Reason says why; the client does not learn it
	KindReplayed    Kind = "refresh token replayed, session ended"
	KindUnavailable Kind = "store unavailable"
	KindReplica     Kind = "revocation replica"  // its state changed, or something was repaired
	KindApplied     Kind = "revocations applied" // up to Position, on this node
	KindKeys        Kind = "keys"                // a key was published, seals, was revoked or is unknown, or the ring's source fails; Reason says which
	KindPeers       Kind = "peers"               // another application uses the store too
	KindAlarm       Kind = "alarm"               // an operator should look
	KindInsecure    Kind = "insecure configuration"
)

// Event is one report for operators. It holds no key, cookie, token or session
// data.
type Event struct {
	Kind     Kind
	Reason   string
	Session  store.ID       // zero if the event is about no session in particular
	Position store.Position // of a revocation, or up to which this node has applied them; else 0
	Lost     int            // with KindRefreshed and KindReplayed: answers that the session has lost since its last advance
	Err      error          // nil if nothing failed
}

// level returns the log level of an event.
func (e Event) level() slog.Level {
	switch e.Kind {
	case KindRefused:
		if e.Reason == gate.ReasonMixed {
			return slog.LevelWarn
		}
		return slog.LevelDebug
	case KindStarted, KindRefreshed, KindRenewed, KindEnded, KindApplied:
		return slog.LevelDebug
	case KindRevoked, KindPeers:
		return slog.LevelInfo
	case KindAlarm:
		return slog.LevelError
	case KindReplica, KindKeys:
		if e.Err == nil {
			return slog.LevelInfo
		}
	}
	return slog.LevelWarn
}

// logEvent is the default of Config.Observe. It logs by [slog.Default].
func logEvent(e Event) {
	log := slog.Default()
	if !log.Enabled(context.Background(), e.level()) {
		return
	}
	attrs := make([]slog.Attr, 0, 5)
	if e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if !e.Session.IsZero() {
		attrs = append(attrs, slog.String("session", e.Session.String()))
	}
	if e.Position != 0 {
		attrs = append(attrs, slog.Uint64("position", uint64(e.Position)))
	}
	if e.Lost != 0 {
		attrs = append(attrs, slog.Int("lost", e.Lost))
	}
	if e.Err != nil {
		attrs = append(attrs, slog.String("error", e.Err.Error()))
	}
	log.LogAttrs(context.Background(), e.level(), "wafer: "+string(e.Kind), attrs...)
}

// replicaEvent converts a replica's event. lost completes the sentence "the log
// has lost N revocations …".
func replicaEvent(e revocation.Event, lost string) Event {
	event := Event{Kind: KindReplica, Reason: e.State.String(), Position: e.Head, Err: e.Err}
	switch {
	case errors.Is(e.Err, revocation.ErrRollback):
		event.Kind = KindAlarm
	case e.Applied > 0:
		event.Kind, event.Reason = KindApplied, fmt.Sprintf("%d entries", e.Applied)
	case e.Lost > 0:
		event.Kind, event.Reason = KindAlarm, fmt.Sprintf("the log has lost %d revocations %s", e.Lost, lost)
	case e.Restored > 0:
		event.Reason = fmt.Sprintf("the log has %d revocations again that it had lost", e.Restored)
	}
	return event
}

// observer is [Config.Observe] as the internal packages call it. They do not
// know Event: each states what it reports as a small interface of its own.
type observer func(Event)

func (o observer) Refused(session store.ID, reason string, err error) {
	o(Event{Kind: KindRefused, Session: session, Reason: reason, Err: err})
}

func (o observer) Unavailable(session store.ID, err error) {
	o(Event{Kind: KindUnavailable, Session: session, Err: err})
}

func (o observer) Alarm(session store.ID, at store.Position, reason string, err error) {
	o(Event{Kind: KindAlarm, Session: session, Position: at, Reason: reason, Err: err})
}

func (o observer) Ended(session store.ID, reason string, at store.Position) {
	o(Event{Kind: KindEnded, Session: session, Reason: reason, Position: at})
}

func (o observer) Revoked(session store.ID, reason string, at store.Position) {
	o(Event{Kind: KindRevoked, Session: session, Reason: reason, Position: at})
}

func (o observer) Replayed(session store.ID, reason string, at store.Position, lost int) {
	o(Event{Kind: KindReplayed, Session: session, Reason: reason, Position: at, Lost: lost})
}

// keys reports a change of the ring.
func (o observer) keys(n keywatch.Notice) {
	e := Event{Kind: KindKeys, Reason: n.Reason, Err: n.Err}
	if n.Alarm {
		e.Kind = KindAlarm
	}
	o(e)
}

// countUnknown returns observe, extended so that watch counts the credentials
// under unknown key ids.
func countUnknown(observe func(Event), watch *keywatch.Watch) func(Event) {
	return func(e Event) {
		if e.Kind == KindRefused && e.Err != nil && errors.Is(e.Err, keyring.ErrUnknown) {
			watch.Unknown()
		}
		observe(e)
	}
}
