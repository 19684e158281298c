package main

import (
	"context"
	"errors"

	"github.com/waferkit/wafer/keyring"
)

func keysRotate(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys rotate", "publishes the next key, hands over to it as soon as every node can know it ("+keyring.Lead.String()+"), and drops the keys under which nothing can live; any number of times makes one key",
		"wafer keys rotate --ring data/ring\n0 * * * *  wafer keys rotate --ring data/ring --if-older-than 720h   # in a crontab; as Ring.Maintain in the application")
	f.withRing()
	older := f.Duration("if-older-than", 0, "hand over only if the key that seals has done so for this `long`")
	if err := f.parse(args); err != nil {
		return err
	}
	if *older < 0 {
		return f.usageError("--if-older-than is %v: want 0 or more", *older)
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	changed, err := ring.MaintainOnce(ctx, e.now(), *older)
	if err != nil {
		return err
	}
	return f.outputRing(ring, ringResult{Changed: changed}, changeText(changed))
}

func changeText(changed bool) string {
	if changed {
		return "The key set was changed."
	}
	return "Nothing to do."
}
