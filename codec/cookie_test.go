package codec_test

import (
	"bytes"
	"errors"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

func sameSession(a, b *codec.Session) bool {
	return a.ID == b.ID && a.Subject.Text() == b.Subject.Text() && a.Position == b.Position && a.Generation == b.Generation &&
		a.Issued.Equal(b.Issued) && a.Access.Equal(b.Access) && a.Idle.Equal(b.Idle) &&
		a.Absolute.Equal(b.Absolute) && a.Started.Equal(b.Started) && a.Authenticated.Equal(b.Authenticated) &&
		a.Bound == b.Bound && a.Proved.Equal(b.Proved) && a.Actor.Text() == b.Actor.Text() && a.Methods.Text() == b.Methods.Text() && a.Level.Text() == b.Level.Text()
}

func TestCookieKeepsEveryField(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	highest := time.UnixMilli(1<<48 - 1)
	sessions := map[string]*codec.Session{
		"typical": session("anna@shop.example"),
		"highest": {
			ID:      codec.ID(bytes.Repeat([]byte{0xff}, 16)),
			Subject: codec.Hide(strings.Repeat("\xff", codec.MaxSubject)), Position: codec.MaxPosition, Generation: 1<<32 - 1,
			Issued: highest, Access: highest, Idle: highest, Absolute: highest, Started: highest, Authenticated: highest,
		},
		"lowest": {
			Subject: codec.Hide("\x00"), Generation: 1,
			Issued: time.UnixMilli(0), Access: time.UnixMilli(1), Idle: time.UnixMilli(2),
			Absolute: time.UnixMilli(3), Started: time.UnixMilli(4), Authenticated: time.UnixMilli(5),
		},
	}
	long := codec.Hide(strings.Repeat("\xff", 255))
	for what, add := range map[string]func(*codec.Session){
		"bound":        func(s *codec.Session) { s.Bound = true },
		"proved":       func(s *codec.Session) { s.Bound, s.Proved = true, now },
		"proved, 1970": func(s *codec.Session) { s.Bound, s.Proved = true, time.UnixMilli(0) },
		"actor":        func(s *codec.Session) { s.Actor = codec.Hide("support:carol") },
		"methods":      func(s *codec.Session) { s.Methods = codec.Hide("pwd otp") },
		"level":        func(s *codec.Session) { s.Level = codec.Hide("aal2") },
		"actor, level": func(s *codec.Session) { s.Actor, s.Level = codec.Hide("a"), codec.Hide("l") },
		"all": func(s *codec.Session) {
			s.Bound, s.Proved, s.Actor, s.Methods, s.Level = true, highest, long, long, long
		},
	} {
		sessions[what] = session("anna@shop.example")
		add(sessions[what])
	}
	for what, s := range sessions {
		for _, data := range [][]byte{nil, {0}, []byte("data"), bytes.Repeat([]byte{7}, 1500)} {
			sealed, err := cookies.Seal(now, s, data)
			fatal(t, err)
			if len(sealed) != cookies.Size(s, len(data)) {
				t.Errorf("%s: %d bytes; Size says %d", what, len(sealed), cookies.Size(s, len(data)))
			}
			got, gotData, err := cookies.Open(ctx, now, sealed)
			if err != nil || !sameSession(&got, s) || !bytes.Equal(gotData, data) {
				t.Errorf("%s with %d bytes of data: got %+v, %d bytes, %v", what, len(data), got, len(gotData), err)
			}
		}
	}
}

// A session that has none of what flags announce has a header of 66 bytes and the
// subject, and one that has all is opened by as many allocations.
func TestPlainCookiesPayForNoFlag(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	plain := session("anna")
	if size, want := cookies.Size(plain, 0), (codec.Overhead+66+len("anna"))*4/3; size < want || size > want+1 {
		t.Errorf("a plain cookie has %d characters: want %d", size, want)
	}
	full := session("anna")
	full.Bound, full.Proved, full.Actor, full.Methods, full.Level = true, now, codec.Hide("support:carol"), codec.Hide("pwd otp"), codec.Hide("aal2")
	var allocations [2]float64
	for i, s := range []*codec.Session{plain, full} {
		sealed, err := cookies.Seal(now, s, nil)
		fatal(t, err)
		allocations[i] = testing.AllocsPerRun(100, func() { cookies.Open(ctx, now, sealed) })
	}
	if allocations[1] > allocations[0] {
		t.Errorf("a plain session is opened by %v allocations, one that has all by %v", allocations[0], allocations[1])
	}
}

// A Session that is used again keeps nothing of the cookie before.
func TestOpenContentSetsEveryField(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	full := session("anna")
	full.Bound, full.Proved, full.Actor, full.Methods, full.Level = true, now, codec.Hide("support:carol"), codec.Hide("pwd otp"), codec.Hide("aal2")
	plain := session("bob")
	var got codec.Session
	for _, s := range []*codec.Session{full, plain, full} {
		sealed, err := cookies.Seal(now, s, []byte("data"))
		fatal(t, err)
		content, err := cookies.OpenContent(ctx, now, sealed, &got)
		fatal(t, err)
		again := content.Session()
		if !sameSession(&got, s) || !sameSession(&again, s) || string(content.Data()) != "data" {
			t.Errorf("opened as %q for %q with %q", got.Subject.Text(), got.Actor.Text(), content.Data())
		}
	}
}

// Sub-millisecond time is cut, never rounded up: a limit is not extended.
func TestCookieTimesAreWholeMilliseconds(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	s := session("anna")
	s.Absolute = now.Add(time.Millisecond - 1)
	sealed, err := cookies.Seal(now, s, nil)
	fatal(t, err)
	if got, _, _ := cookies.Open(ctx, now, sealed); !got.Absolute.Equal(now) {
		t.Errorf("absolute deadline %v: want %v", got.Absolute, now)
	}
}

func TestCookieRefusesToSealWhatWouldNotParse(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	for what, spoil := range map[string]func(*codec.Session){
		"a proof, unbound":           func(s *codec.Session) { s.Proved = now },
		"a proof before 1970":        func(s *codec.Session) { s.Bound, s.Proved = true, time.UnixMilli(-1) },
		"an actor of 256 bytes":      func(s *codec.Session) { s.Actor = codec.Hide(strings.Repeat("s", 256)) },
		"methods of 256 bytes":       func(s *codec.Session) { s.Methods = codec.Hide(strings.Repeat("s", 256)) },
		"a level of 256 bytes":       func(s *codec.Session) { s.Level = codec.Hide(strings.Repeat("s", 256)) },
		"no subject":                 func(s *codec.Session) { s.Subject = codec.Hide("") },
		"a subject of 256 bytes":     func(s *codec.Session) { s.Subject = codec.Hide(strings.Repeat("s", 256)) },
		"a position above 53 bits":   func(s *codec.Session) { s.Position = codec.MaxPosition + 1 },
		"generation 0":               func(s *codec.Session) { s.Generation = 0 },
		"a zero time":                func(s *codec.Session) { s.Idle = time.Time{} },
		"a time before 1970":         func(s *codec.Session) { s.Started = time.UnixMilli(-1) },
		"a time beyond 48 bits":      func(s *codec.Session) { s.Absolute = time.UnixMilli(1 << 48) },
		"an issued time beyond":      func(s *codec.Session) { s.Issued = time.UnixMilli(1 << 48) },
		"an access time beyond":      func(s *codec.Session) { s.Access = time.UnixMilli(1 << 48) },
		"an authenticated time gone": func(s *codec.Session) { s.Authenticated = time.Time{} },
	} {
		s := session("anna")
		spoil(s)
		if sealed, err := cookies.Seal(now, s, nil); err == nil || sealed != "" {
			t.Errorf("%s: Seal = %q, %v: want an error", what, sealed, err)
		}
	}
}

// The caller checks lifetimes: an authentic cookie opens whenever its key is
// accepted.
func TestCookieOpensPastItsLifetime(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	sealed, err := cookies.Seal(now, session("anna"), nil)
	fatal(t, err)
	if _, _, err := cookies.Open(ctx, now.AddDate(50, 0, 0), sealed); err != nil {
		t.Error(err)
	}
}

func TestExpiresIsTheEarliestEnd(t *testing.T) {
	base := codec.Session{Issued: now, Access: now.Add(5 * time.Minute), Idle: now.Add(30 * time.Minute), Absolute: now.Add(time.Hour)}
	for _, c := range []struct {
		what   string
		change func(*codec.Session)
		access time.Duration
		want   time.Duration
	}{
		{"the access expiry", func(*codec.Session) {}, time.Hour, 5 * time.Minute},
		{"the lifetime that is configured now", func(*codec.Session) {}, time.Minute, time.Minute},
		{"the idle deadline", func(s *codec.Session) { s.Idle = now.Add(time.Second) }, time.Hour, time.Second},
		{"the absolute deadline", func(s *codec.Session) { s.Absolute = now.Add(2 * time.Second) }, time.Hour, 2 * time.Second},
	} {
		s := base
		c.change(&s)
		if got := s.Expires(c.access).Sub(now); got != c.want {
			t.Errorf("%s: %v: want %v", c.what, got, c.want)
		}
	}
	for _, want := range []time.Time{base.Idle, base.Absolute.Add(-45 * time.Minute)} {
		s := base
		if want != base.Idle {
			s.Absolute = want
		}
		if got := s.Deadline(); !got.Equal(want) {
			t.Errorf("Deadline = %v: want %v", got, want)
		}
	}
}

// The caller owns the result: two openings share no memory, so writing into the
// data of one does not change the other.
func TestOpenedCookiesShareNothing(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	sealed, err := cookies.Seal(now, session("anna"), []byte("data"))
	fatal(t, err)
	_, one, err := cookies.Open(ctx, now, sealed)
	fatal(t, err)
	clear(append(one, "more than the data had room for, whatever is behind it"...)[:cap(one)])
	clear(one)
	s, two, err := cookies.Open(ctx, now, sealed)
	if err != nil || string(two) != "data" || s.Subject.Text() != "anna" {
		t.Errorf("after writing into the first data: %q, %q, %v", two, s.Subject.Text(), err)
	}
}

func TestCookieFailureReturnsNothing(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	sealed, err := cookies.Seal(now, session("anna"), []byte("data"))
	fatal(t, err)
	s, data, err := newCookies(t, staticRing(t, secret(1)), realm, "other").Open(ctx, now, sealed)
	if !errors.Is(err, codec.ErrForged) || s.ID != (codec.ID{}) || s.Subject.Text() != "" || data != nil {
		t.Errorf("got %+v, %q, %v: want nothing and ErrForged", s, data, err)
	}
}

func TestCodecsAreSafeForConcurrentUse(t *testing.T) {
	ring := staticRing(t, secret(1), secret(2))
	var wg sync.WaitGroup
	for _, k := range kinds() {
		b := k.bind(t, ring, realm, name)
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if got, err := b.open(b.seal("text")); err != nil || got != k.found("text") {
						t.Errorf("%s: %q, %v", k.format, got, err)
					}
				}
			})
		}
	}
	wg.Wait()
}

