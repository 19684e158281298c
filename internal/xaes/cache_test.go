package xaes

import (
	"bytes"
	"slices"
	"sync"
	"testing"
)

func (a *AEAD) cached() (n int) {
	for i := range a.cache {
		if a.cache[i].Load() != nil {
			n++
		}
	}
	return n
}

func (a *AEAD) holds(salt []byte) bool {
	for i := range a.cache {
		if o := a.cache[i].Load(); o != nil && string(o.salt[:]) == string(salt) {
			return true
		}
	}
	return false
}

// sealUnder returns a message under a salt that the test chooses.
func sealUnder(key, salt, plaintext []byte) []byte {
	nonce := append(slices.Clone(salt), randomBytes(NonceSize)...)
	return append(nonce, reference{key}.seal(nonce, plaintext, nil)...)
}

func TestOnlyAuthenticMessagesFillTheCache(t *testing.T) {
	key := randomBytes(KeySize)
	a := newAEAD(t, key)
	for range 2000 {
		if _, err := a.Open(randomBytes(Overhead+20), nil); err != ErrOpen {
			t.Fatalf("junk: %v", err)
		}
	}
	sealed := sealUnder(key, randomBytes(SaltSize), []byte("x"))
	if _, err := a.Open(slices.Clone(sealed), []byte("another context")); err != ErrOpen {
		t.Fatalf("another context: %v", err)
	}
	if n := a.cached(); n != 0 {
		t.Errorf("%d salts kept of messages that did not open", n)
	}
	for range 3 {
		if _, err := a.Open(slices.Clone(sealed), nil); err != nil {
			t.Fatal(err)
		}
	}
	if n := a.cached(); n != 1 {
		t.Errorf("%d entries for one salt: want 1", n)
	}
}

func TestCacheIsBoundedAndForgetsSafely(t *testing.T) {
	key := randomBytes(KeySize)
	a := newAEAD(t, key)
	var all [][]byte
	for i := range 12 * cacheWays {
		salt := randomBytes(SaltSize)
		salt[0] = 7 // all into one set
		message := sealUnder(key, salt, []byte{byte(i)})
		all = append(all, message)
		if _, err := a.Open(slices.Clone(message), nil); err != nil {
			t.Fatal(err)
		}
		if n := a.cached(); n > cacheWays {
			t.Fatalf("%d entries in a set of %d", n, cacheWays)
		}
		if !a.holds(salt) {
			t.Fatal("the newest salt is not kept: old ones would stay for good")
		}
	}
	for i, message := range all {
		got, err := a.Open(slices.Clone(message), nil)
		if err != nil || !bytes.Equal(got, []byte{byte(i)}) {
			t.Errorf("message %d after its salt was dropped: %v, %v", i, got, err)
		}
	}
}

// A forged message under a cached salt must not evict it, and must not be tried
// against another key.
func TestForgedMessageUnderAKeptSalt(t *testing.T) {
	key := randomBytes(KeySize)
	a := newAEAD(t, key)
	salt := randomBytes(SaltSize)
	if _, err := a.Open(sealUnder(key, salt, []byte("x")), nil); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Open(sealUnder(randomBytes(KeySize), salt, []byte("x")), nil); err != ErrOpen {
		t.Errorf("sealed under another key, same salt: %v", err)
	}
	if _, err := a.Open(sealUnder(key, salt, []byte("x")), nil); err != nil || a.cached() != 1 {
		t.Errorf("then the honest one: %v, %d entries", err, a.cached())
	}
}

func TestConcurrentOpenersOfManySalts(t *testing.T) {
	key := randomBytes(KeySize)
	a := newAEAD(t, key)
	messages := make([][]byte, 64)
	for i := range messages {
		salt := randomBytes(SaltSize)
		salt[0] = byte(i % 4) // crowded sets: openers replace each other's entries
		messages[i] = sealUnder(key, salt, []byte{byte(i)})
	}
	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for n := range 10 * len(messages) {
				i := (n*7 + worker) % len(messages)
				got, err := a.Open(slices.Clone(messages[i]), nil)
				if err != nil || !bytes.Equal(got, []byte{byte(i)}) {
					t.Errorf("message %d: %v, %v", i, got, err)
					return
				}
			}
		})
	}
	wg.Wait()
	if n := a.cached(); n > 4*cacheWays {
		t.Errorf("%d entries in 4 sets of %d", n, cacheWays)
	}
}
