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
	Subject       string    `json:"subject"`
	Actor         string    `json:"actor,omitempty"` // acts for the subject
	Label         string    `json:"label"`
	Native        bool      `json:"native"`
	Bound         bool      `json:"bound"` // to a key of the device
	Started       time.Time `json:"started"`
	Authenticated time.Time `json:"authenticated"`
	Seen          time.Time `json:"seen"`     // its last refresh
	Deadline      time.Time `json:"deadline"` // unless it is refreshed earlier
	Generation    uint32    `json:"generation"`
}

func viewSession(f *store.Family) sessionView {
	return sessionView{
		ID: f.ID.String(), Subject: f.Subject, Actor: f.Actor, Label: f.Label, Native: f.Native, Bound: !f.Key.IsZero(), Generation: f.Generation,
		Started: f.Started.UTC(), Authenticated: f.Authenticated.UTC(), Seen: f.Issued.UTC(), Deadline: deadline(f).UTC(),
	}
}

func deadline(f *store.Family) time.Time {
	if idle := f.IdleDeadline(); idle.Before(f.Deadline()) {
		return idle
	}
	return f.Deadline()
}

func sessionsList(ctx context.Context, e *env, args []string) error {
	f := e.flags("sessions list", "shows the living sessions of a subject, or of everybody, the newest first", "wafer sessions list --store sqlite:data/wafer.db --subject alice")
	f.withStore()
	subject := f.String("subject", "", "whose sessions: the `name` that the application gave to Start")
	everybody := f.Bool("everybody", false, "those of everybody")
	most := f.Int("most", 1000, "show at most this `many`")
	if err := f.parse(args); err != nil {
		return err
	}
	if (*subject == "") != *everybody {
		return f.usageError("want either --subject or --everybody")
	}
	if *most < 1 {
		return f.usageError("--most %d: want at least 1", *most)
	}
	if !*everybody {
		if err := store.CheckSubject(*subject); err != nil {
			return f.usageError("--subject: %v", err)
		}
	}
	db, closer, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	views, more, err := listSessions(ctx, db, *subject, *most)
	if err != nil {
		return err
	}
	return f.output(map[string]any{"subject": *subject, "sessions": views, "more": more}, func(w io.Writer) {
		printSessions(w, views)
		if more {
			fmt.Fprintf(e.stderr, "These are the newest %d; there may be more: see --most.\n", len(views))
		}
	})
}

// listSessions reads the pages of a list, up to most sessions. more reports
// whether there may be others.
func listSessions(ctx context.Context, db store.Store, subject string, most int) (views []sessionView, more bool, err error) {
	views = []sessionView{}
	q := store.Query{Subject: subject}
	for {
		q.Limit = min(store.MaxLooked, most-len(views))
		page, err := db.Families(ctx, q)
		if err != nil {
			return nil, false, err
		}
		for i := range page.Families {
			views = append(views, viewSession(&page.Families[i]))
		}
		q.After = page.Next
		more = page.Next != store.PageCursor{}
		if !more || len(views) == most {
			return views, more, nil
		}
	}
}

func printSessions(w io.Writer, views []sessionView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "SESSION\tSUBJECT\tKIND\tSTARTED\tSEEN\tDEADLINE\tLABEL")
	for _, v := range views {
		kind := "browser"
		if v.Native {
			kind = "native"
		}
		if v.Bound {
			kind += ", bound"
		}
		who := printable(v.Subject)
		if v.Actor != "" {
			who += " by " + printable(v.Actor)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", v.ID, who, kind, stamp(v.Started), stamp(v.Seen), stamp(v.Deadline), printable(v.Label))
	}
	t.Flush()
}
