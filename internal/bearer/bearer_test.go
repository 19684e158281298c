package bearer

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// decided is a Revocations that always gives the same answer.
type decided struct {
	verdict revocation.Verdict
	err     error
	then    func() // called before each answer
}

func (d decided) Decide(context.Context, time.Time, store.ID, string, store.Position) (revocation.Verdict, error) {
	if d.then != nil {
		d.then()
	}
	return d.verdict, d.err
}

// Each verdict has its error, and its report for operators.
func TestVerdicts(t *testing.T) {
	down := errors.New("down")
	for name, c := range map[string]struct {
		revocations Revocations
		err         error
		authentic   bool // the content comes with the error
		reports     []string
	}{
		"no log":           {revocations: nil},
		"good":             {revocations: decided{verdict: revocation.Good}},
		"revoked":          {decided{verdict: revocation.Revoked}, sentinel.ErrNoSession, false, []string{"access token revoked"}},
		"below the floor":  {decided{verdict: revocation.Expired}, sentinel.ErrNoSession, false, []string{"access token expired"}},
		"ahead of the log": {decided{verdict: revocation.Ahead}, sentinel.ErrNoSession, false, []string{"an access token is ahead of the store's log: the store went back in time"}},
		"an outage":        {decided{err: down}, sentinel.ErrUnavailable, true, []string{"unavailable"}},
		"a hang-up":        {decided{err: context.Canceled}, sentinel.ErrUnavailable, true, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1024)
			w.Revocations = c.revocations
			found, err := w.Token(t.Context(), w.issue("alice"))
			if !errors.Is(err, c.err) || (err == nil) != (c.err == nil) {
				t.Errorf("%v, want %v", err, c.err)
			}
			if (found != nil) != (c.err == nil || c.authentic) {
				t.Errorf("with %v comes %v", err, found)
			}
			if !slices.Equal(w.reports, c.reports) {
				t.Errorf("reports %q, want %q", w.reports, c.reports)
			}
		})
	}
}

// A token that is not authentic is refused before anything is decided about it.
func TestRefusedBeforeRevocation(t *testing.T) {
	w := newWorld(t, 1024)
	w.Revocations = decided{err: errors.New("asked")}
	good := w.issue("alice")
	for name, token := range map[string]string{
		"empty": "", "no token": "x.y.z", "cut": good[:len(good)-1], "too long": strings.Repeat("a", codec.MaxAccessToken+1),
	} {
		w.reports = nil
		if found, err := w.Token(t.Context(), token); found != nil || err != sentinel.ErrNoSession {
			t.Errorf("%s: %v, %v", name, found, err)
		}
		if !slices.Equal(w.reports, []string{"access token not valid"}) {
			t.Errorf("%s: reports %q", name, w.reports)
		}
	}
}

// Keys that change while the store is asked: the token must verify under the new
// ones too.
func TestKeysThatChangeDuringTheDecision(t *testing.T) {
	w := newWorld(t, 1024)
	token := w.issue("alice")
	key, err := w.ring.Primary(w.now())
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	w.Revocations = decided{verdict: revocation.Good, then: func() {
		if asked++; asked == 1 {
			if _, err := w.ring.Revoke(t.Context(), w.now(), key.ID(), "leaked"); err != nil {
				t.Fatal(err)
			}
		}
	}}
	if found, err := w.Token(t.Context(), token); found != nil || err != sentinel.ErrNoSession || asked != 1 {
		t.Errorf("a token under a key that was revoked meanwhile: %v, %v after %d decisions", found, err, asked)
	}
}

// Keys that change for another reason cost one more decision, and no token.
func TestKeysThatChangeHarmlessly(t *testing.T) {
	w := newWorld(t, 1024)
	token := w.issue("alice")
	asked := 0
	w.Revocations = decided{verdict: revocation.Good, then: func() {
		if asked++; asked == 1 {
			if _, err := w.ring.Rotate(t.Context(), w.now(), 0); err != nil {
				t.Fatal(err)
			}
		}
	}}
	if found, err := w.Token(t.Context(), token); err != nil || found.Subject.Text() != "alice" || asked != 2 {
		t.Errorf("%v, %v after %d decisions, want alice after 2", found, err, asked)
	}
}

// unavailableKeys fails to find any key.
type unavailableKeys struct{ err error }

func (k unavailableKeys) AccessKey(context.Context, time.Time, string, codec.Algorithm) (crypto.PublicKey, error) {
	return nil, k.err
}

// Without the issuer's keys nobody can say what a token is worth. A client that
// hung up while they were fetched is no outage to report.
func TestPromise5_OutageOfTheKeys(t *testing.T) {
	for name, c := range map[string]struct {
		err     error
		reports []string
	}{
		"down":      {errors.New("down"), []string{"unavailable"}},
		"a hang-up": {context.Canceled, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, 1024)
			w.Revocations = decided{err: errors.New("asked")}
			token := w.issue("alice")
			var err error
			w.Verifier, err = codec.NewAccessVerifier(codec.AccessVerifierConfig{
				Keys:       unavailableKeys{fmt.Errorf("%w: %w", sentinel.ErrUnavailable, c.err)},
				Algorithms: []codec.Algorithm{codec.EdDSA}, Issuer: "https://shop.example", Audiences: []string{"api"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if found, err := w.Token(t.Context(), token); found != nil || !errors.Is(err, sentinel.ErrUnavailable) || !errors.Is(err, c.err) {
				t.Errorf("%v, %v", found, err)
			}
			if !slices.Equal(w.reports, c.reports) {
				t.Errorf("reports %q, want %q", w.reports, c.reports)
			}
		})
	}
}

// Without a cache each token is verified each time.
func TestWithoutACache(t *testing.T) {
	w := newWorld(t, 1024)
	w.Verified = nil
	token := w.issue("alice")
	for i := range int64(3) {
		if found, err := w.Token(t.Context(), token); err != nil || found.Subject.Text() != "alice" || w.keys.asked.Load() != i+1 {
			t.Errorf("%v, %v after %d verifications, want %d", found, err, w.keys.asked.Load(), i+1)
		}
	}
}
