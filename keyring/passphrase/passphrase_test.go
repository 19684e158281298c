package passphrase

import (
	"bytes"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/argon2"

	"github.com/waferkit/wafer/keyring"
)

const words = "plank gravel ozone tulip harbor vest"

func mustNew(t testing.TB, passphrase string) keyring.Keeper {
	t.Helper()
	k, err := New(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func seal(t testing.TB, k keyring.Keeper, plain string) []byte {
	t.Helper()
	sealed, err := k.Encrypt(t.Context(), []byte(plain))
	if err != nil {
		t.Fatal(err)
	}
	return sealed
}

// sealedOnce is "k" sealed under words, for the tests that only read: sealing
// takes some tenths of a second.
var sealedOnce = sync.OnceValue(func() []byte {
	k, err := New(words)
	if err != nil {
		panic(err)
	}
	sealed, err := k.Encrypt(context.Background(), []byte("k"))
	if err != nil {
		panic(err)
	}
	return sealed
})

func TestRoundTrip(t *testing.T) {
	k := mustNew(t, words)
	first, second := seal(t, k, "the keys"), seal(t, k, "the keys")
	kept := bytes.Clone(first)
	plain, err := mustNew(t, words).Decrypt(t.Context(), first)
	if string(plain) != "the keys" || err != nil || !bytes.Equal(kept, first) {
		t.Errorf("%q, %v", plain, err)
	}
	if bytes.Contains(first, []byte("the keys")) || len(first) != len("the keys")+overhead {
		t.Errorf("sealed as %q", first)
	}
	salt := func(b []byte) string { return string(b[headSize-saltSize : headSize]) }
	if salt(first) == salt(second) || salt(first) == strings.Repeat("\x00", saltSize) {
		t.Error("two seals have one salt")
	}
	for _, other := range []string{words + " ", strings.ToUpper(words)} {
		if plain, err := mustNew(t, other).Decrypt(t.Context(), first); err != errDecrypt || plain != nil {
			t.Errorf("under %q: %q, %v", other, plain, err)
		}
	}
}

// A second implementation of the format, written from its description alone.
func TestFormatIsPinned(t *testing.T) {
	sealed := seal(t, mustNew(t, words), "the keys")
	want := "wafer/1 passphrase\x00" + "\x03" + "\x00\x40" + "\x04"
	if !strings.HasPrefix(string(sealed), want) {
		t.Fatalf("the head is %q", sealed[:39])
	}
	head, salt, nonce, rest := sealed[:39], sealed[23:39], sealed[39:51], sealed[51:]
	block, err := aes.NewCipher(argon2.IDKey([]byte(words), salt, 3, 64*1024, 4, 32))
	if err != nil {
		t.Fatal(err)
	}
	gcm, err := cipher.NewGCM(block)
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := gcm.Open(nil, nonce, rest, head); string(plain) != "the keys" || err != nil {
		t.Errorf("%q, %v", plain, err)
	}
}

// A document of this release opens in all later releases.
func TestReleasedDocumentStillOpens(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("testdata", "sealed.hex"))
	if err != nil {
		t.Fatal(err)
	}
	sealed, err := hex.DecodeString(strings.TrimSpace(string(text)))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := mustNew(t, words).Decrypt(t.Context(), sealed); string(plain) != "released" || err != nil {
		t.Errorf("%q, %v", plain, err)
	}
}

// A change of any byte is detected: in the head without a derivation if it makes
// the cost invalid, and elsewhere by authentication.
func TestChangedDocumentIsRefused(t *testing.T) {
	k := mustNew(t, words)
	sealed := sealedOnce()
	tried := []int{0, len(magic) - 1, headSize - 1, headSize, len(sealed) - 1}
	for _, i := range tried {
		changed := bytes.Clone(sealed)
		changed[i] ^= 1
		if plain, err := k.Decrypt(t.Context(), changed); err == nil || plain != nil {
			t.Errorf("byte %d changed: %q, %v", i, plain, err)
		}
	}
	for _, n := range []int{0, 1, len(magic), headSize, headSize + 12, overhead - 1} {
		if _, err := k.Decrypt(t.Context(), sealed[:n]); err == nil {
			t.Errorf("cut to %d bytes: no error", n)
		}
	}
	if _, err := k.Decrypt(t.Context(), append(bytes.Clone(sealed), 0)); err != errDecrypt {
		t.Errorf("longer: %v", err)
	}
}

// A cost within the bounds is authenticated, so nobody can lower it.
func TestCostIsAuthenticated(t *testing.T) {
	k := mustNew(t, words)
	changed := bytes.Clone(sealedOnce())
	changed[len(magic)]++ // four passes
	if _, err := k.Decrypt(t.Context(), changed); err != errDecrypt {
		t.Errorf("with another cost: %v", err)
	}
}

// A hostile document costs neither memory nor time.
func TestHostileCostIsRefusedBeforeItIsSpent(t *testing.T) {
	k := mustNew(t, words)
	for _, c := range []cost{
		{255, 65535, 255}, {3, 65535, 4}, {3, 257, 4}, {11, 64, 4}, {255, 64, 4}, {3, 64, 17}, {3, 64, 255},
		{0, 64, 4}, {2, 64, 4}, {3, 63, 4}, {3, 0, 4}, {3, 64, 3}, {3, 64, 0}, {},
	} {
		sealed := append(head{cost: c}.marshal(), make([]byte, 100)...)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		derivation <- struct{}{} // every derivation has to wait
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		_, err := k.Decrypt(ctx, sealed)
		<-derivation
		runtime.ReadMemStats(&after)
		if err == nil || err == errDecrypt || !strings.Contains(err.Error(), "Argon2id") {
			t.Errorf("%+v: %v", c, err)
		}
		if spent := after.TotalAlloc - before.TotalAlloc; spent > 1<<20 {
			t.Errorf("%+v took %d bytes", c, spent)
		}
	}
	for _, c := range []cost{currentCost, maxCost, {3, 256, 4}, {10, 64, 4}, {3, 64, 16}} {
		if err := c.check(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

// One derivation runs at a time, so any number of reloads in one process need the
// memory once.
func TestOneDerivationAtATime(t *testing.T) {
	k := mustNew(t, words)
	sealed := sealedOnce()
	derivation <- struct{}{} // one is under way
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if _, err := k.Decrypt(ctx, sealed); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another derivation: %v", err)
	}
	if _, err := k.Encrypt(ctx, nil); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("beside another derivation: %v", err)
	}
	<-derivation
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for range 20 { // whichever of the two cases is taken
		if _, err := k.Decrypt(ended, sealed); !errors.Is(err, context.Canceled) {
			t.Errorf("with an ended context: %v", err)
		}
	}
	var group sync.WaitGroup
	for range 2 {
		group.Go(func() {
			if _, err := k.Decrypt(t.Context(), sealed); err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if len(derivation) != 0 {
		t.Error("a derivation did not give its turn back")
	}
}

func TestNewRefuses(t *testing.T) {
	for _, c := range []struct {
		passphrase, want string
	}{
		{"", "empty"},
		{"fourteen chars", "has 14 characters: want at least 15"},
		{strings.Repeat("ü", 14), "has 14 characters"},
		{"an escape \x1b in it, and long enough", "control"},
		{"a NUL \x00 in it, and long enough", "control"},
		{"no UTF-8: \xff, and long enough", "UTF-8"},
		{strings.Repeat("x", MaxLength+1), "1025 bytes"},
	} {
		k, err := New(c.passphrase)
		if err == nil || k != nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: %v", c.passphrase, err)
		}
		if err != nil && c.passphrase != "" && strings.Contains(err.Error(), c.passphrase) {
			t.Errorf("the error quotes the passphrase: %v", err)
		}
	}
	for _, fits := range []string{"fifteen letters", strings.Repeat("ü", 15), strings.Repeat("x", MaxLength)} {
		mustNew(t, fits)
	}
}

func TestOpen(t *testing.T) {
	dir := t.TempDir()
	sealed := sealedOnce()
	write := func(name, content string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	for name, content := range map[string]string{
		"bare": words, "line": words + "\n", "windows": words + "\r\n", "lines": words + "\nanother line, a note\n", "read only": words,
	} {
		mode := os.FileMode(0o600)
		if name == "read only" {
			mode = 0o400
		}
		k, err := Open(write(name, content, mode))
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if name == "windows" || name == "lines" {
			if _, err := k.Decrypt(t.Context(), sealed); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	for name, content := range map[string]string{
		"empty": "", "first line empty": "\n" + words, "short": "too short\n" + words, "long": strings.Repeat("x", 1<<20),
	} {
		path := write(name, content, 0o600)
		if _, err := Open(path); err == nil || strings.Contains(err.Error(), "too short") || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := Open(filepath.Join(dir, "absent")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("absent: %v", err)
	}
	if runtime.GOOS == "windows" {
		return // it has no such modes
	}
	for _, mode := range []os.FileMode{0o640, 0o604, 0o660, 0o644, 0o610} {
		if _, err := Open(write("seen", words, mode)); err == nil || !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %04o: %v", mode, err)
		}
	}
}

func TestPromise7_PassphrasePrintsNothing(t *testing.T) {
	k := mustNew(t, words)
	type holder struct {
		K keyring.Keeper
		k keyring.Keeper
	}
	for _, v := range []any{k, *k.(*keeper), &k, holder{k, k}, &holder{k, k}, []any{k}} {
		var texts []string
		for verb := 'A'; verb <= 'z'; verb++ {
			if verb > 'Z' && verb < 'a' {
				continue
			}
			for _, flags := range []string{"", "+", "#"} {
				texts = append(texts, fmt.Sprintf("%"+flags+string(verb), v))
			}
		}
		b, err := json.Marshal(v)
		var log bytes.Buffer
		slog.New(slog.NewJSONHandler(&log, nil)).Info("k", "k", v)
		slog.New(slog.NewTextHandler(&log, nil)).Info("k", "k", v)
		texts = append(texts, string(b), fmt.Sprint(err), log.String())
		for _, text := range texts {
			for _, hidden := range []string{"gravel", "67726176", "67 72", "103 114 97", hex.EncodeToString([]byte(words))} {
				if strings.Contains(strings.ToLower(text), hidden) {
					t.Fatalf("%T prints %q", v, text)
				}
			}
		}
	}
}

// A ring under a passphrase does not open with another passphrase or keeper, and
// the error says so.
func TestRingUnderAPassphrase(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	ring, err := keyring.Create(t.Context(), keyring.File(path), mustNew(t, words), now, keyring.Schedule{})
	if err != nil {
		t.Fatal(err)
	}
	local, err := keyring.NewKeeper(strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := keyring.Open(t.Context(), keyring.File(path), local); err == nil {
		t.Error("a local key opens what a passphrase sealed")
	}
	if err := ring.Rewrap(t.Context(), local); err != nil {
		t.Fatal(err)
	}
	_, err = keyring.Open(t.Context(), keyring.File(path), mustNew(t, words))
	if err == nil || !strings.Contains(err.Error(), "not sealed under a passphrase") {
		t.Errorf("a passphrase opens what a local key sealed: %v", err)
	}
}

func BenchmarkDecrypt(b *testing.B) {
	k := mustNew(b, words)
	sealed, err := k.Encrypt(b.Context(), []byte("k"))
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := k.Decrypt(b.Context(), sealed); err != nil {
			b.Fatal(err)
		}
	}
}
