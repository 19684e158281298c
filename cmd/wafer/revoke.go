package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// stringList is a flag that may be given several times. Set never fails, since the
// flag package would then print the text, which may be a pasted credential.
type stringList []string

func (t *stringList) String() string     { return strings.Join(*t, " ") }
func (t *stringList) Set(s string) error { *t = append(*t, s); return nil }

// revokeFlags are the flags of the commands that revoke.
type revokeFlags struct {
	*flags
	reason, actor string
	wait          bool
}

func (e *env) revokeFlags(name, summary, example, reason string) *revokeFlags {
	f := &revokeFlags{flags: e.flags(name, summary, example)}
	f.withStore()
	f.withYes()
	f.StringVar(&f.reason, "reason", reason, "why: kept in the log, for an audit (required)")
	f.StringVar(&f.actor, "actor", "", "who wants it: kept in the log")
	f.BoolVar(&f.wait, "wait", false, "return when no node can accept it any more. An interrupt ends the wait, not the revocation")
	return f
}

func revoke(ctx context.Context, e *env, args []string) error {
	f := e.revokeFlags("revoke", "ends sessions, at once where it is noticed and MaxStaleness later everywhere",
		"wafer revoke --store sqlite:data/wafer.db --subject alice --reason \"laptop stolen\" --wait", "")
	var subjects, sessions stringList
	f.Var(&subjects, "subject", "end all sessions of this `name`; may be given several times")
	f.Var(&sessions, "session", "end the session with this `id`; may be given several times")
	var handles stringList
	f.Var(&handles, "name", "end the sessions that bear this `name` of an outside system, such as an identity provider's session; may be given several times")
	everyone := f.Bool("everyone", false, "end all sessions of everyone")
	if err := f.parse(args); err != nil {
		return err
	}
	r := store.Revocation{Subjects: subjects, Everyone: *everyone}
	for i, text := range sessions {
		id, err := store.ParseID(text)
		if err != nil || id.IsZero() {
			return f.usageError("--session %d of %d is no session's id: want 32 hexadecimal digits in lower case, as sessions list shows them", i+1, len(sessions))
		}
		r.Sessions = append(r.Sessions, id)
	}
	for i, subject := range subjects {
		if err := store.CheckSubject(subject); err != nil {
			return f.usageError("--subject %d of %d: %v", i+1, len(subjects), err)
		}
	}
	var names []store.Name
	for i, handle := range handles {
		name, err := store.NameOf(handle)
		if err != nil {
			return f.usageError("--name %d of %d: %v", i+1, len(handles), err)
		}
		names = append(names, name)
	}
	if len(subjects)+len(sessions)+len(names) == 0 && !*everyone {
		return f.usageError("nobody is named: want --subject, --session, --name or --everyone")
	}
	var prompt string
	switch {
	case *everyone:
		prompt = "This ends the sessions of everyone. Go on?"
	case len(subjects) > 0:
		prompt = fmt.Sprintf("This ends all sessions of %s. Go on?", list(subjects))
	}
	return f.run(ctx, r, names, prompt)
}

// list lists some of the subjects for a prompt.
func list(subjects []string) string {
	const most = 5
	shown := make([]string, 0, most)
	for _, s := range subjects[:min(len(subjects), most)] {
		shown = append(shown, printable(s))
	}
	text := strings.Join(shown, ", ")
	if n := len(subjects) - most; n > 0 {
		text += fmt.Sprintf(" and %d more", n)
	}
	return text
}

// run confirms the prompt unless it is empty, revokes, and prints the position.
func (f *revokeFlags) run(ctx context.Context, r store.Revocation, names []store.Name, prompt string) error {
	if f.reason == "" {
		return f.usageError("--reason is missing: it is kept in the log, for an audit")
	}
	r.Reason, r.Actor = f.reason, f.actor
	if err := (&store.Revocation{Everyone: true, Reason: r.Reason, Actor: r.Actor}).Check(); err != nil {
		return f.usageError("--reason or --actor: %v", err)
	}
	db, closer, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	if prompt != "" {
		if err := f.confirm("%s", prompt); err != nil {
			return err
		}
	}
	last, ended, err := revokeAll(ctx, db, r, names)
	if err != nil {
		return fmt.Errorf("a part may have been revoked, revoking again does no harm: %w", err)
	}
	committed := time.Now()
	c, err := db.Cutoffs(ctx, store.ID{}, "")
	if err != nil {
		return fmt.Errorf("it is revoked at position %d; how long nodes may take is not known: %w", last, err)
	}
	result := map[string]any{"position": last, "max_staleness_seconds": c.MaxStaleness.Seconds()}
	if !r.Everyone { // of which the store does not count the sessions
		result["ended"] = ended
	}
	err = f.output(result, func(w io.Writer) {
		fmt.Fprintf(w, "revoked at position %d%s\n", last, endedText(r, ended))
	})
	if err != nil || !f.wait {
		return err
	}
	return f.await(ctx, committed, c.MaxStaleness)
}

// endedText says how many sessions a revocation has ended.
func endedText(r store.Revocation, ended int) string {
	switch {
	case r.Everyone:
		return ""
	case ended >= store.MaxLooked && len(r.Subjects) > 0:
		return fmt.Sprintf("; living sessions that it ended: %d or more", ended)
	}
	return fmt.Sprintf("; living sessions that it ended: %d", ended)
}

// revokeAll revokes in as many steps as the store's bound requires, and returns
// the position of the last one and the number of living sessions that ended.
func revokeAll(ctx context.Context, db store.Store, r store.Revocation, names []store.Name) (last store.Position, ended int, err error) {
	parts := r.Parts()
	for _, name := range names {
		part := store.Revocation{Name: name, Reason: r.Reason, Actor: r.Actor, Above: r.Above}
		rand.Read(part.ID[:])
		parts = append(parts, part)
	}
	for _, part := range parts {
		for more := true; more; {
			part.Above = max(part.Above, last)
			snap, err := db.Revoke(ctx, part)
			if err != nil {
				return last, ended, err
			}
			last, more = max(last, snap.Entry), snap.More
			ended += snap.Ended
		}
	}
	return last, ended, nil
}

const (
	// granularity is more than the coarsest clock's step. A node may measure
	// MaxStaleness longer by that much.
	granularity = 20 * time.Millisecond
	// progress is the interval between two reports of the remaining wait.
	progress = 5 * time.Second
)

// await returns when no node that has announced itself can accept what was
// revoked: each has read the log since, or treats its list as stale.
func (f *revokeFlags) await(ctx context.Context, committed time.Time, staleness time.Duration) error {
	until := committed.Add(staleness + granularity)
	if staleness == 0 {
		fmt.Fprintln(f.env.stderr, "No node has ever used this store: there is nobody to wait for.")
		return nil
	}
	for {
		left := time.Until(until)
		if left <= 0 {
			fmt.Fprintln(f.env.stderr, "No node accepts it any more.")
			return nil
		}
		fmt.Fprintf(f.env.stderr, "Every node has it in at most %v.\n", left.Round(time.Millisecond))
		select {
		case <-ctx.Done():
			fmt.Fprintln(f.env.stderr, "The wait was interrupted. It is revoked all the same.")
			return errNo // or a script would go on as if every node had it
		case <-time.After(min(left, progress)):
		}
	}
}
