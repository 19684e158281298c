package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/waferkit/wafer/keyring"
)

func keysCreate(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys create", "makes a key set, of fresh keys or of the secrets in variables; also the keeper's key file where that is absent",
		"wafer keys create --ring data/ring\nwafer keys create --ring store: --store sqlite:data/wafer.db --keeper file:data/ring.key --from-env WAFER_SECRET,WAFER_OLD_SECRET")
	f.withRing()
	var schedule keyring.Schedule
	f.DurationVar(&schedule.Seals, "seals", keyring.DefaultSeals, "how long a key seals")
	f.DurationVar(&schedule.Life, "life", keyring.DefaultLife, "the longest life of anything sealed: at least the longest absolute limit of a session")
	from := f.String("from-env", "", "the `NAMES` of variables with the secrets that the nodes have now, the one that seals first, with commas between; the nodes' cookies go on")
	if err := f.parse(args); err != nil {
		return err
	}
	var secrets []string
	if *from != "" {
		for i, name := range strings.Split(*from, ",") {
			secret := e.getenv(strings.TrimSpace(name))
			if secret == "" { // the message omits the name, which may be the secret itself
				return fmt.Errorf("variable %d that --from-env names is empty or not set", i+1)
			}
			secrets = append(secrets, secret)
		}
	}
	source, done, err := f.openSource(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	// This comes before a key file is made: an existing ring may have its key file
	// elsewhere.
	if version, _, err := source.LoadKeys(ctx); err != nil {
		return err
	} else if version != 0 {
		return fmt.Errorf("%s: there is a key set already", f.ring.ring)
	}
	keeper, made, err := f.makeKeeper("keeper", f.ring.keeper, f.ring.ring, passphraseVariable)
	if err != nil {
		return err
	}
	var ring *keyring.Ring
	if secrets != nil {
		ring, err = keyring.Import(ctx, source, keeper, e.now(), schedule, secrets...)
	} else {
		ring, err = keyring.Create(ctx, source, keeper, e.now(), schedule)
	}
	if err != nil {
		return err
	}
	lines := []string{"Made a key set in " + f.ring.ring + "."}
	if made != "" {
		lines = append(lines, "Made its keeper's key in "+made+": without it the key set is lost. Keep it apart from the ring, and from its backups.")
	}
	if secrets != nil {
		lines = append(lines, "Deploy every node with this ring before the next key activates, and then delete the secrets from their configuration.")
	}
	return f.outputRing(ring, ringResult{Changed: true, Keeper: made}, lines...)
}
