package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/waferkit/wafer/store"
)

// sessionView is the output form of a living session.
type sessionView struct {
	ID            string    `json:"id"`
	Label         string    `json:"label"`
	Native        bool      `json:"native"`
	Started       time.Time `json:"started"`
	Authenticated time.Time `json:"authenticated"`
	Seen          time.Time `json:"seen"`     // its last refresh
	Deadline      time.Time `json:"deadline"` // unless it is refreshed earlier
	Generation    uint32    `json:"generation"`
}

func viewSession(f *store.Family) sessionView {
	return sessionView{
		ID: f.ID.String(), Label: f.Label, Native: f.Native, Generation: f.Generation,
		Started: f.Started.UTC(), Authenticated: f.Authenticated.UTC(), Seen: f.Issued.UTC(), Deadline: deadline(f).UTC(),
	}
}

func deadline(f *store.Family) time.Time {
	if idle := f.IdleDeadline(); idle.Before(f.Absolute) {
		return idle
	}
	return f.Absolute
}

func sessionsList(ctx context.Context, e *env, args []string) error {
	f := e.flags("sessions list", "shows the living sessions of a subject", "wafer sessions list --store sqlite:data/wafer.db --subject alice")
	f.withStore()
	subject := f.String("subject", "", "whose sessions: the `name` that the application gave to Start")
	if err := f.parse(args); err != nil {
		return err
	}
	if *subject == "" {
		return f.usageError("--subject is missing")
	}
	if err := store.CheckSubject(*subject); err != nil {
		return f.usageError("--subject: %v", err)
	}
	db, closer, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	families, err := db.Families(ctx, *subject, store.MaxListed)
	if err != nil {
		return err
	}
	views := make([]sessionView, len(families))
	for i := range families {
		views[i] = viewSession(&families[i])
	}
	more := len(families) == store.MaxListed
	return f.output(map[string]any{"subject": *subject, "sessions": views, "more": more}, func(w io.Writer) {
		printSessions(w, views)
		if more {
			fmt.Fprintf(e.stderr, "These are the %d that were started last; there may be more.\n", len(views))
		}
	})
}

func printSessions(w io.Writer, views []sessionView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tKIND\tSTARTED\tSEEN\tDEADLINE\tLABEL")
	for _, v := range views {
		kind := "browser"
		if v.Native {
			kind = "native"
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, kind, stamp(v.Started), stamp(v.Seen), stamp(v.Deadline), printable(v.Label))
	}
	t.Flush()
}
