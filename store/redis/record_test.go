package redis

import (
	"encoding/hex"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

// packRecord packs a family as the scripts do.
func packRecord(f *record) string {
	var p packed
	p.byte(recordVersion)
	p.flag(f.Native)
	p.flag(f.ended)
	switch {
	case f.Counts:
		p.byte(boundCounts)
	case !f.Key.IsZero():
		p.byte(1)
	default:
		p.byte(0)
	}
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
	p.number(uint64(f.Absolute.Milliseconds()))
	p.bytes(f.Seal[:])
	p.short(f.Subject)
	p.short(f.Actor)
	p.short(f.Label)
	p.long(packDetails(f))
	p.long(f.Value)
	return string(p)
}

func packDetails(f *record) (p packed) {
	id := func(id store.ID) {
		if id.IsZero() {
			p.short("")
		} else {
			p.short(string(id[:]))
		}
	}
	p.number(f.keep)
	p.short(f.Methods)
	p.short(f.Level)
	p.names(f.Names)
	p.key(f.Key)
	id(f.First)
	id(f.Successor)
	if string(p) == string(make([]byte, len(p))) {
		return nil
	}
	return p
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
	case store.KindName:
		p.short(string(e.Name[:]))
	default:
		p.short(packRing(e.Ring, e.RingVersion))
	}
	p.short(e.Reason)
	p.short(e.Actor)
	return string(p)
}

func sampleFamily() record {
	at := time.UnixMilli(1_790_000_000_123)
	return record{Family: store.Family{
		ID: store.ID{7}, Subject: "alice", Label: "laptop", Native: true, Birth: 1, Position: store.MaxPosition, LastCommit: 5, Value: []byte("sealed"),
		Names: []store.Name{{0, 1}, {0, 2}, {9}, {0xff}}, Actor: "support:carol", Methods: "pwd otp", Level: "2", Key: store.Key{3}, Counts: true,
		First: store.ID{4}, Successor: store.ID{5}, Seal: store.Seal{6},
		Generation: 3, Copy: 2, Used: store.MaxCopy, Started: at, Authenticated: at.Add(time.Millisecond), Issued: at.Add(time.Second), Idle: 30 * time.Minute, Absolute: time.Hour,
	}, keep: 8}
}

// plainFamily has none of the details.
func plainFamily() record {
	at := time.UnixMilli(1_790_000_000_123)
	return record{Family: store.Family{
		ID: store.ID{7}, Subject: "alice", Birth: 1, Position: 1, Generation: 1, Started: at, Authenticated: at, Issued: at, Idle: 30 * time.Minute, Absolute: time.Hour,
	}}
}

// recordSeeds returns texts, of which the first good ones are records.
func recordSeeds() (seeds []string, good int) {
	whole, plain := sampleFamily(), plainFamily()
	seeds = []string{packRecord(&whole), packRecord(&plain)}
	for _, part := range []func(f *record){
		func(f *record) { f.keep = 1 },
		func(f *record) { f.Methods = "pwd" },
		func(f *record) { f.Names = []store.Name{{1}} },
		func(f *record) { f.Key = store.Key{1} },
		func(f *record) { f.Successor, f.ended = store.ID{1}, true },
	} {
		f := plainFamily()
		part(&f)
		seeds = append(seeds, packRecord(&f))
	}
	good = len(seeds)
	for _, spoil := range []func(f *record){
		func(f *record) { f.Birth = store.MaxPosition + 1 },
		func(f *record) { f.Generation = 0 },
		func(f *record) { f.Generation = store.MaxGeneration + 1 },
		func(f *record) { f.Copy = store.MaxCopy + 1 },
		func(f *record) { f.Used = store.MaxCopy + 1 },
		func(f *record) { f.LastCommit = 0 }, // with a value
		func(f *record) { f.Subject = "" },
		func(f *record) { f.Key = store.Key{} }, // that counts
		func(f *record) { f.Names[0], f.Names[1] = f.Names[1], f.Names[0] },
		func(f *record) { f.Names[1] = f.Names[0] },
		func(f *record) { f.Names[0] = store.Name{} },
		func(f *record) { f.Names = append(f.Names, store.Name{0xff, 1}) },
	} {
		f := sampleFamily()
		spoil(&f)
		seeds = append(seeds, packRecord(&f))
	}
	text := seeds[0]
	seeds = append(seeds, text[:len(text)-1], text+"x", "",
		"\x02"+text[1:],                  // the version before details
		"\x04"+text[1:],                  // the next version
		text[:1]+"\x02"+text[2:],         // native is a flag
		text[:2]+"\x02"+text[3:],         // so is ended
		text[:3]+"\x03"+text[4:],         // bound is at most 2
		text[:3]+"\x00"+text[4:],         // not bound, with a key
		seeds[1][:3]+"\x01"+seeds[1][4:], // bound, without a key
		seeds[1][:len(seeds[1])-4]+"\x00\x0e"+string(make([]byte, 14))+"\x00\x00",                      // details that say nothing
		seeds[2][:len(seeds[2])-16-1]+"\x0f"+seeds[2][len(seeds[2])-16:len(seeds[2])-2]+"\x00\x00\x00", // details with a byte left over
	)
	return seeds, good
}

