package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/waferkit/wafer/keyring"
)

func keysMove(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys move", "makes a key set elsewhere hold the same keys, as the same ring; the old one stays until you delete it",
		"wafer keys move --ring data/ring --to store: --store sqlite:data/wafer.db\nwafer keys move --ring store: --store sqlite:data/wafer.db --keeper file:ring.key --to data/ring")
	f.withRing()
	to := f.String("to", "", "where to: a `file`, or store: for --store")
	toKeeper := f.String("to-keeper", "", "what `opens` it there, as --keeper; a key file is made where it is absent, and passphrase: takes $"+newPassphraseVariable+" (default: what opens --ring)")
	if err := f.parse(args); err != nil {
		return err
	}
	switch *to {
	case "":
		return f.usageError("--to is missing")
	case f.ring.ring:
		return f.usageError("--ring and --to are the same")
	}
	from, done, err := f.openSource(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	keeper, err := f.openKeeper(f.ring.keeper, f.ring.ring)
	if err != nil {
		return err
	}
	ring, err := keyring.Open(ctx, from, keeper)
	if err != nil {
		return err
	}
	target := keyring.File(*to)
	if *to == "store:" {
		db, closer, err := f.openStore(ctx)
		if err != nil {
			return err
		}
		defer closer.Close()
		target = db
	}
	// This comes before a key file is made.
	if version, _, err := target.LoadKeys(ctx); err != nil {
		return err
	} else if version != 0 {
		return fmt.Errorf("%s: there is a key set already", *to)
	}
	made := ""
	if *toKeeper != "" {
		if keeper, made, err = f.makeKeeper("to-keeper", *toKeeper, *to, newPassphraseVariable); err != nil {
			return err
		}
	}
	moved, err := keyring.Move(ctx, ring, target, keeper, e.now())
	if err != nil {
		return err
	}
	return f.outputRing(moved, ringResult{Changed: true, Keeper: made},
		"The keys are in "+*to+" now, too. Deploy every node with it before the next key activates; until then rotate nothing by hand, and revoke in both. Then delete "+f.ring.ring+".")
}
