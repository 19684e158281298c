package refresh_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// sealed makes a Refresher verify a seal that covers the subject alone, and counts
// how often.
func (b *bench) sealed(subject string) (verified *int) {
	verified = new(int)
	b.Verify = func(_ context.Context, f *store.Family) error {
		*verified++
		if f.ID != b.id || f.Subject != subject {
			return fmt.Errorf("%q is not %q", f.Subject, subject)
		}
		return nil
	}
	return verified
}

// A family whose seal does not verify is refused, whatever verdict its token would
// get, and no verdict is carried out but an advance that was due.
func TestDo_AWrongSealIsRefused(t *testing.T) {
	late := func(b *bench) { b.pass(half); b.advance(1); b.pass(grace) }
	for name, test := range map[string]struct {
		prepare func(b *bench)
		request func(q *refresh.Request)
		verdict refresh.Verdict // if the seal verifies
	}{
		"issue":   {verdict: refresh.Issue},
		"raise":   {request: func(q *refresh.Request) { q.Floor = store.MaxPosition }, verdict: refresh.Issue},
		"reissue": {prepare: late, verdict: refresh.Issue},
		"replay":  {prepare: func(b *bench) { late(b); b.pass(half); b.advance(2) }, verdict: refresh.Replay},
		"ahead":   {request: func(q *refresh.Request) { q.Generation = 4 }, verdict: refresh.Ahead},
		"behind":  {prepare: func(b *bench) { b.commit() }, request: func(q *refresh.Request) { q.Basis = 0 }, verdict: refresh.Behind},
		"unproven": {prepare: func(b *bench) {
			if _, err := b.mem.Bind(context.Background(), store.Binding{ID: b.id, Key: deviceKey, Counts: true}); err != nil {
				b.Fatal(err)
			}
		}, verdict: refresh.Refuse},
	} {
		for way, present := range map[string]func(*bench, refresh.Request) (refresh.Result, error){
			"Do":   func(b *bench, q refresh.Request) (refresh.Result, error) { return b.Do(context.Background(), q) },
			"Look": func(b *bench, q refresh.Request) (refresh.Result, error) { return b.Look(context.Background(), q) },
		} {
			for _, subject := range []string{"mallory", "alice"} {
				b := newBench(t, lax)
				if test.prepare != nil {
					test.prepare(b)
				}
				q := b.request(1)
				if test.request != nil {
					test.request(&q)
				}
				verified := b.sealed(subject)
				before := b.family()
				res, err := present(b, q)
				after := b.family()
				switch {
				case err != nil || *verified == 0:
					t.Errorf("%s, %s: verified %d times: %v", way, name, *verified, err)
				case subject == "alice" && (res.Verdict != test.verdict || res.Reason == refresh.ReasonSeal):
					t.Errorf("%s, %s, a good seal: %v, %q", way, name, res.Verdict, res.Reason)
				case subject == "mallory" && (res.Verdict != refresh.Refuse || res.Reason != refresh.ReasonSeal):
					t.Errorf("%s, %s: %v, %q", way, name, res.Verdict, res.Reason)
				case subject == "mallory" && fmt.Sprint(before) != fmt.Sprint(after):
					t.Errorf("%s, %s: it wrote %+v, before %+v", way, name, after, before)
				}
			}
		}
	}
}

// The optimistic advance of a due token is written before anybody sees the row. It
// is refused all the same, and once the row is put right its client goes on.
func TestDo_AWrongSealAfterAnAdvance(t *testing.T) {
	b := newBench(t, lax)
	b.sealed("mallory")
	b.pass(half)
	if res := b.do(1, refresh.Refuse, 0, oneCall); res.Reason != refresh.ReasonSeal {
		t.Errorf("refused for %q", res.Reason)
	}
	b.pass(grace)
	b.do(1, refresh.Refuse, 0, oneCall)
	b.sealed("alice")
	b.do(1, refresh.Issue, 2, map[string]int{"Advance": 1, "Reissue": 1})
}

// A family that is dead is refused for that, and its seal is not verified.
func TestDo_TheStateComesBeforeTheSeal(t *testing.T) {
	for want, prepare := range map[refresh.Reason]func(b *bench, q *refresh.Request){
		refresh.ReasonAbsent: func(_ *bench, q *refresh.Request) { q.Family = store.ID{9} },
		refresh.ReasonCutOff: func(b *bench, _ *refresh.Request) { b.revoke("alice") },
		refresh.ReasonEnded: func(b *bench, _ *refresh.Request) {
			if _, err := b.mem.Revoke(context.Background(), store.Revocation{Sessions: []store.ID{b.id}}); err != nil {
				b.Fatal(err)
			}
		},
		refresh.ReasonIdle: func(b *bench, _ *refresh.Request) { b.pass(30 * time.Minute) },
	} {
		b := newBench(t, lax)
		q := b.request(1)
		verified := b.sealed("mallory")
		prepare(b, &q)
		res, err := b.Look(context.Background(), q)
		if err != nil || res.Reason != want || *verified != 0 {
			t.Errorf("%s: refused for %q, verified %d times: %v", want, res.Reason, *verified, err)
		}
	}
}

// Each snapshot is verified that an answer could be made of: the row may have been
// changed between two calls.
func TestDo_EverySnapshotIsVerified(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.advance(1)
	b.pass(grace)
	turn := 0
	b.Verify = func(context.Context, *store.Family) error {
		if turn++; turn == 2 {
			return errors.New("changed meanwhile")
		}
		return nil
	}
	res := b.do(1, refresh.Refuse, 0, map[string]int{"Advance": 1, "Reissue": 1})
	if res.Reason != refresh.ReasonSeal || turn != 2 {
		t.Errorf("after %d turns: %+v", turn, res)
	}
}

// A seal that cannot be verified now is an outage: nothing is known about the
// token, and nothing is done to the family.
func TestDo_AnUnverifiableSealIsAnOutage(t *testing.T) {
	b := newBench(t, lax)
	b.pass(half)
	b.advance(1)
	b.pass(half)
	b.advance(2) // 1.0 is now a replay
	b.Verify = func(context.Context, *store.Family) error {
		return fmt.Errorf("%w: the ring cannot be read", refresh.ErrUnverifiable)
	}
	before := b.family()
	for way, present := range map[string]func(context.Context, refresh.Request) (refresh.Result, error){"Do": b.Do, "Look": b.Look} {
		for g := uint32(1); g < 4; g++ {
			if res, err := present(context.Background(), b.request(g)); !errors.Is(err, refresh.ErrUnverifiable) || res.Reason != "" || res.Snapshot.State != store.Absent {
				t.Errorf("%s, generation %d: %+v, %v", way, g, res, err)
			}
		}
	}
	if after := b.family(); fmt.Sprint(before) != fmt.Sprint(after) {
		t.Errorf("it wrote %+v, before %+v", after, before)
	}
}

// The timeout of a refresh bounds the wait for a key, too. What is found then is no
// proof that the row was changed.
func TestDo_VerifyEndsWithTheTimeout(t *testing.T) {
	b := newBench(t, lax)
	var err error
	if b.Refresher, err = refresh.New(b, lax, time.Millisecond); err != nil {
		t.Fatal(err)
	}
	b.Verify = func(ctx context.Context, _ *store.Family) error {
		<-ctx.Done()
		return errors.New("unknown key")
	}
	for way, present := range map[string]func(context.Context, refresh.Request) (refresh.Result, error){"Do": b.Do, "Look": b.Look} {
		if res, err := present(context.Background(), b.request(1)); err == nil {
			t.Errorf("%s: %v (%s)", way, res.Verdict, res.Reason)
		}
	}
}
