package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/seals"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// storeReport is the state of the session in the store. From Seal on it is what
// the session's row says, which is to be believed if its seal is verified.
type storeReport struct {
	Family string         `json:"family"` // alive, ended, cut off, absent
	Head   store.Position `json:"head"`
	Floor  store.Position `json:"floor"`

	Seal       string     `json:"seal,omitempty"` // "verified", or why not
	Generation uint32     `json:"generation,omitempty"`
	Copy       uint16     `json:"copy,omitempty"` // so many answers were lost since the last advance
	Deadline   *time.Time `json:"deadline,omitempty"`
	Actor      string     `json:"actor,omitempty"` // acts for the subject
	Methods    string     `json:"methods,omitempty"`
	Level      string     `json:"level,omitempty"`
	Names      []string   `json:"names,omitempty"` // their hashes
	Bound      string     `json:"bound,omitempty"` // the thumbprint of the device's key
	Counts     bool       `json:"counts"`          // the key is asked for
	First      string     `json:"first,omitempty"` // the session that was bound, if this one took over its key
	Successor  string     `json:"successor,omitempty"`
}

// sealVerified is a storeReport's Seal if the row is as it was sealed.
const sealVerified = "verified"

// living reports whether a family is alive and within its limits.
func living(snap *store.Snapshot) bool {
	return snap.State == store.Alive && !snap.Family.Past(snap.Now)
}

// showFamily adds a family to the report. It reports whether the row is as the
// instance with that session cookie sealed it. The error is about the ring, which
// cannot be read.
func (i *inspector) showFamily(ctx context.Context, snap *store.Snapshot, cookie string) (verified bool, err error) {
	r := &storeReport{Family: snap.State.String(), Head: snap.Head, Floor: snap.Floor}
	i.report.Store = r
	if snap.State == store.Absent {
		return false, nil
	}
	f := &snap.Family
	r.Generation, r.Copy, r.Deadline = f.Generation, f.Copy, utc(deadline(f))
	r.Actor, r.Methods, r.Level, r.Counts = f.Actor, f.Methods, f.Level, f.Counts
	for _, name := range f.Names {
		r.Names = append(r.Names, name.String())
	}
	if !f.Key.IsZero() {
		r.Bound = fmt.Sprintf("%x", f.Key[:])
	}
	if !f.First.IsZero() {
		r.First = f.First.String()
	}
	if !f.Successor.IsZero() {
		r.Successor = f.Successor.String()
	}
	rows, err := seals.New(i.keys, codec.Instance{Realm: i.realm, SessionCookie: cookie})
	if err == nil {
		err = rows.Verify(ctx, i.now, f)
	}
	switch {
	case err == nil:
		r.Seal = sealVerified
	case errors.Is(err, refresh.ErrUnverifiable):
		return false, err
	default:
		r.Seal = err.Error()
	}
	return err == nil, nil
}

// print prints the report by a function that prints one line.
func (r *storeReport) print(line func(name, format string, args ...any)) {
	line("store", "family %s, head %d, floor %d", r.Family, r.Head, r.Floor)
	if r.Seal == "" {
		return
	}
	if r.Seal == sealVerified {
		line("", "its row is as it was sealed")
	} else {
		line("", "its row is NOT as it was sealed: %s", r.Seal)
	}
	line("", "generation %s, lives until %s unless refreshed", generation(r.Generation, r.Copy), stamp(*r.Deadline))
	for _, field := range []struct{ name, value string }{
		{"actor", r.Actor}, {"methods", r.Methods}, {"level", r.Level}, {"hashes of its names", strings.Join(r.Names, ", ")},
		{"took over the key of session", r.First}, {"its key went to session", r.Successor},
	} {
		if field.value != "" {
			line("", "%s: %s", field.name, field.value)
		}
	}
	switch {
	case r.Bound != "" && r.Counts:
		line("", "bound to the device's key %s", r.Bound)
	case r.Bound != "":
		line("", "bound to the device's key %s, which is not asked for yet", r.Bound)
	}
}
