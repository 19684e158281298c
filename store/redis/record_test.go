package redis

import (
	"bytes"
	"encoding/hex"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// packRecord packs a family as the scripts do.
func packRecord(f *store.Family, ended bool) string {
	var p packed
	p.byte(recordVersion)
	flags := byte(0)
	if f.Native {
		flags |= flagNative
	}
	if ended {
		flags |= flagEnded
	}
	p.byte(flags)
	p.number(uint64(f.Birth))
	p.number(uint64(f.Position))
	p.number(uint64(f.LastCommit))
	p.number32(f.Generation)
	p.number16(f.Copy)
	p.number16(f.Used)
	for _, at := range []time.Time{f.Started, f.Authenticated, f.Issued} {
		p.number(uint64(at.UnixMilli()))
	}
	p.number(uint64(f.Idle.Milliseconds()))
	p.number(uint64(f.Absolute.UnixMilli()))
	p.short(f.Subject)
	p.short(f.Label)
	p.long(f.Value)
	return string(p)
}

func packEntry(e *store.Entry) string {
	var p packed
	p.number(uint64(e.Position))
	p.number(uint64(e.Previous))
	p.number(uint64(e.Time.UnixMilli()))
	p.byte(byte(e.Kind))
	p.bytes(e.ID[:])
	switch e.Kind {
	case store.KindSubject:
		p.short(e.Subject)
	case store.KindSession, store.KindSuperseding:
		p.short(string(e.Session[:]))
	default:
		p.short("")
	}
	p.short(e.Reason)
	p.short(e.Actor)
	return string(p)
}

func sampleFamily() store.Family {
	at := time.UnixMilli(1_790_000_000_123)
	return store.Family{
		ID: store.ID{7}, Subject: "alice", Label: "laptop", Native: true, Birth: 1, Position: store.MaxPosition, LastCommit: 5, Value: []byte("sealed"),
		Generation: 3, Copy: 2, Used: store.MaxCopy, Started: at, Authenticated: at.Add(1), Issued: at.Add(time.Second), Idle: 30 * time.Minute, Absolute: at.Add(time.Hour),
	}
}

func recordSeeds() []string {
	f, plain := sampleFamily(), sampleFamily()
	plain.Value, plain.LastCommit, plain.Label, plain.Native = nil, 0, "", false
	whole := packRecord(&f, true)
	const counts = 1 + 1 + 3*8 // where the generation begins
	return []string{
		whole, packRecord(&plain, false), whole[:len(whole)-1], whole + "x", "", "\x03" + whole[1:], whole[:1] + "\x04" + whole[2:],
		whole[:2] + "\xff" + whole[3:],                         // a birth of more than 53 bits
		"\x01" + whole[1:],                                     // the version before copies
		whole[:counts] + "\x00\x00\x00\x00" + whole[counts+4:], // generation 0
		whole[:counts] + "\x00\x10\x00\x00" + whole[counts+4:], // a generation of 21 bits
		whole[:counts+4] + "\x10\x00" + whole[counts+6:],       // a copy of 13 bits
		whole[:counts+6] + "\x10\x00" + whole[counts+8:],       // a used copy of 13 bits
	}
}

// FuzzRecord: a record that parses is packed to the same bytes.
func FuzzRecord(f *testing.F) {
	for _, seed := range recordSeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		family, err := parseRecord(text, store.ID{1})
		if err != nil {
			return
		}
		if again := packRecord(&family, text[1]&flagEnded != 0); again != text {
			t.Errorf("%x was read, and is written as %x", text, again)
		}
	})
}

func entrySeeds() []string {
	at := time.UnixMilli(1_790_000_000_123)
	var seeds []string
	for _, e := range []store.Entry{
		{ID: store.ID{1}, Position: 5, Previous: 4, Kind: store.KindSession, Session: store.ID{9}, Reason: "logout", Actor: "alice", Time: at},
		{ID: store.ID{2}, Position: store.MaxPosition, Kind: store.KindSubject, Subject: "bob", Time: at},
		{ID: store.ID{3}, Position: 7, Previous: 6, Kind: store.KindEveryone, Reason: "the log begins", Time: at},
		{ID: store.ID{4}, Position: 8, Previous: 7, Kind: store.KindSuperseding, Session: store.ID{9}, Time: at},
	} {
		whole := packEntry(&e)
		seeds = append(seeds, whole, whole[:len(whole)-1], whole+"\x00", whole[:24]+"\x05"+whole[25:])
	}
	return seeds
}

