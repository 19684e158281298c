package main

import (
	"context"
	"errors"
	"strings"

	"github.com/waferkit/wafer/keyring"
)

// ringFlags holds the values of --ring and --keeper.
type ringFlags struct {
	ring   string
	keeper string
}

// withRing adds --ring and --keeper.
func (f *flags) withRing() {
	f.StringVar(&f.ring.ring, "ring", "", "the key ring: a `file`, or store: for the one in --store")
	f.StringVar(&f.ring.keeper, "keeper", "", "what opens the ring: file:PATH of its key, env:NAME of a variable that holds it, or passphrase:FILE whose first line is one (passphrase: alone takes $WAFER_PASSPHRASE, or asks) (default file:RING.key)")
	if f.Lookup("store") == nil {
		f.withStore()
	}
}

// withStore adds --store.
func (f *flags) withStore() {
	f.StringVar(&f.db, "store", "", "the `store`: "+storeNames)
}

// openKeeper opens the keeper that a --keeper flag names.
func (f *flags) openKeeper(name, ring string) (keyring.Keeper, error) {
	if name == "" {
		if ring == "store:" {
			return nil, f.usageError("a ring in the store needs --keeper")
		}
		name = "file:" + ring + ".key"
	}
	kind, rest, _ := strings.Cut(name, ":")
	switch {
	case kind == "file" && rest != "":
		return keyring.OpenKeeper(rest)
	case kind == "env" && rest != "":
		secret := f.env.getenv(rest)
		if secret == "" {
			return nil, errors.New("the variable that --keeper names is empty")
		}
		return keyring.NewKeeper(secret)
	case kind == "passphrase" && name != kind:
		return f.openPassphrase(rest)
	}
	return nil, f.usageError("--keeper: want file:PATH, env:NAME, passphrase:FILE or passphrase:") // the message omits the name, which may be the secret itself
}

// openSource returns the source of the ring's document. close closes the store if
// the source is one.
func (f *flags) openSource(ctx context.Context) (source keyring.Source, close func() error, err error) {
	switch f.ring.ring {
	case "":
		return nil, nil, f.usageError("--ring is missing")
	case "store:":
		db, closer, err := f.openStore(ctx)
		if err != nil {
			return nil, nil, err
		}
		return db, closer.Close, nil
	}
	return keyring.File(f.ring.ring), func() error { return nil }, nil
}

// openRing opens the ring. close closes its source.
func (f *flags) openRing(ctx context.Context) (ring *keyring.Ring, close func() error, err error) {
	source, close, err := f.openSource(ctx)
	if err != nil {
		return nil, nil, err
	}
	keeper, err := f.openKeeper(f.ring.keeper, f.ring.ring)
	if err == nil {
		ring, err = keyring.Open(ctx, source, keeper)
	}
	if err != nil {
		return nil, nil, errors.Join(err, close())
	}
	return ring, close, nil
}
