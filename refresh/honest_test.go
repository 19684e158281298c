package refresh_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

var honestSteps = flag.Int("refresh.steps", 10_000, "steps of the honest browser")

func seeded(t *testing.T) *rand.Rand {
	seed := rand.Uint64()
	if text := os.Getenv("WAFER_SEED"); text != "" {
		var err error
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatalf("WAFER_SEED: %v", err)
		}
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("to run this again: WAFER_SEED=%d", seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 0))
}

// client is an honest browser or phone. Its requests are under way for a while, so
// answers overtake each other.
type client struct {
	*bench
	rng    *rand.Rand
	policy refresh.Policy
	slow   time.Duration // the longest round trip
	lose   float64       // how many answers are lost, of 1

	jar   codec.RefreshToken
	disk  codec.RefreshToken // the jar as it was before its last token arrived
	trips []*trip

	served, advanced, reissued, lost int
}

// trip is one round trip. The request presents the token that the client has when
// it sends it, is judged some time later, and is answered some time after that.
type trip struct {
	presented, answer codec.RefreshToken
	judged, arrives   time.Time
	isJudged, isLost  bool
}

func newClient(t *testing.T, rng *rand.Rand, p refresh.Policy) *client {
	c := &client{bench: newBench(t, p), rng: rng, policy: p, slow: p.Grace / 2}
	c.login(store.ID{2})
	return c
}

// login begins a family whose limits are long, so that only the rules end it.
func (c *client) login(id store.ID) {
	c.id = id
	c.createWith(store.Creation{ID: id, Subject: "alice", Idle: 40 * 24 * time.Hour, Absolute: 40 * 24 * time.Hour})
	c.jar = codec.RefreshToken{Family: codec.ID(id), Generation: 1}
	c.disk = c.jar
}

func (c *client) within(d time.Duration) time.Duration { return time.Duration(c.rng.Int64N(int64(d))) }

// send sends a request. Its answer is lost by chance, or because it is aborted.
func (c *client) send() *trip {
	arrives := c.clock().Add(c.within(c.slow) + 1)
	f := &trip{
		presented: c.jar, arrives: arrives, judged: c.clock().Add(c.within(arrives.Sub(c.clock()))),
		isLost: c.rng.Float64() < c.lose,
	}
	c.trips = append(c.trips, f)
	return f
}

// proceed takes every round trip as far as it is by now.
func (c *client) proceed() {
	c.Helper()
	c.trips = slices.DeleteFunc(c.trips, func(f *trip) bool {
		if !f.isJudged && !f.judged.After(c.clock()) {
			c.judge(f)
		}
		if !f.isJudged || f.arrives.After(c.clock()) {
			return false
		}
		switch {
		case f.isLost:
			c.lost++
		case f.answer != f.presented:
			c.disk, c.jar = c.jar, f.answer
		}
		return true
	})
}

func (c *client) judge(f *trip) {
	c.Helper()
	f.isJudged = true
	res, err := c.Do(context.Background(), refresh.Request{
		Family: c.id, Generation: f.presented.Generation, Copy: f.presented.Copy, Basis: store.MaxPosition,
	})
	if err != nil || res.Verdict != refresh.Issue {
		family := res.Snapshot.Family
		c.Fatalf("%+v: with %d.%d the honest client gets %v (%s), %v; its family is at %d.%d, which came from copy %d %v ago",
			c.policy, f.presented.Generation, f.presented.Copy, res.Verdict, res.Reason, err,
			family.Generation, family.Copy, family.Used, c.clock().Sub(family.Issued))
	}
	f.answer = res.Answer(f.presented)
	c.served++
	if res.Advanced {
		c.advanced++
	}
	if res.Reissued {
		c.reissued++
	}
}

// wait lets time pass, and no round trip is longer than it should be.
func (c *client) wait(d time.Duration) {
	c.Helper()
	for end := c.clock().Add(d); c.clock().Before(end); {
		next := end
		for _, f := range c.trips {
			at := f.arrives
			if !f.isJudged {
				at = f.judged
			}
			if at.Before(next) {
				next = at
			}
		}
		c.pass(max(next.Sub(c.clock()), 0))
		c.proceed()
	}
}

// enough checks that the client met what the test is about.
func (c *client) enough(what string, got, want int) {
	c.Helper()
	if got < want {
		c.Errorf("%+v: only %d %s: the test shows little", c.policy, got, what)
	}
}

