package redis

import (
	"context"
	"log/slog"
	"strings"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// settingsEvery is how often the server's settings are read again: an
// administrator can change them at any time. Tests shorten it.
var settingsEvery = time.Minute

// settingsWatch logs a change of the server's settings, and failures of
// housekeeping, once each.
type settingsWatch struct {
	store   *Store
	every   time.Duration
	checked time.Time
	server  *goredis.Client
	refused string // why Open would refuse the server now, or ""
	failure string // the kind of error that housekeeping fails with, or ""
}

func newSettingsWatch(s *Store) *settingsWatch {
	return &settingsWatch{store: s, every: settingsEvery, checked: time.Now(), server: s.servers.known()}
}

// swept handles the result of a step of housekeeping, and reads the settings if
// they are due or the server has changed.
func (w *settingsWatch) swept(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return // the store is closed
	}
	name := slog.String("store", w.store.name)
	failure := errorKind(err)
	if failure != w.failure {
		w.failure = failure
		if err != nil {
			w.store.options.Logger.WarnContext(ctx, "wafer: redis: housekeeping fails: old entries stay, which takes memory", name, slog.Any("error", err))
		} else {
			w.store.options.Logger.InfoContext(ctx, "wafer: redis: housekeeping goes on", name)
		}
	}
	if server := w.store.servers.known(); time.Since(w.checked) >= w.every || server != nil && server != w.server {
		w.checked, w.server = time.Now(), server
		w.check(ctx)
	}
}

// check reads the server's settings. An error is not logged here: housekeeping
// fails then, too.
func (w *settingsWatch) check(ctx context.Context) {
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

// errorKind returns the first word of a server's error reply, which names the kind
// of error, or one phrase for all connection errors. The full texts differ each
// time, so every failure would be logged as a new one.
func errorKind(err error) string {
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
