package keyring

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// epoch is the first instant of these tests.
var epoch = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

// day returns the time d days after the epoch.
func day(d float64) time.Time {
	return epoch.Add(time.Duration(d * float64(24*time.Hour))).Truncate(time.Millisecond)
}

const oneDay = 24 * time.Hour

// keySpec is a key of a set that a test writes down by hand. Days count from
// the epoch.
type keySpec struct {
	id        byte
	activates float64
	revoked   float64 // 0: not revoked
}

func handMade(t testing.TB, schedule Schedule, specs ...keySpec) *Set {
	t.Helper()
	schedule, err := schedule.withDefaults()
	if err != nil {
		t.Fatal(err)
	}
	s := &Set{id: RingID{1}, version: 1, schedule: schedule}
	for _, spec := range specs {
		k := newKey(epoch, day(spec.activates), func(ID) bool { return false })
		k.id = idOf(spec.id)
		copy(k.material().secret[:], bytes.Repeat([]byte{spec.id}, SecretSize))
		if spec.revoked != 0 {
			k.revocation = &Revocation{At: day(spec.revoked), Reason: "by hand"}
		}
		s.keys = append(s.keys, k)
	}
	if err := s.finish(); err != nil {
		t.Fatal(err)
	}
	return s
}

func idOf(b byte) ID { return ID{0, 0, 0, b} }

func mustPrimary(t testing.TB, s *Set, now time.Time) *Key {
	t.Helper()
	k, err := s.Primary(now)
	if err != nil {
		t.Fatalf("Primary(%v) of %v: %v", now, s, err)
	}
	return k
}

func wantError(t testing.TB, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error is %v: want %v", err, want)
	}
}

func must[V any](v V, err error) func(testing.TB) V {
	return func(t testing.TB) V {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// plainKeeper seals nothing, so that a test can look at what was sealed.
type plainKeeper struct{}

func (plainKeeper) Encrypt(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil }
func (plainKeeper) Decrypt(_ context.Context, b []byte) ([]byte, error) { return bytes.Clone(b), nil }

// countingKeeper counts the calls to the keeper that it wraps.
type countingKeeper struct {
	Keeper
	encrypts, decrypts atomic.Int64
}

func (k *countingKeeper) Encrypt(ctx context.Context, b []byte) ([]byte, error) {
	k.encrypts.Add(1)
	return k.Keeper.Encrypt(ctx, b)
}

func (k *countingKeeper) Decrypt(ctx context.Context, b []byte) ([]byte, error) {
	k.decrypts.Add(1)
	return k.Keeper.Decrypt(ctx, b)
}

// memorySource is a Source in memory. It counts the loads and how many were
// under way at once, and a test may put a fault or a delay in front of one.
type memorySource struct {
	mu       sync.Mutex
	version  uint64
	document []byte

	loads          atomic.Int64
	loading, worst atomic.Int64
	beforeLoad     func(context.Context) error // set before the first load
	afterLoad      func()                      // after the read, before the return
	beforeSwap     func() error
}

func (m *memorySource) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	m.loads.Add(1)
	now := m.loading.Add(1)
	defer m.loading.Add(-1)
	for worst := m.worst.Load(); now > worst && !m.worst.CompareAndSwap(worst, now); worst = m.worst.Load() {
	}
	if m.beforeLoad != nil {
		if err := m.beforeLoad(ctx); err != nil {
			return 0, nil, err
		}
	}
	version, document := m.read()
	if m.afterLoad != nil {
		m.afterLoad()
	}
	return version, document, nil
}

func (m *memorySource) SwapKeys(_ context.Context, version uint64, document []byte) (bool, error) {
	if m.beforeSwap != nil {
		if err := m.beforeSwap(); err != nil {
			return false, err
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if version != m.version && m.version != 0 {
		return false, nil
	}
	m.version, m.document = version+1, bytes.Clone(document)
	return true, nil
}

func (m *memorySource) read() (uint64, []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.version, bytes.Clone(m.document)
}

// put writes a document past all rules, as a restored backup does.
func (m *memorySource) put(version uint64, document []byte) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.version, m.document = version, bytes.Clone(document)
}

// newMemoryRing creates a key set at the epoch in a fresh memorySource.
func newMemoryRing(t testing.TB, schedule Schedule) (*Ring, *memorySource) {
	t.Helper()
	source := new(memorySource)
	return must(Create(t.Context(), source, plainKeeper{}, epoch, schedule))(t), source
}

func openRing(t testing.TB, source Source) *Ring {
	t.Helper()
	return must(Open(t.Context(), source, plainKeeper{}))(t)
}

// keeperText is a key-encryption key for tests alone.
var keeperText = base64.StdEncoding.EncodeToString([]byte("only for the tests of keyring!!!"))

func testKeeper(t testing.TB) Keeper {
	t.Helper()
	return must(NewKeeper(keeperText))(t)
}

// newRingFile creates a key set at the epoch in a new file and returns its
// path.
func newRingFile(t testing.TB) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "ring")
	must(Create(t.Context(), File(path), testKeeper(t), epoch, Schedule{}))(t)
	return path
}

func readFile(t testing.TB, path string) []byte {
	t.Helper()
	return must(os.ReadFile(path))(t)
}

func writeFile(t testing.TB, path string, content []byte) {
	t.Helper()
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
}
