package redis

import (
	"context"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// settingsEvery is how often the server's settings are read again: who may
// change them does not ask the application.
var settingsEvery = time.Minute // but for tests

// watch tells the log what has become of the server since Open, once for each
// change.
type watch struct {
	store   *Store
	every   time.Duration
	looked  time.Time
	server  *goredis.Client
	refused string // why Open would fail now; empty: it would not
	failure string // of housekeeping; empty: none
}

func newWatch(s *Store) *watch {
	return &watch{store: s, every: settingsEvery, looked: time.Now(), server: s.servers.known()}
}

// tidied takes in how a step of housekeeping ended.
func (w *watch) tidied(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // closed
	}
	name := slog.String("store", w.store.name)
	failure := kindOf(err)
	if failure != w.failure {
		w.failure = failure
		if err != nil {
			w.store.options.Logger.WarnContext(ctx, "wafer: redis: housekeeping fails: old entries stay, which takes memory", name, slog.Any("error", err))
		} else {
			w.store.options.Logger.InfoContext(ctx, "wafer: redis: housekeeping goes on", name)
		}
	}
	if server := w.store.servers.known(); time.Since(w.looked) >= w.every || server != nil && server != w.server {
		w.looked, w.server = time.Now(), server
		w.settings(ctx)
	}
}

// settings reads the server's settings. What cannot be read changes nothing:
// housekeeping fails then, too.
func (w *watch) settings(ctx context.Context) {
	d, err := w.store.Durability(ctx)
	if err != nil {
		return
	}
	refused := ""
	if err := d.refusal(); err != nil {
		refused = err.Error()
	}
	if refused == w.refused {
		return
	}
	w.refused = refused
	name := slog.String("store", w.store.name)
	if refused != "" {
		w.store.options.Logger.ErrorContext(ctx, "wafer: redis: "+refused, name)
	} else {
		w.store.options.Logger.InfoContext(ctx, "wafer: redis: the server's settings are right again", name)
	}
}

// kindOf is the first word of a server's answer, which names the kind of error,
// or one word for every error of the way to it. Their texts differ each time.
func kindOf(err error) string {
	switch {
	case err == nil:
		return ""
	case notServing(err):
		return "not serving"
	case !isReply(err):
		return "no answer"
	}
	for each := err; ; {
		inner, ok := each.(interface{ Unwrap() error })
		if !ok || inner.Unwrap() == nil {
			kind, _, _ := strings.Cut(each.Error(), " ")
			return kind
		}
		each = inner.Unwrap()
	}
}
