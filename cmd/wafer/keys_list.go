package main

import (
	"context"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// keyView is the output form of a key. It contains no secret.
type keyView struct {
	ID        string     `json:"id"`
	State     string     `json:"state"` // next, primary, opens, expired, revoked
	Created   time.Time  `json:"created"`
	Activates time.Time  `json:"activates"`
	Expires   *time.Time `json:"expires,omitempty"`
	Revoked   *time.Time `json:"revoked,omitempty"`
	Reason    string     `json:"reason,omitempty"`
}

func viewKeys(set *keyring.Set, now time.Time) []keyView {
	primary, _ := set.Primary(now)
	views := []keyView{}
	for _, k := range set.Keys() {
		v := keyView{ID: k.ID().String(), State: "opens", Created: k.Created().UTC(), Activates: k.Activates().UTC()}
		if at := k.Expires(); !at.IsZero() {
			at = at.UTC()
			v.Expires = &at
			if !now.Before(at) {
				v.State = "expired"
			}
		}
		if r, revoked := k.Revocation(); revoked {
			at := r.At.UTC()
			v.State, v.Revoked, v.Reason = "revoked", &at, r.Reason
		} else if primary != nil && k.ID() == primary.ID() {
			v.State = "primary"
		} else if now.Before(k.Activates()) {
			v.State = "next"
		}
		views = append(views, v)
	}
	return views
}

func printKeys(w io.Writer, views []keyView) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "KEY\tSTATE\tACTIVATES\tEXPIRES\tREASON")
	for _, v := range views {
		expires := "-"
		if v.Expires != nil {
			expires = v.Expires.Format(time.RFC3339)
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", v.ID, v.State, v.Activates.Format(time.RFC3339), expires, v.Reason)
	}
	t.Flush()
}

func keysList(ctx context.Context, e *env, args []string) error {
	f := e.flags("keys list", "shows the keys, and which one seals", "wafer keys list --ring demo-data/ring")
	f.withRing()
	if err := f.parse(args); err != nil {
		return err
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer done()
	views := viewKeys(ring.Set(), e.now())
	return f.output(map[string]any{"version": ring.Set().Version(), "keys": views}, func(w io.Writer) { printKeys(w, views) })
}
