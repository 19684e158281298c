package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store"
)

// everyoneWait bounds the second half of a revocation after a compromise. An
// interrupt after the first half does not cancel it.
const everyoneWait = 30 * time.Second

func keysRevoke(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys revoke", "rejects everything sealed under a key; the published next key takes over if it was the one that seals",
		"wafer keys revoke 0badcafe --ring data/ring --reason \"disk thrown away\"\n"+
			"wafer keys revoke 0badcafe --compromised --ring data/ring --store sqlite:data/wafer.db --reason \"backup on a public share\"\n"+
			"wafer keys revoke --all --ring data/ring --store sqlite:data/wafer.db --reason \"ring and keeper leaked\"")
	f.withRing()
	f.withYes()
	compromised := f.Bool("compromised", false, "others may have the key: revoke everyone in --store as well, for they may have sessions under other keys by now")
	all := f.Bool("all", false, "the whole document leaked: revoke every key, make a fresh one, and revoke everyone in --store")
	reason := f.String("reason", "", "why, for the record; at most 255 bytes")
	actor := f.String("actor", e.getenv("USER"), "who says so, for the record")
	given := args
	var name string
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	names := []string{"ID"}
	if name != "" {
		names = nil
	}
	if err := f.parse(args, names...); err != nil {
		return err
	}
	if f.NArg() > 0 {
		name = f.Arg(0)
	}
	var id keyring.ID
	switch {
	case *all && name != "":
		return f.usageError("a key and --all: want one of them")
	case *all:
		*compromised = true
	case name == "":
		return f.usageError("the key's ID is missing; see: wafer keys list")
	default:
		if id, err = keyring.ParseID(name); err != nil {
			return f.usageError("%v", err)
		}
	}
	if *reason == "" {
		return f.usageError("--reason is missing")
	}
	if *compromised && f.db == "" {
		return f.usageError("--store is missing: after a compromise everyone is revoked too")
	}
	for flag, text := range map[string]string{"reason": *reason, "actor": *actor} {
		if len(text) > store.MaxReason || !utf8.ValidString(text) || strings.ContainsRune(text, 0) {
			return f.usageError("--%s has %d bytes: want at most %d, of UTF-8 without NUL", flag, len(text), store.MaxReason)
		}
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	if _, err := ring.Set().Key(id, e.now()); !*all && errors.Is(err, keyring.ErrUnknown) {
		return fmt.Errorf("the ring has no key %v; see: wafer keys list", id)
	}
	var db store.Store
	if *compromised {
		// This comes before any change, so that a missing store is noticed in time.
		opened, closer, err := f.openStore(ctx)
		if err != nil {
			return err
		}
		defer closer.Close()
		db = opened
	}
	what := "key " + name
	if *all {
		what = fmt.Sprintf("all %d keys", len(ring.Set().Keys()))
	}
	then := "What was sealed under it is rejected"
	if *compromised {
		then = "Everyone is logged out"
	}
	if err := f.confirm("Revoke %s? %s. This cannot be undone.", what, then); err != nil {
		return err
	}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("nothing was revoked: %w", err)
	}

	// The key is revoked first: a user who is logged out must not come back with a
	// cookie forged under it, and a node reloads its ring before it applies the
	// second half's entry.
	changed := true
	if *all {
		err = ring.RevokeAll(ctx, e.now(), *reason)
	} else {
		changed, err = ring.Revoke(ctx, e.now(), id, *reason)
	}
	if err != nil {
		return fmt.Errorf("%s: perhaps not revoked: %w\nRun again, until it says that it is done:\n  wafer keys revoke %s", what, err, shellWords(given))
	}
	if !*compromised {
		return f.outputRing(ring, ringResult{Changed: changed}, "Revoked "+what+". Each node takes it at its next reload.")
	}
	after, cancel := context.WithTimeout(context.WithoutCancel(ctx), everyoneWait)
	defer cancel()
	snap, err := db.Revoke(after, store.Revocation{Everyone: true, Reason: *reason, Actor: *actor})
	if err != nil {
		return fmt.Errorf("%s: revoked. Everyone: NOT revoked: %w\nWho had the key may still be logged in. Run again, until it says that everyone is revoked:\n  wafer keys revoke %s", what, err, shellWords(given))
	}
	return f.outputRing(ring, ringResult{Changed: true, Position: uint64(snap.Entry)},
		fmt.Sprintf("Revoked %s, and then everyone, at position %d.", what, snap.Entry))
}

// shellWords quotes the arguments for a shell, and adds --yes if it is missing.
func shellWords(args []string) string {
	quoted := make([]string, 0, len(args)+1)
	yes := false
	for _, a := range args {
		yes = yes || a == "--yes" || a == "-yes"
		if a == "" || strings.ContainsFunc(a, func(r rune) bool {
			return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_=:./,@%+", r)
		}) {
			a = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
		quoted = append(quoted, a)
	}
	if !yes {
		quoted = append(quoted, "--yes")
	}
	return strings.Join(quoted, " ")
}