// FuzzEntry: an entry that parses is packed to the same bytes.
func FuzzEntry(f *testing.F) {
	for _, seed := range entrySeeds() {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := parseEntry(text)
		if err != nil {
			return
		}
		if again := packEntry(&e); again != text {
			t.Errorf("%x was read, and is written as %x", text, again)
		}
	})
}

// FuzzSnapshot: no reply causes a panic, and none is parsed in part.
func FuzzSnapshot(f *testing.F) {
	head := string(make([]byte, 2+8*4+16))
	for _, record := range recordSeeds() {
		f.Add("\x01\x03"+head[2:]+record, true)
	}
	f.Add(head, false)
	f.Add("\x06"+head[1:], false)
	f.Fuzz(func(t *testing.T, text string, _ bool) {
		s, err := parseSnapshot(text, store.ID{1})
		if err != nil {
			return
		}
		if (s.State == store.Absent) != s.Family.ID.IsZero() || s.Outcome > store.Taken || s.State > store.Alive {
			t.Errorf("%x: %+v", text, s)
		}
		_ = s.State.String() + s.Outcome.String()
	})
}

func TestRecordSeeds(t *testing.T) {
	for i, seed := range recordSeeds() {
		if _, err := parseRecord(seed, store.ID{7}); (err == nil) != (i < 2) {
			t.Errorf("seed %d: %v", i, err)
		}
	}
	want := sampleFamily()
	got, err := parseRecord(packRecord(&want, false), want.ID)
	if err != nil || got.Subject != want.Subject || got.Label != want.Label || !got.Native || got.Position != want.Position || !bytes.Equal(got.Value, want.Value) ||
		!got.Absolute.Equal(want.Absolute) || got.Idle != want.Idle || got.Generation != 3 || got.Copy != 2 || got.Used != store.MaxCopy || got.LastCommit != 5 || got.Birth != 1 {
		t.Errorf("%+v, %v", got, err)
	}
	read := 0
	for _, seed := range entrySeeds() {
		if _, err := parseEntry(seed); err == nil {
			read++
		} else if strings.Contains(err.Error(), hex.EncodeToString([]byte("alice"))) {
			t.Errorf("error %v", err)
		}
	}
	if read != 4 {
		t.Errorf("%d of the seeds are entries; want 4", read)
	}
}

func TestInfo(t *testing.T) {
	d := durabilityOf(infoOf("# Server\r\nredis_version:7.2.4\r\nvalkey_version:8.1.0\r\nserver_name:valkey\r\n\r\n# Memory\r\nmaxmemory:1048576\r\nmaxmemory_policy:noeviction\r\n# Persistence\r\naof_enabled:1\r\n# Replication\r\nrole:master\r\nconnected_slaves:2\r\n# Cluster\r\ncluster_enabled:1\r\n"))
	want := Durability{Server: "valkey", Version: "8.1.0", Role: "master", Cluster: true, Replicas: 2, Policy: "noeviction", MaxMemory: 1 << 20, AppendOnly: "yes"}
	if d.Server != want.Server || d.Version != want.Version || d.Role != want.Role || !d.Cluster || d.Replicas != 2 || d.Policy != want.Policy || d.MaxMemory != want.MaxMemory || d.AppendOnly != "yes" || d.AppendFsync != "" {
		t.Errorf("%+v; want %+v", d, want)
	}
	if !d.waitsForFile() {
		t.Error("Valkey 8 with a file has WAITAOF")
	}
	for version, ok := range map[string]bool{"6.2.0": true, "6.0.16": false, "5.0.1": false, "7.0.15": true, "10.0.0": true, "6": false} {
		d.Version = version
		if err := d.refusal(); (err == nil) != ok {
			t.Errorf("version %s: %v", version, err)
		}
	}
	d.Version = "7.0.15"
	if d.waitsForFile() {
		t.Error("7.0 has no WAITAOF")
	}
}

func TestParseIsStrictAboutPositions(t *testing.T) {
	r := reader{rest: "\x00\x20\x00\x00\x00\x00\x00\x00"} // 2^53
	if r.position(); !r.bad {
		t.Error("a position of 54 bits was read")
	}
	r = reader{rest: "\x00\x1f\xff\xff\xff\xff\xff\xff"}
	if p := r.position(); r.bad || p != store.MaxPosition {
		t.Errorf("the highest position is read as %d", p)
	}
}
