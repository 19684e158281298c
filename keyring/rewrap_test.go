package keyring

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

func newKeeper(t testing.TB) Keeper {
	t.Helper()
	return must(CreateKeeper(filepath.Join(t.TempDir(), "key")))(t)
}

// The documented order: rewrap, then restart the nodes.
func TestRewrap(t *testing.T) {
	path := newRingFile(t)
	oldKeeper, newer := testKeeper(t), newKeeper(t)
	operator := must(Open(t.Context(), File(path), oldKeeper))(t)
	node := must(Open(t.Context(), File(path), oldKeeper))(t)
	before := node.Set()
	sealing := mustPrimary(t, before, day(1))

	read := operator.Set().Keys()
	if err := operator.Rewrap(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	for i, k := range operator.Set().Keys() {
		if k == read[i] {
			t.Errorf("%v is changed while it is read", k)
		}
	}
	if v := operator.Set().Version(); v != 2 {
		t.Errorf("the rewrapped set has version %d", v)
	}
	// A node with the old keeper fails loudly, changes nothing, and goes on.
	err := node.Reload(t.Context())
	if err == nil || !strings.Contains(err.Error(), "another key") {
		t.Errorf("a node with the old keeper reloads: %v", err)
	}
	for name, change := range map[string]func() error{
		"Rotate": func() error { _, err := node.Rotate(t.Context(), day(1), 0); return err },
		"Revoke": func() error { _, err := node.Revoke(t.Context(), day(1), sealing.ID(), "x"); return err },
		"Rewrap": func() error { return node.Rewrap(t.Context(), oldKeeper) },
	} {
		if err := change(); err == nil {
			t.Errorf("a node with the old keeper changed the set: %s", name)
		}
	}
	if node.Set() != before || mustPrimary(t, node.Set(), day(1)).ID() != sealing.ID() {
		t.Error("the node does not go on with what it has")
	}
	_, err = node.Key(t.Context(), ID{9, 9, 9, 9}, day(1))
	if !errors.Is(err, ErrUnknown) || !strings.Contains(err.Error(), "another key") {
		t.Errorf("an unknown id on that node: %v", err)
	}
	// The restarted node, and the operator's ring, go on with the new keeper.
	restarted := must(Open(t.Context(), File(path), newer))(t)
	if k, err := restarted.Key(t.Context(), sealing.ID(), day(1)); err != nil || k.material().secret != sealing.material().secret {
		t.Errorf("what was sealed before does not open: %v", err)
	}
	must(operator.Rotate(t.Context(), day(1), 0))(t)
	if err := restarted.Reload(t.Context()); err != nil || restarted.Set().Version() != 3 {
		t.Errorf("after a change by the operator's ring: %v, %v", restarted, err)
	}
	if _, err := Open(t.Context(), File(path), oldKeeper); err == nil {
		t.Error("the old keeper still opens the document")
	}
}

// badKeeper breaks encryption or decryption of a keeper.
type badKeeper struct {
	Keeper
	encrypt, decrypt func([]byte) ([]byte, error)
}

func (k badKeeper) Encrypt(ctx context.Context, b []byte) ([]byte, error) {
	if k.encrypt != nil {
		return k.encrypt(b)
	}
	return k.Keeper.Encrypt(ctx, b)
}

func (k badKeeper) Decrypt(ctx context.Context, b []byte) ([]byte, error) {
	if k.decrypt != nil {
		return k.decrypt(b)
	}
	return k.Keeper.Decrypt(ctx, b)
}

// A keeper that cannot open what it seals does not lose the keys.
func TestRewrapUnderAKeeperThatDoesNotWork(t *testing.T) {
	denied := errors.New("denied")
	no := func([]byte) ([]byte, error) { return nil, denied }
	for name, keeper := range map[string]Keeper{
		"none":                   nil,
		"does not seal":          badKeeper{Keeper: testKeeper(t), encrypt: no},
		"does not open":          badKeeper{Keeper: testKeeper(t), decrypt: no},
		"opens something else":   badKeeper{Keeper: testKeeper(t), decrypt: func([]byte) ([]byte, error) { return []byte("{}"), nil }},
		"seals something else":   badKeeper{Keeper: plainKeeper{}, encrypt: func(b []byte) ([]byte, error) { return b[1:], nil }},
		"opens what it was told": badKeeper{Keeper: plainKeeper{}, encrypt: func([]byte) ([]byte, error) { return nil, nil }},
	} {
		path := newRingFile(t)
		before := readFile(t, path)
		r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
		if err := r.Rewrap(t.Context(), keeper); err == nil {
			t.Errorf("%s: rewrapped", name)
		}
		if !bytes.Equal(readFile(t, path), before) {
			t.Errorf("%s: the document was changed", name)
		}
		if _, err := r.Rotate(t.Context(), epoch, 0); err != nil {
			t.Errorf("%s: the ring does not go on: %v", name, err)
		}
	}
	wantError(t, must(Static(keeperText))(t).Rewrap(t.Context(), testKeeper(t)), ErrStatic)
}

// A concurrent change is kept: Rewrap starts again from the newest set.
func TestRewrapLosesNoChange(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	other := openRing(t, source)
	revoked := r.Set().Keys()[0].ID()
	once := false
	source.beforeSwap = func() error {
		if !once {
			once = true
			must(other.Revoke(t.Context(), day(1), revoked, "meanwhile"))(t)
		}
		return nil
	}
	newer := testKeeper(t)
	if err := r.Rewrap(t.Context(), newer); err != nil {
		t.Fatal(err)
	}
	reopened := must(Open(t.Context(), source, newer))(t)
	if _, err := reopened.Set().Key(revoked, day(1)); err != ErrRevoked || reopened.Set().Version() != 3 {
		t.Errorf("the revocation got lost: %v, %v", reopened, err)
	}
}

func TestRewrapGivesUpWithItsContext(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	ctx, cancel := context.WithCancel(t.Context())
	r.source = neverSwaps{source, cancel}
	wantError(t, r.Rewrap(ctx, testKeeper(t)), context.Canceled)
	r.source = source
	must(r.Rotate(t.Context(), epoch, 0))(t)
	openRing(t, source) // still under the old one
}

// Rewraps, rotations and reads of one ring at once: every document that was
// written opens under one of the keepers, and in the end under the last.
func TestRewrapUnderConcurrency(t *testing.T) {
	r, source := newMemoryRing(t, Schedule{})
	keepers := []Keeper{newKeeper(t), newKeeper(t), newKeeper(t)}
	var readers, group sync.WaitGroup
	stop := make(chan struct{})
	for range 2 {
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				k, err := r.Primary(epoch)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := Derived(k, Cookie, func(b []byte) (int, error) { return len(b), nil }); err != nil {
					t.Error(err)
				}
				r.Reload(t.Context()) // may meet the moment between two keepers
			}
		})
	}
	for i, keeper := range keepers {
		group.Go(func() {
			for {
				if err := r.Rewrap(t.Context(), keeper); err == nil {
					return
				}
			}
		})
		group.Go(func() {
			for {
				if _, err := r.Rotate(t.Context(), day(float64(31*i)), 0); err == nil {
					return
				}
			}
		})
	}
	group.Wait()
	close(stop)
	readers.Wait()
	opened := 0
	for _, keeper := range keepers {
		if _, err := Open(t.Context(), source, keeper); err == nil {
			opened++
		}
	}
	if opened != 1 {
		t.Errorf("%d of the keepers open the document: want 1", opened)
	}
	if _, err := r.Rotate(t.Context(), day(400), 0); err != nil {
		t.Errorf("the ring does not go on: %v", err)
	}
}
