package main

import (
	"context"
	"errors"
)

func keysRewrap(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys rewrap", "seals the key set under another keeper; the keys stay, and nobody is logged out",
		"wafer keys rewrap --ring data/ring --keeper file:data/ring.key --to file:data/new.key\nwafer keys rewrap --ring data/ring --to passphrase:")
	f.withRing()
	to := f.String("to", "", "the new `keeper`, as --keeper; a key file is made where it is absent, and passphrase: takes $"+newPassphraseVariable+" or asks")
	if err := f.parse(args); err != nil {
		return err
	}
	if *to == "" {
		return f.usageError("--to is missing")
	}
	if *to != "passphrase:" && (*to == f.ring.keeper || f.ring.keeper == "" && *to == "file:"+f.ring.ring+".key") {
		return f.usageError("--to names the keeper that the ring has")
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	keeper, made, err := f.makeKeeper("to", *to, f.ring.ring, newPassphraseVariable)
	if err != nil {
		return err
	}
	if err := ring.Rewrap(ctx, keeper); err != nil {
		return err
	}
	lines := []string{"The key set is sealed under " + *to + ". Restart every node with it now: those with the old keeper go on with the keys that they have, and learn of no change."}
	if made != "" {
		lines = append(lines, "Made its key in "+made+": without it the key set is lost.")
	}
	return f.outputRing(ring, ringResult{Changed: true, Keeper: made}, lines...)
}
