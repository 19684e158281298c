package keyring

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// leakRun is how many bytes of a secret in a row count as a leak.
const leakRun = 4

// traces returns the forms in which a run of the secret's bytes would appear in
// printed text.
func traces(secret []byte) map[string]string {
	all := make(map[string]string) // what it looks like → which form that is
	for i := 0; i+leakRun <= len(secret); i++ {
		run := secret[i : i+leakRun]
		all[string(run)] = "raw"
		if quoted := strings.Trim(strconv.Quote(string(run)), `"`); len(quoted) > leakRun {
			all[quoted] = "quoted"
		}
		all[hex.EncodeToString(run)] = "hexadecimal"
		all[strings.ToUpper(hex.EncodeToString(run))] = "upper-case hexadecimal"
		for _, order := range []binary.ByteOrder{binary.BigEndian, binary.LittleEndian} {
			word := order.Uint32(run) // as the key schedule of a cipher holds it
			all[fmt.Sprintf("%d", word)] = "decimal word"
			all[fmt.Sprintf("%08x", word)] = "hexadecimal word"
		}
		for name, verb := range map[string]string{"decimal": "%d", "Go hexadecimal": "%#x", "octal": "%o", "binary": "%b", "hexadecimal list": "%x", "upper-case hexadecimal list": "%X"} {
			for _, separator := range []string{" ", ", ", ","} {
				var items []string
				for _, b := range run {
					items = append(items, fmt.Sprintf(verb, b))
				}
				all[strings.Join(items, separator)] = name
			}
		}
		// In base64 a run may begin at any of three places within a group; only
		// the digits that the run alone decides are looked for.
		for before := range 3 {
			padded := append(make([]byte, before), run...)
			digits := base64.RawStdEncoding.EncodeToString(padded)
			digits = digits[(8*before+5)/6 : 8*(before+leakRun)/6]
			all[digits] = "base64"
			all[strings.NewReplacer("+", "-", "/", "_").Replace(digits)] = "base64url"
		}
	}
	return all
}

// finder returns a function that finds the first of the traces in a text. It
// looks at each place of the text once, for there are thousands of traces.
func finder(traces map[string]string) func(text string) string {
	byStart := make(map[[leakRun]byte][]string)
	for trace := range traces {
		start := [leakRun]byte([]byte(trace))
		byStart[start] = append(byStart[start], trace)
	}
	return func(text string) string {
		for i := 0; i+leakRun <= len(text); i++ {
			for _, trace := range byStart[[leakRun]byte([]byte(text[i:i+leakRun]))] {
				if strings.HasPrefix(text[i:], trace) {
					return trace
				}
			}
		}
		return ""
	}
}

// printed is text together with where it came from.
type printed struct{ from, text string }

// everyPrint returns v in every way that a program prints or logs a value.
func everyPrint(name string, v any) []printed {
	var all []printed
	add := func(from, text string) { all = append(all, printed{name + " by " + from, text}) }
	for verb := 'A'; verb <= 'z'; verb++ {
		if verb > 'Z' && verb < 'a' {
			continue
		}
		if _, bare := v.(*material); bare && verb == 'w' {
			// Package fmt treats %w of a value that is no error as a mistake, and
			// prints past every Formatter. No user has a bare material; in a
			// Key it is a pointer, and prints as one.
			continue
		}
		for _, flags := range []string{"", "+", "#", " ", "# ", "200", ".200"} {
			format := "%" + flags + string(verb)
			add(format, fmt.Sprintf(format, v))
		}
	}
	add("Sprint", fmt.Sprint(v))
	add("Errorf", fmt.Errorf("wrapped: %v %w", v, errors.New("x")).Error())
	var text, js bytes.Buffer
	// The time is left out: its digits, with the Z, may look like a part of a secret.
	options := &slog.HandlerOptions{AddSource: true, ReplaceAttr: func(groups []string, a slog.Attr) slog.Attr {
		if len(groups) == 0 && a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}}
	for handler, out := range map[slog.Handler]*bytes.Buffer{slog.NewTextHandler(&text, options): &text, slog.NewJSONHandler(&js, options): &js} {
		logger := slog.New(handler)
		logger.Info("any", "v", v)
		logger.With("v", v).WithGroup("g").Error("group", slog.Group("v", slog.Any("v", v)))
		add("slog", out.String())
	}
	b, err := json.Marshal(v)
	add("json.Marshal", string(b)+fmt.Sprint(err))
	b, err = json.Marshal(map[string]any{"v": []any{v}})
	add("json.Marshal, nested", string(b)+fmt.Sprint(err))
	return all
}

