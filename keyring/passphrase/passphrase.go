// Package passphrase keeps a ring's key set under a passphrase.
//
// Prefer [keyring.CreateKeeper] or a KMS: a random key needs no cost to be
// safe. A passphrase is for where somebody must be able to carry the secret in
// the head or on paper.
//
//	keeper, err := passphrase.New(os.Getenv("WAFER_PASSPHRASE"))
//	ring, err := keyring.Open(ctx, keyring.File("ring"), keeper)
//
// The key-encryption key is derived by Argon2id (RFC 9106) with a random salt
// for each document, at a constant cost: 64 MiB of memory, 3 passes, 4 lanes,
// the second recommended option of section 4. That is some tenths of a second,
// spent once for each version of the document that a process reads or writes,
// and never on a request that knows its key. One derivation runs at a time in a
// process, so the memory is needed once. The document names its cost; one that
// asks for more than 256 MiB or 10 passes, or for less than the above, is
// refused before anything is allocated.
//
// Whoever has the document can try passphrases at that cost for as long as they
// like. Take six words that dice have chosen, or more.
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
	// 800-63B-4, section 3.1.1.2, for a password that stands alone).
	MinLength = 15
	// MaxLength is the greatest length in bytes.
	MaxLength = 1024
)

// New returns a Keeper that seals under a passphrase: MinLength characters to
// MaxLength bytes of UTF-8 without control characters. It is taken as it is,
// spaces and the form of accents included. The error never quotes it. New
// derives nothing and is quick.
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

// Open reads the passphrase from the first line of a file and returns its
// Keeper. A file that its group or others may read is an error (except on
// Windows, which has no such modes).
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

// keeper holds its passphrase behind a function since package fmt follows
// pointers where it cannot call Format, but never a function.
type keeper struct{ passphrase func() string }

// Format keeps the passphrase out of every fmt verb.
func (k keeper) Format(f fmt.State, _ rune) { io.WriteString(f, "keeper of a passphrase") }

// errClosed says both causes that cannot be told apart.
var errClosed = errors.New("passphrase: the key set does not open: it was sealed under another passphrase or keeper, or was changed")

func (k *keeper) Encrypt(ctx context.Context, plaintext []byte) ([]byte, error) {
	h := head{cost: written}
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
		return nil, errClosed
	}
	return plaintext, nil
}

// turn lets one derivation of the process run at a time.
var turn = make(chan struct{}, 1)

func (k *keeper) derive(ctx context.Context, h head) (cipher.AEAD, error) {
	select {
	case turn <- struct{}{}:
		defer func() { <-turn }()
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
