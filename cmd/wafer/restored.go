package main

import (
	"context"
	"fmt"
	"time"

	"github.com/waferkit/wafer/store"
)

const restoredWhy = `A store that was restored from a backup has forgotten every revocation since the
backup was made: sessions that were logged out or revoked would live again.
Running nodes write back what they still hold, which is about the last access
lifetime; nobody knows the rest. So everyone has to log in again.
`

const restoredKeys = `If the key set was restored too (a ring in the store, or its file), keys that were
revoked since the backup are accepted again: look at "wafer keys list", and revoke
them once more.
`

// ahead is added to the current time for the position of the revocation: the
// clock that wrote the lost entries may have been ahead of this one.
const ahead = time.Minute

func restored(ctx context.Context, e *env, args []string) error {
	f := e.revokeFlags("restored", "ends all sessions after the store was restored from a backup",
		"wafer restored --store sqlite:data/wafer.db", "the store was restored from a backup")
	if err := f.parse(args); err != nil {
		return err
	}
	fmt.Fprint(e.stderr, restoredWhy+"\n")
	above := store.Position(max(e.now().Add(ahead).UnixMicro(), 0))
	if err := f.run(ctx, store.Revocation{Everyone: true, Above: above}, nil, "This ends the sessions of everyone. Go on?"); err != nil {
		return err
	}
	fmt.Fprintf(e.stderr, "\n%s", restoredKeys)
	return nil
}