func TestPromise7_KeyringPrintsNoSecret(t *testing.T) {
	// Fixed secrets, so that a run of theirs cannot turn up by chance.
	secret := sha256.Sum256([]byte("a key's secret"))
	keeperSecret := sha256.Sum256([]byte("a keeper's secret"))
	forbidden := traces(secret[:])
	for trace, form := range traces(keeperSecret[:]) {
		forbidden[trace] = "the keeper's, " + form
	}

	s := handMade(t, Schedule{}, keySpec{id: 1}, keySpec{id: 2, activates: 30, revoked: 3})
	for _, k := range s.keys {
		copy(k.material().secret[:], secret[:])
	}
	subkeys := 0
	for p := range purposeCount {
		k := s.keys[0]
		derived := must(Derived(k, p, func(b []byte) ([]byte, error) { return bytes.Clone(b), nil }))(t)
		for trace, form := range traces(derived) {
			forbidden[trace] = "the subkey's, " + form
		}
		subkeys++
	}
	keeper := must(NewKeeper(base64.StdEncoding.EncodeToString(keeperSecret[:])))(t)
	derivedKeeper := independentHKDF(keeperSecret[:], "wafer/1 keeper", 32)
	for trace, form := range traces(derivedKeeper) {
		forbidden[trace] = "the keeper's key, " + form
	}
	path := filepath.Join(t.TempDir(), "ring")
	sealed := must(keeper.Encrypt(t.Context(), must(marshalSet(s))(t)))(t)
	writeFile(t, path, formatFile(1, sealed))
	ring := must(Open(t.Context(), File(path), keeper))(t)
	must(Derived(ring.Set().keys[0], Cookie, func(b []byte) ([]byte, error) { return b, nil }))(t)
	static := must(Static(hex.EncodeToString(secret[:])))(t)

	type holder struct {
		Key    *Key
		Keys   []*Key
		ByID   map[ID]*Key
		Set    *Set
		Ring   *Ring
		Keeper Keeper
		hidden *Key
		value  Key
	}
	k := ring.Set().keys[0]
	var all []printed
	for name, v := range map[string]any{
		"*Key":                   k,
		"Key":                    *k,
		"**Key":                  &k,
		"[]*Key":                 ring.Set().Keys(),
		"*Set":                   ring.Set(),
		"Set":                    *ring.Set(),
		"*Ring":                  ring,
		"Ring":                   reflect.ValueOf(ring).Elem(),
		"static *Ring":           static,
		"*Set of static":         static.Set(),
		"keeper":                 keeper,
		"keeper's value":         reflect.ValueOf(keeper).Elem(),
		"*material":              k.material(),
		"material in a struct":   struct{ M *material }{k.material()},
		"a struct of them":       holder{k, ring.Set().keys, map[ID]*Key{k.id: k}, ring.Set(), ring, keeper, k, *k},
		"a pointer to that":      &holder{k, ring.Set().keys, map[ID]*Key{k.id: k}, ring.Set(), ring, keeper, k, *k},
		"an interface list":      []any{k, *k, ring, keeper, k.material()},
		"a source":               File(path),
		"the memo of a subkey":   &k.material().derived[Cookie].once,
		"the ring's Set's Keys":  ring.Set().keys[0:1],
		"a log value of the key": k.LogValue(),
	} {
		all = append(all, everyPrint(name, v)...)
	}
	// The shortest name first, so that a fault shows in its plainest form.
	slices.SortStableFunc(all, func(a, b printed) int { return len(a.from) - len(b.from) })
	for name, err := range everyError(t, ring, keeper, path, secret[:], keeperSecret[:]) {
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		all = append(all, everyPrint("the error of "+name, err)...)
	}
	if len(all) < 2000 || subkeys != 7 {
		t.Fatalf("only %d texts of %d subkeys", len(all), subkeys)
	}
	find := finder(forbidden)
	leaks := 0
	for _, p := range all {
		if address.MatchString(p.text) {
			continue // where something is, by %p, may look like a part of anything
		}
		if trace := find(p.text); trace != "" {
			t.Errorf("%s shows the secret (%s): %q in %q", p.from, forbidden[trace], trace, p.text)
			if leaks++; leaks == 10 {
				t.Fatal("and so on")
			}
		}
	}
	// The test itself works: it finds a secret that is there.
	for _, text := range []string{fmt.Sprint(secret), fmt.Sprintf("%x", secret), fmt.Sprintf("%#v", secret), fmt.Sprintf("%q", secret[:]), string(must(marshalSet(s))(t)), string(derivedKeeper)} {
		if find(text) == "" {
			t.Fatalf("the test is blind to %q", text)
		}
	}
}

