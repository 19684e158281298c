package refresh_test

import (
	"context"
	"flag"
	"math/rand/v2"
	"os"
	"strconv"
	"testing"
	"time"

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

// flight is a request of the honest browser. It is sent with the refresh token
// that the browser has at that moment, decided some time later, and answered
// some time after that.
type flight struct {
	presented  uint32
	decides    time.Time
	arrives    time.Time
	decided    bool
	generation uint32 // in the answer
}

// An honest browser has up to four requests in flight at once, whose answers
// arrive within half the grace, in any order. It is never taken for a thief,
// none of its answers counts as lost, and it is never more than one generation
// behind. This needs a rule of the caller's: an answer with the generation that
// was presented brings no token, since the browser may hold a newer one by
// then.
func TestHonestBrowser(t *testing.T) {
	rng := seeded(t)
	for _, p := range []refresh.Policy{lax, strict, {Access: 4 * grace, Grace: grace, Strict: true}} {
		b := newBench(t, p)
		const prompt = grace / 2
		jar := uint32(1)
		born, sessions, advanced := b.clock(), 1, 0
		var inFlight []*flight
		quiet := false
		for range *honestSteps {
			now := b.clock()
			for i := 0; i < len(inFlight); i++ {
				f := inFlight[i]
				if !f.decided && !f.decides.After(now) {
					res, err := b.Do(context.Background(), b.request(f.presented))
					if err != nil || res.Verdict != refresh.Issue || res.Forgiven {
						t.Fatalf("%+v: with generation %d the honest browser gets %v (%s), forgiven %v, %v; the family is at %d since %v",
							p, f.presented, res.Verdict, res.Reason, res.Forgiven, err, res.Snapshot.Family.Generation, now.Sub(res.Snapshot.Family.Issued))
					}
					f.decided, f.generation = true, res.Snapshot.Family.Generation
					if res.Advanced {
						advanced++
					}
				}
				if f.decided && !f.arrives.After(now) {
					if f.generation != f.presented {
						jar = f.generation
					}
					inFlight = append(inFlight[:i], inFlight[i+1:]...)
					i--
				}
			}
			if n := b.family().Family.Generation; jar+1 < n {
				t.Fatalf("%+v: the jar holds %d, the family is at %d", p, jar, n)
			}
			if len(inFlight) == 0 && now.Sub(born) > 11*time.Hour { // a new login
				b.id = store.ID{1, byte(sessions >> 8), byte(sessions)}
				b.create(b.id, false)
				born, jar = now, 1
				sessions++
			}
			if quiet = rng.IntN(6) == 0 || quiet && len(inFlight) > 0; !quiet && len(inFlight) < 4 {
				arrives := now.Add(time.Duration(rng.Int64N(int64(prompt))) + 1)
				inFlight = append(inFlight, &flight{
					presented: jar, arrives: arrives, decides: now.Add(time.Duration(rng.Int64N(int64(arrives.Sub(now))))),
				})
			}
			step := time.Duration(rng.Int64N(int64(prompt / 3)))
			if len(inFlight) == 0 {
				step = time.Duration(rng.Int64N(int64(half + half/2)))
			}
			if rng.IntN(4) == 0 { // to where it matters
				if due := b.family().Family.Issued.Add(p.Access / 2).Sub(now); due > 0 && due < prompt {
					step = due
				}
			}
			for _, f := range inFlight { // nothing is later than promised
				next := f.arrives
				if !f.decided {
					next = f.decides
				}
				step = min(step, max(0, next.Sub(now)))
			}
			b.pass(step)
		}
		if advanced < *honestSteps/100 {
			t.Errorf("%+v: %d advances in all: the flow shows little", p, advanced)
		}
	}
}

// A thief who copied a token is detected or shut out once both the thief and
// the owner have refreshed, at least half a lifetime apart.
func TestThiefIsNotServedAfterTwoContacts(t *testing.T) {
	rng := seeded(t)
	for range 300 {
		b := newBench(t, lax)
		jars := [2]uint32{1, 1} // the owner's and the thief's
		dead := false
		contact := func(who int) {
			res, err := b.Do(context.Background(), b.request(jars[who]))
			switch {
			case err != nil:
				t.Fatal(err)
			case res.Verdict == refresh.Issue && dead:
				t.Fatalf("a family that ended was served")
			case res.Verdict == refresh.Issue:
				jars[who] = res.Snapshot.Family.Generation
			default:
				dead = true
			}
		}
		for range 3 { // the owner's contacts; the thief's are never near them
			contact(0)
			b.pass(half + time.Duration(rng.Int64N(int64(half))))
			contact(1)
			b.pass(half + time.Duration(rng.Int64N(int64(half))))
		}
		if !dead {
			t.Fatalf("owner at %d, thief at %d: nobody noticed", jars[0], jars[1])
		}
	}
}
