package keyring

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

func TestKeeperRoundTrip(t *testing.T) {
	keeper := testKeeper(t)
	plain := []byte("a key set")
	sealed := must(keeper.Encrypt(t.Context(), plain))(t)
	if bytes.Contains(sealed, plain) || string(plain) != "a key set" {
		t.Fatal("sealed in clear, or changed its argument")
	}
	if bytes.Equal(sealed, must(keeper.Encrypt(t.Context(), plain))(t)) {
		t.Fatal("the same bytes twice: the nonce is not random")
	}
	kept := bytes.Clone(sealed)
	if got := must(keeper.Decrypt(t.Context(), sealed))(t); !bytes.Equal(got, plain) {
		t.Fatalf("opened %q", got)
	}
	if !bytes.Equal(sealed, kept) {
		t.Fatal("Decrypt changed its argument")
	}
	for i := range sealed {
		bad := bytes.Clone(sealed)
		bad[i] ^= 0x80
		if _, err := keeper.Decrypt(t.Context(), bad); err == nil {
			t.Fatalf("byte %d changed: it opens", i)
		}
	}
	for _, n := range []int{0, 1, 11, 12, 27, 28, len(sealed) - 1} {
		if _, err := keeper.Decrypt(t.Context(), sealed[:n]); err == nil {
			t.Fatalf("the first %d bytes open", n)
		}
	}
	if _, err := must(NewKeeper(staticSecrets[0]))(t).Decrypt(t.Context(), sealed); err == nil {
		t.Fatal("another keeper opens it")
	}
}

func TestKeeperFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keeper")
	_, err := OpenKeeper(path)
	wantError(t, err, fs.ErrNotExist)
	assertNoLeftovers(t, filepath.Dir(path))

	created := must(CreateKeeper(path))(t)
	if mode := must(os.Stat(path))(t).Mode(); mode != 0o600 && runtime.GOOS != "windows" {
		t.Fatalf("mode %v", mode)
	}
	assertNoLeftovers(t, filepath.Dir(path), "keeper")
	content := readFile(t, path)
	if len(content) != 45 || content[44] != '\n' {
		t.Fatalf("%d bytes: want what openssl rand -base64 32 prints", len(content))
	}
	sealed := must(created.Encrypt(t.Context(), []byte("x")))(t)
	opened := must(OpenKeeper(path))(t)
	if got := must(opened.Decrypt(t.Context(), sealed))(t); string(got) != "x" {
		t.Fatalf("opened %q", got)
	}

	_, err = CreateKeeper(path)
	wantError(t, err, fs.ErrExist)
	if !bytes.Equal(readFile(t, path), content) {
		t.Fatal("CreateKeeper replaced a key that exists")
	}
	assertNoLeftovers(t, filepath.Dir(path), "keeper")
}

func TestCreateKeeperAtOnceMakesOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keeper")
	var group sync.WaitGroup
	var won atomic.Int64
	for range 16 {
		group.Go(func() {
			_, err := CreateKeeper(path)
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, fs.ErrExist):
				t.Error(err)
			}
		})
	}
	group.Wait()
	if won.Load() != 1 {
		t.Fatalf("%d winners", won.Load())
	}
	assertNoLeftovers(t, filepath.Dir(path), "keeper")
}

func TestKeeperFileThatOthersMayRead(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("this system has no modes")
	}
	path := filepath.Join(t.TempDir(), "keeper")
	must(CreateKeeper(path))(t)
	for _, c := range []struct {
		mode fs.FileMode
		ok   bool
	}{{0o600, true}, {0o400, true}, {0o700, true}, {0o644, false}, {0o640, false}, {0o604, false}, {0o620, false}, {0o602, false}, {0o610, false}, {0o601, false}} {
		if err := os.Chmod(path, c.mode); err != nil {
			t.Fatal(err)
		}
		_, err := OpenKeeper(path)
		if (err == nil) != c.ok {
			t.Errorf("mode %v: %v", c.mode, err)
		}
		if err != nil && !strings.Contains(err.Error(), "chmod 600 "+path) && !strings.Contains(err.Error(), "chmod 600") {
			t.Errorf("mode %v: the error does not tell what to do: %v", c.mode, err)
		}
	}
}

func TestKeeperFileOfTheWrongSize(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keeper")
	for what, content := range map[string]string{
		"empty":                 "",
		"a newline":             "\n",
		"half":                  keeperText[:20],
		"31 bytes":              badSecrets["31 bytes"],
		"33 bytes":              badSecrets["33 bytes"],
		"32 raw bytes":          "only for the tests of keyring!!!",
		"two keys":              keeperText + "\n" + keeperText + "\n",
		"a key and much more":   keeperText + strings.Repeat("A", 1000),
		"a ring file":           "wafer/1 keyring\n1\nAAAA\n",
		"a private key in PEM":  "-----BEGIN PRIVATE KEY-----\n" + strings.Repeat("A", 64) + "\n-----END PRIVATE KEY-----\n",
		"zeros, after a crash":  string(make([]byte, 45)),
		"the key with its name": "KEY=" + keeperText,
	} {
		writeFile(t, path, []byte(content))
		_, err := OpenKeeper(path)
		if err == nil {
			t.Errorf("%s: accepted", what)
			continue
		}
		if len(content) > 10 && strings.Contains(err.Error(), content[:10]) {
			t.Errorf("%s: the error quotes the file: %v", what, err)
		}
	}
}