// The result of Open does not change later: many goroutines open cookies, and all
// results are checked after the last one.
func TestWhatIsOpenedIsKeptApart(t *testing.T) {
	cookies := newCookies(t, staticRing(t, secret(1)), realm, name)
	type opened struct {
		n       int
		content codec.Content
		session codec.Session
	}
	const at, each = 8, 200
	all := make([]opened, at*each)
	subject := func(n int) string { return strings.Repeat("s", 1+n%200) + strconv.Itoa(n) }
	data := func(n int) []byte { return bytes.Repeat([]byte{byte(n)}, n%700) }
	var wg sync.WaitGroup
	for i := range at {
		wg.Go(func() {
			for n := i * each; n < (i+1)*each; n++ {
				sealed, err := cookies.Seal(now, session(subject(n)), data(n))
				if err != nil {
					t.Error(err)
					return
				}
				o := &all[n]
				o.n = n
				if o.content, err = cookies.OpenContent(ctx, now, sealed, &o.session); err != nil {
					t.Error(err)
					return
				}
				cookies.OpenContent(ctx, now, strings.Repeat("_", len(sealed)), new(codec.Session)) // no key has that id
			}
		})
	}
	wg.Wait()
	for i := range all {
		o, want := &all[i], session(subject(i))
		again := o.content.Session()
		if !sameSession(&o.session, want) || !sameSession(&again, want) || !bytes.Equal(o.content.Data(), data(i)) {
			t.Fatalf("cookie %d: %v and again %v, data %x", i, o.session.Subject.Text(), again.Subject.Text(), o.content.Data())
		}
	}
	if data := (codec.Content{}).Data(); data != nil {
		t.Errorf("no content has the data %q: want nil", data)
	}
}
