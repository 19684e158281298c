package xaes

import (
	"sync"
	"testing"
	"time"
)

func sealSalt(t testing.TB, a *AEAD) [SaltSize]byte {
	t.Helper()
	sealed, err := a.Seal(nil, []byte("x"), nil)
	if err != nil {
		t.Fatal(err)
	}
	return [SaltSize]byte(sealed)
}

func TestOneSaltServesManySeals(t *testing.T) {
	a := newAEAD(t, randomBytes(KeySize))
	first := sealSalt(t, a)
	for range 1000 {
		if sealSalt(t, a) != first {
			t.Fatal("a new salt before the first is used up")
		}
	}
	if other := sealSalt(t, newAEAD(t, randomBytes(KeySize))); other == first {
		t.Error("two AEADs drew one salt")
	}
}

func TestNewSaltAfterMaxSeals(t *testing.T) {
	a := newAEAD(t, randomBytes(KeySize))
	first := sealSalt(t, a)
	a.sealing.Load().used.Store(maxSeals - 1)
	if sealSalt(t, a) != first {
		t.Error("the last seal of a salt was not spent")
	}
	second := sealSalt(t, a)
	if second == first {
		t.Error("the salt was used beyond its last seal")
	}
	if used := a.sealing.Load().used.Load(); used != 1 {
		t.Errorf("the fresh salt counts %d seals after one", used)
	}
}

func TestNewSaltAfterSaltLife(t *testing.T) {
	a := newAEAD(t, randomBytes(KeySize))
	first := sealSalt(t, a)
	a.sealing.Load().start = time.Now().Add(-saltLife + time.Minute)
	if sealSalt(t, a) != first {
		t.Error("a new salt before the first is too old")
	}
	a.sealing.Load().start = time.Now().Add(-saltLife)
	if sealSalt(t, a) == first {
		t.Error("the salt outlived saltLife")
	}
}

// TestConcurrentSealersShareASalt also reaches the salt's maxSeals half-way.
func TestConcurrentSealersShareASalt(t *testing.T) {
	const sealers, each = 8, 200
	a := newAEAD(t, randomBytes(KeySize))
	sealSalt(t, a)
	a.sealing.Load().used.Store(maxSeals - sealers*each/2)

	var mu sync.Mutex
	salts := map[[SaltSize]byte]int{}
	var wg sync.WaitGroup
	for range sealers {
		wg.Go(func() {
			for range each {
				sealed, err := a.Seal(nil, []byte("x"), nil)
				if err != nil {
					t.Error(err)
					return
				}
				salt := [SaltSize]byte(sealed)
				if got, err := a.Open(sealed, nil); err != nil || string(got) != "x" {
					t.Errorf("Open = %q, %v", got, err)
				}
				mu.Lock()
				salts[salt]++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if len(salts) != 2 {
		t.Errorf("%d salts: want the old one and its successor", len(salts))
	}
	for _, n := range salts {
		if n != sealers*each/2 {
			t.Errorf("a salt sealed %d messages: want %d", n, sealers*each/2)
		}
	}
}

// Sealers that start at once all use the salt of the first.
func TestConcurrentFirstSealsDrawOneSalt(t *testing.T) {
	for range 500 {
		const sealers = 4
		a := newAEAD(t, randomBytes(KeySize))
		var salts [sealers][SaltSize]byte
		var wg sync.WaitGroup
		start := make(chan struct{})
		for i := range sealers {
			wg.Go(func() {
				<-start
				if sealed, err := a.Seal(nil, nil, nil); err != nil {
					t.Error(err)
				} else {
					salts[i] = [SaltSize]byte(sealed)
				}
			})
		}
		close(start)
		wg.Wait()
		for _, salt := range salts {
			if salt != salts[0] {
				t.Fatal("two salts are in use at once")
			}
		}
	}
}

func TestNoNonceRepeats(t *testing.T) {
	a := newAEAD(t, randomBytes(KeySize))
	seen := make(map[[SaltSize + NonceSize]byte]bool, 100_000)
	var b []byte
	for range 100_000 {
		b, _ = a.Seal(b[:0], nil, nil)
		nonce := [SaltSize + NonceSize]byte(b)
		if seen[nonce] {
			t.Fatal("a nonce repeats")
		}
		seen[nonce] = true
	}
}

// A cloned process uses the same salt, so only the nonces differ.
func TestClonesThatShareASaltShareNoNonce(t *testing.T) {
	key := randomBytes(KeySize)
	a, clone := newAEAD(t, key), newAEAD(t, key)
	sealSalt(t, a)
	clone.sealing.Store(a.sealing.Load())
	one, _ := a.Seal(nil, []byte("x"), nil)
	two, _ := clone.Seal(nil, []byte("x"), nil)
	if [SaltSize]byte(one) != [SaltSize]byte(two) || [NonceSize]byte(one[SaltSize:]) == [NonceSize]byte(two[SaltSize:]) {
		t.Errorf("%x and %x: want one salt and two nonces", one[:24], two[:24])
	}
}
