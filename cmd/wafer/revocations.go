package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"time"
	"unicode"

	"github.com/waferkit/wafer/store"
)

// entryView is the output form of an entry of the log.
type entryView struct {
	Position store.Position `json:"position"`
	Time     time.Time      `json:"time"`
	Kind     string         `json:"kind"`
	Session  string         `json:"session,omitempty"`
	Subject  string         `json:"subject,omitempty"`
	Name     string         `json:"name,omitempty"` // the hash of it
	Reason   string         `json:"reason"`
	Actor    string         `json:"actor,omitempty"`
}

func viewEntry(e *store.Entry) entryView {
	v := entryView{Position: e.Position, Time: e.Time.UTC(), Kind: e.Kind.String(), Subject: e.Subject, Reason: e.Reason, Actor: e.Actor}
	if !e.Session.IsZero() {
		v.Session = e.Session.String()
	}
	if !e.Name.IsZero() {
		v.Name = e.Name.String()
	}
	return v
}

// line returns the entry as one line, whatever its texts contain.
func (v *entryView) line() string {
	parts := []string{fmt.Sprint(v.Position), stamp(v.Time), v.Kind}
	if name := v.Session + v.Subject + v.Name; name != "" {
		parts = append(parts, printable(name))
	}
	if v.Reason != "" {
		parts = append(parts, "reason: "+printable(v.Reason))
	}
	if v.Actor != "" {
		parts = append(parts, "actor: "+printable(v.Actor))
	}
	return strings.Join(parts, "  ")
}

// printable replaces unprintable characters, which could move a terminal's cursor
// or change its colours: labels, reasons and subjects come from outside.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, text)
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

// followWait is how long one query of --follow waits for entries.
const followWait = 10 * time.Second

func revocations(ctx context.Context, e *env, args []string) error {
	f := e.flags("revocations", "shows the log of revocations, the oldest first", "wafer revocations --store sqlite:data/wafer.db --follow --json")
	f.withStore()
	follow := f.Bool("follow", false, "wait for news, until it is interrupted")
	all := f.Bool("all", false, "show superseding entries too, of which every Commit of a session makes one")
	after := f.Uint64("after", 0, "only those above this `position`")
	if err := f.parse(args); err != nil {
		return err
	}
	if *after > uint64(store.MaxPosition) {
		return f.usageError("--after %d: positions end at %d", *after, store.MaxPosition)
	}
	db, closer, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	r := logReader{flags: f, db: db, all: *all, shown: store.Position(*after)}
	for {
		more, err := r.next(ctx, *follow)
		if err != nil && *follow && ctx.Err() != nil {
			return nil // an interrupt is the normal end of --follow
		}
		if err != nil || !more && !*follow {
			return err
		}
	}
}

// logReader reads the log and prints it.
type logReader struct {
	*flags
	db    store.Store
	all   bool
	log   store.ID
	shown store.Position // entries up to it are not shown
	after store.Cursor
}

// next reads and prints one batch, and reports whether there is more.
func (r *logReader) next(ctx context.Context, follow bool) (more bool, err error) {
	wait := time.Duration(0)
	if follow && r.after != (store.Cursor{}) {
		wait = followWait
	}
	b, err := r.db.Since(ctx, r.after, store.MaxEntries, wait)
	if err != nil {
		return false, err
	}
	switch {
	case b.Broken && b.Log == r.log && b.Floor > r.after.Position:
		// The entry at the cursor was dropped, and perhaps later ones.
		r.shown, r.after = max(r.shown, r.after.Position), store.Cursor{}
		return true, nil
	case b.Broken:
		fmt.Fprintln(r.env.stderr, "The log went back: it is another one, or was restored from a backup. From its beginning:")
		r.shown, r.after = 0, store.Cursor{}
		return true, nil
	}
	r.log = b.Log
	if b.Floor > max(r.shown, r.after.Position) {
		fmt.Fprintf(r.env.stderr, "Entries up to position %d have been dropped; what they covered can only be refreshed.\n", b.Floor)
		r.shown = b.Floor
	}
	for i := range b.Entries {
		entry := &b.Entries[i]
		r.after = entry.Cursor()
		if entry.Kind == store.KindSuperseding && !r.all || entry.Position <= r.shown {
			continue
		}
		if err := r.print(viewEntry(entry)); err != nil {
			return false, err
		}
	}
	if !b.More {
		r.after = store.Cursor{Position: b.Head, ID: b.HeadID}
	}
	return b.More, nil
}

// print prints an entry on a line of its own, in JSON too.
func (r *logReader) print(v entryView) error {
	if r.json {
		return json.NewEncoder(r.env.stdout).Encode(v)
	}
	_, err := fmt.Fprintln(r.env.stdout, v.line())
	return err
}
