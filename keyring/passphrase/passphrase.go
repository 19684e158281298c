// Package passphrase seals a ring's key set under a passphrase.
//
// Prefer [keyring.CreateKeeper] or a KMS, because a random key is safe without
// a costly derivation. Use a passphrase if a person must be able to carry the
// secret in their memory or on paper.
//
//	keeper, err := passphrase.New(os.Getenv("WAFER_PASSPHRASE"))
//	ring, err := keyring.Open(ctx, keyring.File("ring"), keeper)
//
// The key-encryption key is derived by Argon2id (RFC 9106) with a random salt
// for each document, at a fixed cost: 64 MiB of memory, 3 passes and 4 lanes,
// the second recommended option of section 4. A derivation takes some tenths of
// a second. It happens once for each version of the document that a process
// reads or writes, and never for a request whose key the ring has. A process
// runs one derivation at a time, so it needs the memory once.
//
// The document states its cost. A document that asks for more than 256 MiB, 10
// passes or 16 lanes, or for less than the above, is refused before anything is
// allocated.
//
// Anybody who has the document can try passphrases at that cost for as long as
// they like. Use six or more words chosen by dice.
package passphrase

import (
	"bufio"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/crypto/argon2"

	"github.com/waferkit/wafer/keyring"
)

const (
	// MinLength is the least length of a passphrase in characters (NIST SP
	// 800-63B-4, section 3.1.1.2, for a password that is the only factor).
	MinLength = 15
	// MaxLength is the greatest length of a passphrase in bytes.
	MaxLength = 1024
)

// New returns a Keeper that seals under a passphrase. It is safe for concurrent
// use. The passphrase has at least [MinLength] characters and at most
// [MaxLength] bytes, and is UTF-8 without control characters. It is used
// unchanged, without trimming spaces or normalizing accents. The error never
// quotes it. New derives nothing, so it is fast.
func New(passphrase string) (keyring.Keeper, error) {
	switch n := utf8.RuneCountInString(passphrase); {
	case passphrase == "":
		return nil, errors.New("passphrase: it is empty")
	case !utf8.ValidString(passphrase) || strings.ContainsFunc(passphrase, unicode.IsControl):
		return nil, errors.New("passphrase: it is not UTF-8, or has control characters")
	case n < MinLength:
		return nil, fmt.Errorf("passphrase: it has %d characters: want at least %d, such as six words chosen by dice", n, MinLength)
	case len(passphrase) > MaxLength:
		return nil, fmt.Errorf("passphrase: it has %d bytes: want at most %d", len(passphrase), MaxLength)
	}
	return &keeper{func() string { return passphrase }}, nil
}

// Open reads the passphrase from the first line of the file at path and returns
// its Keeper. The file must not be readable by its group or by others; on
// Windows, which has no such modes, this is not checked.
func Open(path string) (keyring.Keeper, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("passphrase: %s has mode %04o: others can read it; run chmod 600 and think of the passphrase as seen", path, mode)
	}
	line, err := bufio.NewReader(io.LimitReader(f, MaxLength+2)).ReadString('\n')
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	k, err := New(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), "\r"))
	if err != nil {
		return nil, fmt.Errorf("%w (the first line of %s)", err, path)
	}
	return k, nil
}

// keeper hides its passphrase behind a function because package fmt follows a
// pointer if it cannot call Format, but never calls a function.
type keeper struct{ passphrase func() string }

// Format keeps the passphrase out of every fmt verb.
func (k keeper) Format(f fmt.State, _ rune) { io.WriteString(f, "keeper of a passphrase") }

// errDecrypt names both causes, because they cannot be distinguished.
var errDecrypt = errors.New("passphrase: the key set does not open: it was sealed under another passphrase or keeper, or was changed")

func (k *keeper) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	h := head{cost: currentCost}
	rand.Read(h.salt[:])
	aead, err := k.derive(ctx, h)
	if err != nil {
		return nil, err
	}
	b := h.marshal()
	return aead.Seal(b, nil, plaintext, b), nil
}

func (k *keeper) Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error) {
	h, err := parseHead(ciphertext)
	if err != nil {
		return nil, err
	}
	aead, err := k.derive(ctx, h)
	if err != nil {
		return nil, err
	}
	plaintext, err := aead.Open(nil, nil, ciphertext[headSize:], ciphertext[:headSize])
	if err != nil {
		return nil, errDecrypt
	}
	return plaintext, nil
}

// derivation is a semaphore: a process runs one derivation at a time, so that
// it needs the memory once.
var derivation = make(chan struct{}, 1)

func (k *keeper) derive(ctx context.Context, h head) (cipher.AEAD, error) {
	select {
	case derivation <- struct{}{}:
		defer func() { <-derivation }()
	case <-ctx.Done():
	}
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	key := argon2.IDKey([]byte(k.passphrase()), h.salt[:], uint32(h.passes), uint32(h.mebibytes)*1024, h.lanes, 32)
	defer clear(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("passphrase: %w", err)
	}
	return cipher.NewGCMWithRandomNonce(block)
}
