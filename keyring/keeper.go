package keyring

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
)

// Keeper encrypts and authenticates the key set at rest. It has the shape of
// secrets.Keeper of gocloud.dev, so a cloud KMS needs no wrapper. An
// implementation must be safe for concurrent use. It must not retain or modify
// its argument.
type Keeper interface {
	Encrypt(ctx context.Context, plaintext []byte) ([]byte, error)
	Decrypt(ctx context.Context, ciphertext []byte) ([]byte, error)
}

// NewKeeper returns a Keeper that seals with a local key-encryption key. secret
// is 32 bytes in base64 or hexadecimal, such as `openssl rand -base64 32`
// prints. The keeper uses AES-256-GCM with random nonces under a key that
// HKDF-SHA256 derives from the secret.
func NewKeeper(secret string) (Keeper, error) {
	b, err := decodeSecret(secret)
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	key, err := hkdf.Key(sha256.New, b, nil, "wafer/1 keeper", 32)
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	aead, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	return &localKeeper{func() cipher.AEAD { return aead }}, nil
}

// localKeeper hides its cipher behind a function, as Key does its material.
type localKeeper struct{ aead func() cipher.AEAD }

// Format keeps the key out of every fmt verb.
func (k localKeeper) Format(f fmt.State, _ rune) { io.WriteString(f, "keeper") }

func (k *localKeeper) Encrypt(_ context.Context, plaintext []byte) ([]byte, error) {
	return k.aead().Seal(nil, nil, plaintext, []byte(documentFormat)), nil
}

func (k *localKeeper) Decrypt(_ context.Context, ciphertext []byte) ([]byte, error) {
	plaintext, err := k.aead().Open(nil, nil, ciphertext, []byte(documentFormat))
	if err != nil {
		return nil, errors.New("keyring: keeper: the key set does not open: it was sealed under another key, or was changed")
	}
	return plaintext, nil
}

// OpenKeeper reads the key-encryption key from the file at path and returns its
// Keeper. The file must not be readable by its group or by others; on Windows,
// which has no such modes, this is not checked. OpenKeeper never creates the
// file; [CreateKeeper] does.
func OpenKeeper(path string) (Keeper, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 && runtime.GOOS != "windows" {
		return nil, fmt.Errorf("keyring: keeper: %s has mode %04o: others can read it; run chmod 600 and think of the key as seen", path, mode)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxFile))
	if err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	return NewKeeper(string(bytes.TrimSpace(b)))
}

// CreateKeeper makes a key-encryption key, writes it to a new file of mode
// 0600, and returns its Keeper. It never overwrites: the error matches
// [fs.ErrExist] if the file exists.
func CreateKeeper(path string) (Keeper, error) {
	secret := make([]byte, SecretSize)
	rand.Read(secret)
	text := base64.StdEncoding.EncodeToString(secret)
	if err := createFile(path, []byte(text+"\n")); err != nil {
		return nil, fmt.Errorf("keyring: keeper: %w", err)
	}
	return NewKeeper(text)
}

// createFile writes a new file durably. On file systems that have hard links
// the file is complete or absent: a crash leaves no partial file under its
// name.
func createFile(path string, content []byte) error {
	temp, err := writeTemp(path, content)
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Link(temp, path); err != nil {
		if errors.Is(err, fs.ErrExist) {
			return err
		}
		// The file system has no links: use the exclusive flag instead.
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return err
		}
		_, err = f.Write(content)
		err = errors.Join(err, f.Sync(), f.Close())
		if err != nil {
			os.Remove(path)
			return err
		}
	}
	return syncDir(path)
}
