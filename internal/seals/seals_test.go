package seals

import (
	"context"
	"errors"
	"reflect"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

var (
	now      = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)
	instance = codec.Instance{Realm: "shop", SessionCookie: "__Host-session"}
)

func newSeals(t *testing.T, ring *keyring.Ring, i codec.Instance) Seals {
	t.Helper()
	s, err := New(ring, i)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func staticRing(t *testing.T) *keyring.Ring {
	t.Helper()
	ring, err := keyring.Static("c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3I=")
	if err != nil {
		t.Fatal(err)
	}
	return ring
}

func family() store.Family {
	return store.Family{
		ID: store.ID{1}, Subject: "alice", Label: "phone", Native: true, Names: []store.Name{{1}, {2}}, Actor: "carol",
		Methods: "pwd otp", Level: "2", Key: store.Key{3}, Counts: true, First: store.ID{4}, Successor: store.ID{5},
		Birth: 6, Position: 7, LastCommit: 8, Value: []byte("v"), Generation: 9, Copy: 10, Used: 11,
		Started: now, Authenticated: now.Add(time.Second), Issued: now.Add(time.Minute), Idle: time.Hour, Absolute: 12 * time.Hour,
	}
}

// free are the fields of a row that its seal does not cover: who can write to the
// store gains by them what docs/threat-model.md says.
var free = map[string]bool{
	"Label": true, "Counts": true, "First": true, "Successor": true, "Seal": true, "Birth": true, "Position": true,
	"LastCommit": true, "Value": true, "Generation": true, "Copy": true, "Used": true, "Issued": true,
}

// Every field of a row that could make somebody else of a family is covered, those
// of later releases included: a new field has to be named in free, or sealed.
func TestPromise2_TheSealCoversTheRow(t *testing.T) {
	s := newSeals(t, staticRing(t), instance)
	f := family()
	var err error
	if f.Seal, err = s.Seal(now, &f); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), now, &f); err != nil {
		t.Fatal(err)
	}
	kind := reflect.TypeFor[store.Family]()
	for i := range kind.NumField() {
		name := kind.Field(i).Name
		changed := f
		change(t, reflect.ValueOf(&changed).Elem().Field(i), name)
		if reflect.DeepEqual(changed, f) {
			t.Fatalf("%s was not changed", name)
		}
		err := s.Verify(t.Context(), now, &changed)
		if name == "Seal" {
			name, err = "", nil // it cannot be right by itself
		}
		if name != "" && (err == nil) != free[name] {
			t.Errorf("another %s: %v, and free is %v", name, err, free[name])
		}
		if errors.Is(err, refresh.ErrUnverifiable) {
			t.Errorf("another %s is taken for an outage: %v", name, err)
		}
	}
}

// change gives a field another value.
func change(t *testing.T, v reflect.Value, name string) {
	t.Helper()
	switch at := v.Interface().(type) {
	case time.Time:
		v.Set(reflect.ValueOf(at.Add(time.Millisecond)))
		return
	case time.Duration:
		v.Set(reflect.ValueOf(at + time.Millisecond))
		return
	case []store.Name:
		v.Set(reflect.ValueOf(at[:1]))
		return
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(v.String() + "x")
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Array:
		v.Index(0).SetUint(v.Index(0).Uint() + 1)
	case reflect.Slice:
		v.Set(reflect.AppendSlice(reflect.MakeSlice(v.Type(), 1, 1), v))
	case reflect.Uint16, reflect.Uint32, reflect.Uint64:
		v.SetUint(v.Uint() + 1)
	default:
		t.Fatalf("%s is of a kind that the test does not know", name)
	}
}

// A family of another realm or of another session cookie does not verify.
func TestPromise2_TheSealIsTheInstances(t *testing.T) {
	ring := staticRing(t)
	f := family()
	var err error
	if f.Seal, err = newSeals(t, ring, instance).Seal(now, &f); err != nil {
		t.Fatal(err)
	}
	for _, other := range []codec.Instance{{Realm: "office", SessionCookie: "__Host-session"}, {Realm: "shop", SessionCookie: "__Host-staff"}} {
		if err := newSeals(t, ring, other).Verify(t.Context(), now, &f); err == nil {
			t.Errorf("it verifies for %v", other)
		}
	}
}

// downSource is a ring's source that cannot be read any more.
type downSource struct {
	keyring.Source
	down bool
}

var errDown = errors.New("down")

func (s *downSource) LoadKeys(ctx context.Context) (uint64, []byte, error) {
	if s.down {
		return 0, nil, errDown
	}
	return s.Source.LoadKeys(ctx)
}

// A key that is unknown makes a row wrong if the ring can be read, and unverifiable
// if not.
func TestPromise5_AnUnknownKey(t *testing.T) {
	keeper, err := keyring.NewKeeper("00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff")
	if err != nil {
		t.Fatal(err)
	}
	source := &downSource{Source: keyring.File(t.TempDir() + "/ring")}
	ring, err := keyring.Create(t.Context(), source, keeper, now, keyring.Schedule{})
	if err != nil {
		t.Fatal(err)
	}
	s, f := newSeals(t, ring, instance), family()
	if f.Seal, err = newSeals(t, staticRing(t), instance).Seal(now, &f); err != nil {
		t.Fatal(err)
	}
	if err := s.Verify(t.Context(), now, &f); err == nil || errors.Is(err, refresh.ErrUnverifiable) {
		t.Errorf("a key that the ring does not have: %v", err)
	}
	source.down = true
	if err := s.Verify(t.Context(), now, &f); !errors.Is(err, refresh.ErrUnverifiable) || !errors.Is(err, errDown) {
		t.Errorf("and the ring cannot be read: %v", err)
	}
}
