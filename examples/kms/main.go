// Kms opens a key ring that is sealed by a keeper of gocloud.dev's secrets
// package: a cloud's key management service or, in this program, the package's
// local keeper. Its Keeper implements keyring.Keeper as it is.
//
//	go run ./examples/kms -keeper 'base64key://smGbjm71Nxd1Ig5FS0wj9SlbzAIrnolCz9bQQ6uAhl4=' -ring /tmp/ring
//
// For a cloud's service, import its driver, such as gocloud.dev/secrets/awskms,
// and pass its URL. The service is called when the ring is opened, after it was
// changed elsewhere, and when this process changes it, but never for a request.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	"gocloud.dev/secrets"
	_ "gocloud.dev/secrets/localsecrets" // base64key:

	"github.com/waferkit/wafer/keyring"
)

func main() {
	url := flag.String("keeper", "", "the `URL` of the keeper, such as base64key://KEY")
	file := flag.String("ring", "ring", "the ring's `file`, made if absent")
	flag.Parse()
	if err := run(context.Background(), *url, *file, os.Stdout); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, url, file string, stdout io.Writer) error {
	keeper, err := secrets.OpenKeeper(ctx, url)
	if err != nil {
		return err
	}
	defer keeper.Close()
	ring, err := keyring.Open(ctx, keyring.File(file), keeper)
	if errors.Is(err, keyring.ErrAbsent) {
		ring, err = keyring.Create(ctx, keyring.File(file), keeper, time.Now(), keyring.Schedule{})
	}
	if err != nil {
		return err
	}
	primary, err := ring.Primary(time.Now())
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "%d keys; %v seals\n", len(ring.Set().Keys()), primary.ID())
	return nil
}
