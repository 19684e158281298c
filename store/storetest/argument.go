package storetest

import (
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

var arguing = []property{
	{name: "WhatATypeForbidsIsRefused", test: func(h *harness) {
		f := h.written(h.Advance(h.ctx, next(h.committed("anna", "value")))).Family
		other := h.family("bob")
		long := strings.Repeat("x", 256)
		const far = store.MaxPosition + 1
		calls := map[string]func() error{}
		create := func(name string, change func(c *store.Creation)) {
			calls["Create: "+name] = func() error {
				// But for the one change, the call would renew, end and store a
				// value.
				c := renewal(f)
				c.Ends[0], c.Value = other.ID, []byte("value")
				change(&c)
				_, err := h.Create(h.ctx, c)
				return err
			}
		}
		create("zero id", func(c *store.Creation) { c.ID = store.ID{} })
		create("no subject", func(c *store.Creation) { c.Subject = "" })
		create("long subject", func(c *store.Creation) { c.Subject = long })
		create("subject not UTF-8", func(c *store.Creation) { c.Subject = "anna\xff" })
		create("subject with NUL", func(c *store.Creation) { c.Subject = "anna\x00" })
		create("label with NUL", func(c *store.Creation) { c.Label = "\x00" })
		create("long label", func(c *store.Creation) { c.Label = long })
		create("label not UTF-8", func(c *store.Creation) { c.Label = "\xff" })
		create("long reason", func(c *store.Creation) { c.Reason = long })
		create("long actor of the entries", func(c *store.Creation) { c.By = long })
		create("no idle limit", func(c *store.Creation) { c.Renews, c.Idle = nil, 0 })
		create("a negative absolute limit", func(c *store.Creation) { c.Renews, c.Absolute = nil, -time.Hour })
		create("a limit below a millisecond", func(c *store.Creation) { c.Renews, c.Idle = nil, time.Millisecond-1 })
		create("NotBefore of 54 bits", func(c *store.Creation) { c.NotBefore = far })
		create("Above of 54 bits", func(c *store.Creation) { c.Above = far })
		create("a long actor", func(c *store.Creation) { c.Actor = long })
		create("an actor with NUL", func(c *store.Creation) { c.Actor = "a\x00" })
		create("long methods", func(c *store.Creation) { c.Methods = long })
		create("methods not UTF-8", func(c *store.Creation) { c.Methods = "\xff" })
		create("a long level", func(c *store.Creation) { c.Level = long })
		create("five names", func(c *store.Creation) { c.Names = named("a", "b", "c", "d", "e") })
		create("the zero name", func(c *store.Creation) { c.Names = []store.Name{{}} })
		create("a name twice", func(c *store.Creation) { c.Names = []store.Name{named("a")[0], named("a")[0]} })
		create("names in falling order", func(c *store.Creation) { c.Names = named("a", "b"); slices.Reverse(c.Names) })
		create("a negative leeway", func(c *store.Creation) { c.Leeway = -1 })
		create("a negative time to be known", func(c *store.Creation) { c.Known = -1 })
		create("an authentication without a start", func(c *store.Creation) { c.Authenticated = time.Now() })
		create("long methods of a renewal", func(c *store.Creation) { c.Renews.Methods = long })
		create("a level of a renewal with NUL", func(c *store.Creation) { c.Renews.Level = "\x00" })
		create("a negative limit of families", func(c *store.Creation) { c.Limit = -1 })
		create("a long value", func(c *store.Creation) { c.Value = make([]byte, store.MaxValue+1) })
		create("it ends itself", func(c *store.Creation) { c.Ends[1] = c.ID })
		create("it renews itself", func(c *store.Creation) { c.Renews.ID = c.ID })
		create("it renews the zero id", func(c *store.Creation) { c.Renews.ID = store.ID{} })
		create("a basis of 54 bits", func(c *store.Creation) { c.Renews.Basis = far })

		bind := func(name string, change func(b *store.Binding)) {
			calls["Bind: "+name] = func() error {
				b := binding(f, newKey())
				change(&b)
				_, err := h.Bind(h.ctx, b)
				return err
			}
		}
		bind("zero id", func(b *store.Binding) { b.ID = store.ID{} })
		bind("zero key", func(b *store.Binding) { b.Key = store.Key{} })

		advance := func(name string, change func(a *store.Advance)) {
			calls["Advance: "+name] = func() error {
				a := next(f)
				change(&a)
				_, err := h.Advance(h.ctx, a)
				return err
			}
		}
		advance("zero id", func(a *store.Advance) { a.ID = store.ID{} })
		advance("generation 0", func(a *store.Advance) { a.Generation = 0 })
		advance("the last generation", func(a *store.Advance) { a.Generation = store.MaxGeneration })
		advance("a generation of 21 bits", func(a *store.Advance) { a.Generation |= 1 << 20 })
		advance("a copy of 13 bits", func(a *store.Advance) { a.Copy |= 1 << 12 })
		advance("a negative age", func(a *store.Advance) { a.Age = -1 })
		advance("a negative skew", func(a *store.Advance) { a.Skew = -1 })
		advance("a basis of 54 bits", func(a *store.Advance) { a.Basis = far })

		reissue := func(name string, change func(r *store.Reissue)) {
			calls["Reissue: "+name] = func() error {
				r := copyOf(f)
				change(&r)
				_, err := h.Reissue(h.ctx, r)
				return err
			}
		}
		reissue("zero id", func(r *store.Reissue) { r.ID = store.ID{} })
		reissue("generation 0", func(r *store.Reissue) { r.Generation = 0 })
		reissue("the last generation", func(r *store.Reissue) { r.Generation = store.MaxGeneration })
		reissue("a generation of 21 bits", func(r *store.Reissue) { r.Generation |= 1 << 20 })
		reissue("a copy of 13 bits", func(r *store.Reissue) { r.Copy |= 1 << 12 })
		reissue("a negative age", func(r *store.Reissue) { r.Age = -1 })
		reissue("a negative skew", func(r *store.Reissue) { r.Skew = -1 })
		reissue("a basis of 54 bits", func(r *store.Reissue) { r.Basis = far })

		commit := func(name string, change func(c *store.Commit)) {
			calls["Commit: "+name] = func() error {
				c := keep(f, "more")
				change(&c)
				_, err := h.Commit(h.ctx, c)
				return err
			}
		}
		commit("zero id", func(c *store.Commit) { c.ID = store.ID{} })
		commit("no value", func(c *store.Commit) { c.Value = nil })
		commit("a long value", func(c *store.Commit) { c.Value = make([]byte, store.MaxValue+1) })
		commit("a basis of 54 bits", func(c *store.Commit) { c.Basis = far })
		commit("Above of 54 bits", func(c *store.Commit) { c.Above = far })
		commit("long actor", func(c *store.Commit) { c.Actor = long })

		revoke := func(name string, change func(r *store.Revocation)) {
			calls["Revoke: "+name] = func() error {
				r := elsewhere(f)
				change(&r)
				_, err := h.Revoke(h.ctx, r)
				return err
			}
		}
		revoke("nothing", func(r *store.Revocation) { *r = store.Revocation{} })
		revoke("zero id among others", func(r *store.Revocation) { *r = store.Revocation{Sessions: []store.ID{f.ID, {}}} })
		revoke("no subject", func(r *store.Revocation) { *r = store.Revocation{Subjects: []string{"anna", ""}} })
		revoke("long subject", func(r *store.Revocation) { *r = store.Revocation{Subjects: []string{"anna", long}} })
		revoke("subject with NUL", func(r *store.Revocation) { *r = store.Revocation{Subjects: []string{"anna", "\x00"}} })
		revoke("too many entries", func(r *store.Revocation) {
			*r = store.Revocation{Everyone: true}
			for range store.MaxEntries {
				r.Sessions = append(r.Sessions, newID())
			}
		})
		revoke("long reason", func(r *store.Revocation) { r.Reason = long })
		revoke("actor not UTF-8", func(r *store.Revocation) { r.Actor = "\xff" })
		revoke("Above of 54 bits", func(r *store.Revocation) { r.Above = far })
		revoke("Except of no subject", func(r *store.Revocation) { r.Subjects, r.Sessions = nil, []store.ID{other.ID} })
		revoke("Except of two subjects", func(r *store.Revocation) { r.Subjects = []string{"anna", "bob"} })
		revoke("Except with a session", func(r *store.Revocation) { r.Sessions = []store.ID{other.ID} })
		revoke("Except with everyone", func(r *store.Revocation) { r.Everyone = true })
		revoke("Except of the zero id", func(r *store.Revocation) { r.Except.ID = store.ID{} })
		revoke("Except with a name", func(r *store.Revocation) { r.Name = named("n")[0] })
		revoke("a name and a session", func(r *store.Revocation) { *r = revokeName("n"); r.Sessions = []store.ID{f.ID} })
		revoke("a name and a subject", func(r *store.Revocation) { *r = revokeName("n"); r.Subjects = []string{"anna"} })
		revoke("a name and everyone", func(r *store.Revocation) { *r = revokeName("n"); r.Everyone = true })
		revoke("a name and Except alone", func(r *store.Revocation) { r.Name, r.Subjects = named("n")[0], nil })
		revoke("an id without a name", func(r *store.Revocation) { r.ID = newID() })
		revoke("a ring without everyone", func(r *store.Revocation) { r.Ring = newID() })
		revoke("a ring's version without everyone", func(r *store.Revocation) { r.RingVersion = 1 })
		revoke("a basis of 54 bits", func(r *store.Revocation) { r.Except.Basis = far })

		since := func(name string, after store.Cursor, limit int) {
			calls["Since: "+name] = func() error { _, err := h.Since(h.ctx, after, limit, 0); return err }
		}
		since("limit 0", store.Cursor{}, 0)
		since("a negative limit", store.Cursor{}, -1)
		since("a limit too high", store.Cursor{}, store.MaxEntries+1)
		since("after 54 bits", store.Cursor{Position: far}, 1)
		since("an id at no position", store.Cursor{ID: newID()}, 1)

		families := func(name string, q store.Query) {
			calls["Families: "+name] = func() error { _, err := h.Families(h.ctx, q); return err }
		}
		families("limit 0", store.Query{Subject: "anna"})
		families("a negative limit", store.Query{Subject: "anna", Limit: -1})
		families("a limit too high", store.Query{Subject: "anna", Limit: store.MaxLooked + 1})
		families("a limit too high, of everybody", store.Query{Limit: store.MaxLooked + 1})
		families("after 54 bits", store.Query{Limit: 1, After: store.PageCursor{Birth: far}})
		families("long subject", store.Query{Subject: long, Limit: 1})
		families("subject not UTF-8", store.Query{Subject: "\xff", Limit: 1})

		h.nothingWritten(func() {
			for name, call := range calls {
				if err := call(); !isArgument(err) {
					h.t.Errorf("%s: %v: want an error that matches ErrArgument", name, err)
				}
			}
		}, f.ID, other.ID)
		h.wantFamilies("anna", 10, f.ID)
	}},
	{name: "OfNoSubjectThereIsNoCutoff", test: func(h *harness) {
		h.revokeSubject("anna")
		for _, subject := range []string{"anna\x00", "\xff", strings.Repeat("anna", 64)} {
			c, err := h.Cutoffs(h.ctx, newID(), subject)
			if err != nil && !isArgument(err) || c.Subject != 0 {
				h.t.Errorf("Cutoffs of %q: %+v, %v", subject, c, err)
			}
		}
	}},
	{name: "TheZeroIDNamesNoFamily", test: func(h *harness) {
		h.family("anna")
		s, err := h.Family(h.ctx, store.ID{})
		if err != nil && !isArgument(err) || err == nil && s.State != store.Absent {
			h.t.Errorf("Family of the zero id: %v, %v", s.State, err)
		}
	}},
	{name: "TheExtremesArePermitted", test: func(h *harness) {
		c := login(strings.Repeat("s", store.MaxSubject))
		c.Label, c.Reason, c.By = strings.Repeat("l", store.MaxLabel), strings.Repeat("r", store.MaxReason), strings.Repeat("a", store.MaxReason)
		c.Idle, c.Absolute = time.Hour, 10*365*24*time.Hour
		c.Limit, c.NotBefore, c.Value = 1<<31-1, store.MaxPosition, make([]byte, store.MaxValue)
		c.Names, c.Actor = named("a", "b", "c", "d"), strings.Repeat("é", store.MaxSubject/2)
		c.Methods, c.Level = strings.Repeat("m", store.MaxText), strings.Repeat("\x01", store.MaxText)
		c.Known, c.Leeway, c.Started = 10*365*24*time.Hour, 1<<63-1, h.now()
		c.Authenticated = time.UnixMilli(1)
		f := h.create(c)
		want := store.Family{
			ID: c.ID, Subject: c.Subject, Label: c.Label, Names: c.Names, Actor: c.Actor, Methods: c.Methods, Level: c.Level, Seal: c.Seal,
			Birth: f.Birth, Position: f.Position, Generation: 1, Started: c.Started, Authenticated: c.Authenticated, Issued: f.Issued, Idle: c.Idle, Absolute: c.Absolute,
		}
		h.same(f, want)
		h.same(h.look(f.ID).Family, want)
		a := next(f)
		a.Generation, a.Copy, a.Basis = store.MaxGeneration-1, store.MaxCopy, store.MaxPosition
		a.Age, a.Lag, a.Skew = 1<<63-1, 1<<16-1, 1<<63-1
		h.unwritten(h.Advance(h.ctx, a))
		r := store.Reissue{ID: f.ID, Generation: a.Generation, Copy: a.Copy, Basis: a.Basis, Age: a.Age, Skew: a.Skew}
		h.unwritten(h.Reissue(h.ctx, r))
		// No duration is so long that an engine's arithmetic turns it around.
		a = next(f)
		a.Age, a.Skew = 1<<63-1, 1<<63-1
		h.unwritten(h.Advance(h.ctx, a))
		f = h.advanced(f)
		r = copyOf(f)
		r.Age, r.Skew = 1<<63-1, 1<<63-1
		h.unwritten(h.Reissue(h.ctx, r))
		if _, err := h.Families(h.ctx, store.Query{Subject: c.Subject, Limit: store.MaxLooked}); err != nil {
			h.t.Error(err)
		}
		if _, err := h.Since(h.ctx, store.Cursor{Position: store.MaxPosition, ID: newID()}, store.MaxEntries, 0); err != nil {
			h.t.Error(err)
		}
	}},
}

func isArgument(err error) bool { return errors.Is(err, store.ErrArgument) }
