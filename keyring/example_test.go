package keyring_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// The smallest deployment: secrets from the environment. To rotate, put a new
// one in front.
func ExampleStatic() {
	ring, err := keyring.Static(
		"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=", // seals
		"ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=", // still opens
	)
	if err != nil {
		log.Fatal(err)
	}
	primary, err := ring.Primary(time.Now())
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(primary)
	fmt.Println(len(ring.Set().Keys()), "keys open")

	_, err = keyring.Static("hunter2")
	fmt.Println(err)
	// Output:
	// key a00807b0
	// 2 keys open
	// keyring: Static: secret 1 of 1: it is neither base64 nor hexadecimal; make one with: openssl rand -base64 32
}

// A ring in a file: made once, opened by every process, rotated by a timer.
func ExampleCreate() {
	dir, err := os.MkdirTemp("", "wafer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	keeper, err := keyring.CreateKeeper(filepath.Join(dir, "keeper")) // keep it apart from the ring
	if err != nil {
		log.Fatal(err)
	}
	source := keyring.File(filepath.Join(dir, "ring"))

	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	if _, err := keyring.Create(ctx, source, keeper, now, keyring.Schedule{}); err != nil {
		log.Fatal(err)
	}
	_, err = keyring.Create(ctx, source, keeper, now, keyring.Schedule{})
	fmt.Println("a second Create:", errors.Is(err, keyring.ErrExists))

	ring, err := keyring.Open(ctx, source, keeper)
	if err != nil {
		log.Fatal(err)
	}
	for _, k := range ring.Set().Keys() {
		fmt.Println("seals from", k.Activates().UTC().Format(time.DateOnly))
	}

	later := now.Add(keyring.DefaultSeals)
	changed, err := ring.Rotate(ctx, later, keyring.DefaultSeals)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println("rotated:", changed, "to version", ring.Set().Version())
	// Output:
	// a second Create: true
	// seals from 2026-01-01
	// seals from 2026-01-31
	// rotated: true to version 2
}

// Revoking the key that seals activates the published next key.
func ExampleRing_Revoke() {
	dir, err := os.MkdirTemp("", "wafer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	keeper, err := keyring.CreateKeeper(filepath.Join(dir, "keeper"))
	if err != nil {
		log.Fatal(err)
	}
	now := time.Now()
	ring, err := keyring.Create(ctx, keyring.File(filepath.Join(dir, "ring")), keeper, now, keyring.Schedule{})
	if err != nil {
		log.Fatal(err)
	}
	leaked, next := ring.Set().Keys()[0], ring.Set().Keys()[1]

	now = now.Add(time.Hour)
	if _, err := ring.Revoke(ctx, now, leaked.ID(), "found in a log"); err != nil {
		log.Fatal(err)
	}
	_, err = ring.Key(ctx, leaked.ID(), now)
	fmt.Println(err)
	primary, err := ring.Primary(now)
	fmt.Println(primary.ID() == next.ID(), err)
	// Output:
	// keyring: key revoked
	// true <nil>
}

// An application leaves the secrets in its environment for a ring in a file.
// Everything sealed under them still opens.
func ExampleImport() {
	dir, err := os.MkdirTemp("", "wafer")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	const secret = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=" // as for Static
	static, err := keyring.Static(secret)
	if err != nil {
		log.Fatal(err)
	}
	ctx, now := context.Background(), time.Now()
	keeper, err := keyring.CreateKeeper(filepath.Join(dir, "keeper"))
	if err != nil {
		log.Fatal(err)
	}
	ring, err := keyring.Import(ctx, keyring.File(filepath.Join(dir, "ring")), keeper, now, keyring.Schedule{}, secret)
	if err != nil {
		log.Fatal(err)
	}
	before, _ := static.Primary(now)
	after, _ := ring.Primary(now)
	fmt.Println(before, "sealed before,", after, "seals now")
	later, _ := ring.Primary(now.Add(keyring.DefaultSeals))
	_, err = ring.Key(ctx, before.ID(), now.Add(keyring.DefaultSeals))
	fmt.Println(later.ID() != before.ID(), err)
	// Output:
	// key a00807b0 sealed before, key a00807b0 seals now
	// true <nil>
}
