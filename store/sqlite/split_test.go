package sqlite

import (
	"strings"
	"testing"

	"github.com/waferkit/wafer/store"
)

// joinFamily does in Go what familyFields does in SQL.
func joinFamily(f *familyRow) (flags int64, joined string) {
	for i, set := range []bool{f.Native, f.Counts, f.ended, !f.Key.IsZero(), !f.First.IsZero(), !f.Successor.IsZero()} {
		if set {
			flags |= 1 << i
		}
	}
	parts := []string{string(f.ID[:]), string(f.Seal[:]), string(optional(f.Key[:])), string(optional(f.First[:])), string(optional(f.Successor[:])), string(joinNames(f.Names))}
	texts := strings.Join([]string{f.Subject, f.Label, f.Actor, f.Methods, f.Level}, "\x00")
	return flags | int64(len(parts[5]))<<flagBits, strings.Join(parts, "") + texts
}

// FuzzSplitFamily reads damaged rows. What is accepted must have one form.
func FuzzSplitFamily(f *testing.F) {
	for _, row := range []familyRow{
		{Family: store.Family{Subject: "alice"}},
		{Family: store.Family{ID: store.ID{0, 1}, Subject: "alice", Label: "phone", Native: true, Seal: store.Seal{0, 0, 3}}, ended: true},
		{Family: store.Family{ID: store.ID{1}, Subject: "å", Actor: "bob", Methods: "pwd otp", Level: "2", Key: store.Key{0, 7}, Counts: true,
			First: store.ID{2}, Successor: store.ID{0, 0, 3}, Names: []store.Name{{0, 1}, {2}, {3}, {255}}}},
	} {
		flags, joined := joinFamily(&row)
		f.Add(flags, joined)
	}
	f.Add(int64(-1), strings.Repeat("x", 500))
	f.Add(int64(5*32<<flagBits), strings.Repeat("x", 500)+"\x00\x00\x00\x00") // five names
	f.Add(int64(31<<flagBits), strings.Repeat("x", 500)+"\x00\x00\x00\x00")
	f.Add(int64(flagKey), strings.Repeat("\x00", 100)) // a key of zeros
	f.Fuzz(func(t *testing.T, flags int64, joined string) {
		row := new(familyRow)
		if row.split(flags, joined) != nil {
			return
		}
		if again, same := joinFamily(row); again != flags || same != joined {
			t.Errorf("%x %q was read as %x %q", flags, joined, again, same)
		}
	})
}

// joinEntry does in Go what batchQuery does in SQL.
func joinEntry(e *store.Entry) string {
	about := e.Subject
	switch e.Kind {
	case store.KindSession, store.KindSuperseding:
		about = string(e.Session[:])
	case store.KindName:
		about = string(e.Name[:])
	case store.KindEveryone:
		about = string(packRing(e.Ring, e.RingVersion))
	}
	return string(e.ID[:]) + about + "\x00" + e.Reason + "\x00" + e.Actor
}

// FuzzSplitEntry reads damaged entries. What is accepted must have one form.
func FuzzSplitEntry(f *testing.F) {
	for _, e := range []store.Entry{
		{ID: store.ID{1}, Kind: store.KindEveryone, Reason: "leaked", Actor: "carol"},
		{ID: store.ID{0, 1}, Kind: store.KindEveryone, Ring: store.ID{0, 2}, RingVersion: 1<<64 - 1},
		{ID: store.ID{1}, Kind: store.KindSubject, Subject: "alice"},
		{ID: store.ID{1}, Kind: store.KindSession, Session: store.ID{0, 0, 5}, Reason: "logout"},
		{ID: store.ID{1}, Kind: store.KindSuperseding, Session: store.ID{6}},
		{ID: store.ID{1}, Kind: store.KindName, Name: store.Name{0, 7}},
	} {
		f.Add(uint8(e.Kind), joinEntry(&e))
	}
	f.Add(uint8(store.KindSubject), strings.Repeat("x", 16)+"\x00\x00") // without a subject
	f.Add(uint8(store.KindSession), strings.Repeat("x", 31)+"\x00\x00")
	f.Add(uint8(7), strings.Repeat("x", 64)+"\x00\x00")
	f.Fuzz(func(t *testing.T, kind uint8, joined string) {
		e := &store.Entry{Kind: store.Kind(kind)}
		if splitEntry(e, joined) != nil {
			return
		}
		if again := joinEntry(e); again != joined {
			t.Errorf("%v %q was read as %q", e.Kind, joined, again)
		}
	})
}
