package main

import (
	"context"
	"errors"
)

func keysPrune(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys prune", "drops the keys under which nothing can live; no other key, so nobody is logged out", "wafer keys prune --ring data/ring")
	f.withRing()
	if err := f.parse(args); err != nil {
		return err
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	changed, err := ring.Prune(ctx, e.now())
	if err != nil {
		return err
	}
	return f.outputRing(ring, ringResult{Changed: changed}, changeText(changed))
}
