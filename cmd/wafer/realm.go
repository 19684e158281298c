package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/waferkit/wafer/store"
)

func realmSet(ctx context.Context, e *env, args []string) error {
	f := e.flags("realm set", "makes a store belong to another realm, after a realm was mistyped or renamed. Nothing that was sealed in the old realm is accepted in the new one",
		"wafer realm set --store sqlite:data/wafer.db --realm shop.example/production")
	f.withStore()
	f.withYes()
	realm := f.String("realm", "", "the `realm`, as in the application's Config.Realm")
	if err := f.parse(args); err != nil {
		return err
	}
	if *realm == "" {
		return f.usageError("--realm is missing")
	}
	a := store.Announcement{Realm: *realm, Adopt: true}
	if err := a.Check(); err != nil {
		return f.usageError("--realm: %v", err)
	}
	db, closer, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	known, err := db.Announce(ctx, store.Announcement{})
	if err != nil {
		return err
	}
	if known.Realm != "" && known.Realm != *realm {
		if err := f.confirm("The store belongs to %q. Nodes that use it now: %d. They alarm until they are started with the new realm. Go on?", known.Realm, len(known.Nodes)); err != nil {
			return err
		}
	}
	if _, err := db.Announce(ctx, a); err != nil {
		return err
	}
	return f.output(map[string]any{"realm": *realm, "before": known.Realm}, func(w io.Writer) {
		fmt.Fprintf(w, "The store belongs to realm %q.\n", *realm)
	})
}

func keysAdopt(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys adopt", "makes a store go on with this key set, after the key set was replaced or put back on purpose. Sessions that were sealed under other keys end",
		"wafer keys adopt --store sqlite:data/wafer.db --ring data/ring")
	f.withRing()
	f.withYes()
	if err := f.parse(args); err != nil {
		return err
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	db, closer, err := f.openStore(ctx)
	if err != nil {
		return err
	}
	defer closer.Close()
	known, err := db.Announce(ctx, store.Announcement{})
	if err != nil {
		return err
	}
	set := ring.Set()
	a := store.Announcement{Ring: store.ID(set.ID()), RingVersion: set.Version(), Adopt: true}
	if !known.Ring.IsZero() && (known.Ring != a.Ring || known.RingVersion > a.RingVersion) {
		if err := f.confirm("The store has seen version %d of ring %v, and this is version %d of ring %v. Nodes that use the store now: %d. Go on?",
			known.RingVersion, known.Ring, a.RingVersion, a.Ring, len(known.Nodes)); err != nil {
			return err
		}
	}
	if _, err := db.Announce(ctx, a); err != nil {
		return err
	}
	return f.output(map[string]any{"ring": a.Ring.String(), "version": a.RingVersion}, func(w io.Writer) {
		fmt.Fprintf(w, "The store goes on with version %d of ring %v.\n", a.RingVersion, a.Ring)
	})
}