// A browser has up to four requests under way at once, whose answers arrive within
// half the grace, in any order. It is served always, none of its answers counts as
// lost, and it is never more than one generation behind. This needs a rule of the
// caller's: an answer with the token that was presented brings no token, since the
// browser may hold a newer one by then.
func TestPromise9_ABrowserWithManyTabs(t *testing.T) {
	rng := seeded(t)
	for _, p := range []refresh.Policy{lax, strict, {Access: 4 * grace, Grace: grace, Strict: true}} {
		c := newClient(t, rng, p)
		quiet := false
		for range *honestSteps {
			if n := c.family().Family.Generation; c.jar.Generation+1 < n {
				t.Fatalf("%+v: the jar holds %d, the family is at %d", p, c.jar.Generation, n)
			}
			if quiet = rng.IntN(6) == 0 || quiet && len(c.trips) > 0; !quiet && len(c.trips) < 4 {
				c.send()
			}
			step := c.within(c.slow / 3)
			if len(c.trips) == 0 {
				step = c.within(p.Access * 3 / 4)
			}
			if rng.IntN(4) == 0 { // to where it matters
				if due := c.family().Family.Issued.Add(p.Access / 2).Sub(c.clock()); due > 0 && due < c.slow {
					step = due
				}
			}
			c.wait(step)
			if c.clock().Sub(c.family().Family.Started) > 39*24*time.Hour {
				c.wait(c.slow)
				c.login(store.ID{3, byte(c.served), byte(c.served >> 8), byte(c.served >> 16)})
			}
		}
		c.enough("advances", c.advanced, *honestSteps/100)
		if c.reissued > 0 {
			t.Errorf("%+v: %d answers counted as lost", p, c.reissued)
		}
	}
}

const month = 30 * 24 * time.Hour

// A phone loses 30% of all answers for 30 days. Some of its requests overlap, and
// each round trip takes up to half a minute, so two that overlap add up to no more
// than the documentation allows. It is never logged out.
func TestPromise9_APhoneThatLosesAnswers(t *testing.T) {
	c := newClient(t, seeded(t), lax)
	c.slow, c.lose = grace, 0.3
	for end := c.clock().Add(month); c.clock().Before(end); {
		for range 1 + c.rng.IntN(3) {
			c.send()
			c.wait(c.within(2 * c.slow))
		}
		switch pause := c.rng.IntN(100); {
		case pause == 0: // for the night
			c.wait(8 * time.Hour)
		case pause < 50:
			c.wait(c.within(2 * time.Minute))
		default:
			c.wait(c.within(2 * access))
		}
	}
	c.enough("answers were lost", c.lost, 1000)
	c.enough("copies were made", c.reissued, 300)
	c.enough("advances", c.advanced, 1000)
	t.Logf("%d answers, %d of them lost; %d advances, %d copies", c.served, c.lost, c.advanced, c.reissued)
}

// A browser aborts every third navigation by the next, so the answer never reaches
// its jar. It is never logged out.
func TestPromise9_ABrowserThatAborts(t *testing.T) {
	c := newClient(t, seeded(t), lax)
	c.slow = grace
	for n := 0; c.served < 20_000; n++ {
		f := c.send()
		if n%3 == 2 {
			f.isLost = true
			c.wait(c.within(time.Second)) // the user clicks again
			continue
		}
		c.wait(c.slow)
		if c.rng.IntN(3) == 0 {
			c.wait(c.within(access))
		}
	}
	c.enough("answers were lost", c.lost, 1000)
	c.enough("copies were made", c.reissued, 5)
	c.enough("advances", c.advanced, 1000)
	t.Logf("%d answers, %d of them lost; %d advances, %d copies", c.served, c.lost, c.advanced, c.reissued)
}

// A browser crashes, and its jar falls back to what was on the disk: the cookies of
// before the last refresh. As long as they are no older than that, and a refresh
// whose answer was lost counts too, it is never logged out.
func TestPromise9_AJarThatFallsBack(t *testing.T) {
	c := newClient(t, seeded(t), lax)
	c.slow, c.lose = grace, 0.1
	fell := 0
	for c.served < 20_000 {
		c.send()
		c.wait(c.slow)
		if c.rng.IntN(2) == 0 {
			c.wait(c.within(access))
		}
		if c.rng.IntN(5) == 0 && c.family().Family.Generation <= c.disk.Generation+1 && c.disk != c.jar {
			c.jar = c.disk
			fell++
		}
	}
	c.enough("times the jar fell back", fell, 1000)
	c.enough("copies were made", c.reissued, 300)
	c.enough("advances", c.advanced, 1000)
}

// A thief who copied a token is detected or shut out once both the thief and
// the owner have refreshed twice, half a lifetime apart at least.
func TestThiefIsNotServedAfterTwoContacts(t *testing.T) {
	rng := seeded(t)
	for range 300 {
		b := newBench(t, lax)
		first := codec.RefreshToken{Family: codec.ID(b.id), Generation: 1}
		jars := [2]codec.RefreshToken{first, first} // the owner's and the thief's
		dead := false
		contact := func(who int) {
			res, err := b.Do(context.Background(), refresh.Request{
				Family: b.id, Generation: jars[who].Generation, Copy: jars[who].Copy, Basis: store.MaxPosition,
			})
			switch {
			case err != nil:
				t.Fatal(err)
			case res.Verdict == refresh.Issue && dead:
				t.Fatalf("a family that ended was served")
			case res.Verdict == refresh.Issue:
				jars[who] = res.Answer(jars[who])
			default:
				dead = true
			}
		}
		for range 3 { // the first is not due; the thief's contacts are never near the owner's
			contact(0)
			b.pass(half + time.Duration(rng.Int64N(int64(half))))
			contact(1)
			b.pass(half + time.Duration(rng.Int64N(int64(half))))
		}
		if !dead {
			t.Fatalf("owner at %+v, thief at %+v: nobody noticed", jars[0], jars[1])
		}
	}
}