// address matches a text that is nothing but a pointer.
var address = regexp.MustCompile(`^ *[+-]?(0[xX])?0*[0-9a-fA-F]{1,12} *$`)

// everyError returns an error from each path that handles a secret.
func everyError(t *testing.T, ring *Ring, keeper Keeper, path string, secret, keeperSecret []byte) map[string]error {
	ctx := context.Background()
	all := make(map[string]error)
	add := func(name string, err error) { all[name] = err }

	text := base64.StdEncoding.EncodeToString(secret)
	for name, bad := range map[string]string{
		"short":        text[:40],
		"long":         text[:43] + text[:8],
		"junk":         text + "!",
		"bad hex":      hex.EncodeToString(secret)[:63] + "x",
		"two":          text + "," + text,
		"raw":          string(secret),
		"with a name":  "WAFER_SECRET=" + text,
		"in quotes":    `"` + text + `"`,
		"33 bytes":     base64.StdEncoding.EncodeToString(append(bytes.Clone(secret), 1)),
		"decimal list": fmt.Sprint(secret),
	} {
		_, err := Static(bad)
		add("Static, "+name, err)
		_, err = NewKeeper(bad)
		add("NewKeeper, "+name, err)
		file := filepath.Join(t.TempDir(), "keeper")
		writeFile(t, file, []byte(bad))
		_, err = OpenKeeper(file)
		add("OpenKeeper, "+name, err)
	}
	_, err := Static(text, text)
	add("Static, twice", err)

	plain := must(marshalSet(ring.Set()))(t)
	for name, bad := range map[string][]byte{
		"cut off":            plain[:len(plain)-10],
		"cut off in secret":  plain[:bytes.Index(plain, []byte(text))+20],
		"extra":              append(bytes.Clone(plain), plain...),
		"a space":            append([]byte(" "), plain...),
		"secret not base64":  bytes.Replace(plain, []byte(text), []byte(text[:20]+"*"+text[21:]), 1),
		"secret short":       bytes.Replace(plain, []byte(text), []byte(text[:40]), 1),
		"secret in raw":      bytes.Replace(plain, []byte(text), secret, 1),
		"secret as the id":   bytes.Replace(plain, []byte(`"id":"00000001"`), []byte(`"id":"`+text+`"`), 1),
		"secret as a field":  bytes.Replace(plain, []byte(`"id"`), []byte(`"`+text+`":1,"id"`), 1),
		"secret as a number": bytes.Replace(plain, []byte(`"version":1`), []byte(`"version":"`+text+`"`), 1),
		"secret as format":   bytes.Replace(plain, []byte(documentFormat), []byte(text), 1),
		"an id twice":        bytes.Replace(plain, []byte("00000002"), []byte("00000001"), 1),
		"no version":         bytes.Replace(plain, []byte(`"version":1`), []byte(`"version":0`), 1),
		"no keys":            []byte(`{"format":"wafer/1 keyring","id":"01000000000000000000000000000000","version":1,"seals_seconds":2592000,"life_seconds":2592000,"keys":[]}`),
	} {
		_, err := parseSet(bad)
		add("parseSet, "+name, err)
		m := new(memorySource)
		m.put(1, must(keeper.Encrypt(ctx, bad))(t))
		_, err = Open(ctx, m, keeper)
		add("Open, "+name, err)
		writeFile(t, path+".bad", bad) // in clear where the sealed set belongs
		_, err = Open(ctx, File(path+".bad"), keeper)
		add("Open, in clear, "+name, err)
		_, err = keeper.Decrypt(ctx, bad)
		add("Decrypt, "+name, err)
	}
	_, err = Open(ctx, File(path), must(NewKeeper(keeperText))(t))
	add("Open, another keeper", err)
	_, err = Open(ctx, File(path+".none"), keeper)
	add("Open, absent", err)
	_, err = Create(ctx, File(path), keeper, epoch, Schedule{})
	add("Create, exists", err)
	_, err = Create(ctx, new(memorySource), keeper, epoch, Schedule{Seals: 1})
	add("Create, schedule", err)

	m := new(memorySource)
	m.put(2, must(keeper.Encrypt(ctx, plain))(t))
	_, err = Open(ctx, m, keeper)
	add("Open, outer version", err)

	failing := &memorySource{beforeSwap: func() error { return errors.New("down") }}
	failing.put(1, must(keeper.Encrypt(ctx, plain))(t))
	r := must(Open(ctx, failing, keeper))(t)
	_, err = r.Rotate(ctx, day(1), 0)
	add("Rotate, the source is down", err)
	_, err = r.Revoke(ctx, day(1), idOf(9), "")
	add("Revoke, unknown", err)
	failing.put(0, nil)
	add("Reload, gone", r.Reload(ctx))
	r.keeper = failingKeeper{}
	failing.put(2, plain)
	add("Reload, the keeper is down", r.Reload(ctx))
	failing.put(1, plain)
	_, err = r.Rotate(ctx, day(1), 0)
	add("Rotate, the keeper is down", err)

	for id, at := range map[ID]int{idOf(1): 1000, idOf(2): 0, idOf(9): 0} {
		_, err = ring.Set().Key(id, day(float64(at)))
		if id == idOf(1) {
			err = ErrExpired // the second was revoked before it took over: the first does not expire
		}
		add("Key "+id.String(), err)
	}
	_, err = ring.Set().Primary(day(-1))
	if err == nil { // an implementation may bridge the gap itself
		err = ErrNoPrimary
	}
	add("Primary", err)
	_, err = ring.Key(ctx, idOf(9), epoch)
	add("Ring.Key", err)
	add("ParseID", second(ParseID("nothing")))
	add("Derived of the wrong type", panicOf(func() {
		Derived(ring.Set().keys[0], Cookie, func([]byte) (int, error) { return 0, nil })
	}))
	add("Derived of the wrong purpose", panicOf(func() {
		Derived(ring.Set().keys[0], 200, func([]byte) (int, error) { return 0, nil })
	}))
	return all
}