// FuzzRecord: a record that parses is packed to the same bytes.
func FuzzRecord(f *testing.F) {
	seeds, _ := recordSeeds()
	for _, seed := range seeds {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		family, err := parseRecord(text, store.ID{1})
		if err != nil {
			return
		}
		if again := packRecord(&family); again != text {
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
		{ID: store.ID{5}, Position: 9, Previous: 8, Kind: store.KindName, Name: store.Name{9}, Time: at},
		{ID: store.ID{6}, Position: 10, Previous: 9, Kind: store.KindEveryone, Ring: store.ID{1}, RingVersion: 1<<64 - 1, Time: at},
	} {
		whole := packEntry(&e)
		seeds = append(seeds, whole, whole[:len(whole)-1], whole+"\x00", whole[:24]+"\x06"+whole[25:])
	}
	nameless := store.Entry{ID: store.ID{5}, Position: 9, Kind: store.KindName, Time: at}
	const name = 8*3 + 1 + 16 // where the name begins
	everyone := packEntry(&store.Entry{ID: store.ID{6}, Position: 10, Kind: store.KindEveryone, Time: at})
	return append(seeds, packEntry(&nameless), everyone[:name]+"\x18"+string(make([]byte, 24))+everyone[name+1:], everyone[:name]+"\x01x"+everyone[name+1:])
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
	head := string(make([]byte, 2+8*3+4+1+8+16))
	seeds, _ := recordSeeds()
	for _, record := range seeds {
		f.Add("\x01\x03" + head[2:] + record)
	}
	f.Add(head)
	f.Add("\x09" + head[1:])
	f.Add(head[:2+8*3+4] + "\x02" + head[2+8*3+5:])
	f.Fuzz(func(t *testing.T, text string) {
		s, err := parseSnapshot(text, store.ID{1})
		if err != nil {
			return
		}
		if (s.State == store.Absent) != s.Family.ID.IsZero() || s.Outcome > store.Again || s.State > store.Alive {
			t.Errorf("%x: %+v", text, s)
		}
		_ = s.State.String() + s.Outcome.String()
	})
}

// FuzzPage: no reply to Families or Announce causes a panic.
func FuzzPage(f *testing.F) {
	seeds, _ := recordSeeds()
	place := string(packPlace(store.PageCursor{Birth: 5, Started: 1<<47 | 1<<31, ID: store.ID{1}}))
	for _, next := range []string{"\x00", "\x1e" + place, "\x1d" + place[1:], "\x1e" + place + "x"} {
		f.Add("\x00\x00\x00\x00\x00\x00\x00\x05"+next, string(make([]byte, 16))+seeds[0])
	}
	f.Add("\x01\x00\x00\x00\x00\x00\x00\x00\x05\x01r"+string(make([]byte, 24)), "node of 16 bytes"+string(make([]byte, 24))+"\x01isettings")
	f.Fuzz(func(t *testing.T, head, row string) {
		if p, err := parsePage([]any{head, row}); err == nil && (len(p.Families) != 1 || p.Families[0].Value != nil) {
			t.Errorf("%+v", p)
		}
		if p, err := parsePeers([]any{head, row}); err == nil && (len(p.Nodes) != 1 || p.Nodes[0].Node.IsZero()) {
			t.Errorf("%+v", p)
		}
	})
}

func TestRecordSeeds(t *testing.T) {
	seeds, good := recordSeeds()
	for i, seed := range seeds {
		if _, err := parseRecord(seed, store.ID{7}); (err == nil) != (i < good) {
			t.Errorf("seed %d: %v", i, err)
		}
	}
	for i, want := range []record{sampleFamily(), plainFamily()} {
		if got, err := parseRecord(seeds[i], want.ID); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%+v, %v; want %+v", got, err, want)
		}
	}
	read := 0
	for _, seed := range entrySeeds() {
		if _, err := parseEntry(seed); err == nil {
			read++
		} else if strings.Contains(err.Error(), hex.EncodeToString([]byte("alice"))) {
			t.Errorf("error %v", err)
		}
	}
	if read != 6 {
		t.Errorf("%d of the seeds are entries; want 6", read)
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
