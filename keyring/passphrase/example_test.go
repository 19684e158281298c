package passphrase_test

import (
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/keyring/passphrase"
)

func Example() {
	dir, err := os.MkdirTemp("", "wafer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	source := keyring.File(filepath.Join(dir, "ring"))

	keeper, err := passphrase.New("plank gravel ozone tulip harbor vest") // a real program prompts for it
	if err != nil {
		log.Fatal(err)
	}
	if _, err := keyring.Create(ctx, source, keeper, time.Now(), keyring.Schedule{}); err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.Open(ctx, source, keeper)
	fmt.Println(len(ring.Set().Keys()), "keys", err)

	other, err := passphrase.New("plank gravel ozone tulip harbor west")
	if err != nil {
		log.Fatal(err)
	}
	_, err = keyring.Open(ctx, source, other)
	fmt.Println(err)
	// Output:
	// 2 keys <nil>
	// keyring: open the key set: passphrase: the key set does not open: it was sealed under another passphrase or keeper, or was changed
}