type failingKeeper struct{}

func (failingKeeper) Encrypt(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("the KMS is down")
}
func (failingKeeper) Decrypt(context.Context, []byte) ([]byte, error) {
	return nil, errors.New("the KMS is down")
}

func panicOf(f func()) (err error) {
	defer func() { err = fmt.Errorf("panic: %v", recover()) }()
	f()
	return nil
}

func TestMarshalingIsAnError(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	for name, v := range map[string]any{"*Key": r.Set().Keys()[0], "*Set": r.Set(), "*Ring": r} {
		if b, err := json.Marshal(v); err == nil {
			t.Errorf("%s marshals to %s", name, b)
		}
	}
}

func TestPrintsTheID(t *testing.T) {
	r, _ := newMemoryRing(t, Schedule{})
	id := r.Set().Keys()[0].ID().String()
	for name, v := range map[string]any{"*Key": r.Set().Keys()[0], "*Set": r.Set(), "*Ring": r} {
		for _, format := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			if text := fmt.Sprintf(format, v); !strings.Contains(text, id) {
				t.Errorf("%s by %s is %q: no id", name, format, text)
			}
		}
		var out bytes.Buffer
		slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
		if !strings.Contains(out.String(), id) {
			t.Errorf("%s in a log: %q", name, out.String())
		}
	}
}
