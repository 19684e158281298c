package wafer

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

const (
	oneKey  = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	another = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"b","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
)

type answering func() string

func (f answering) RoundTrip(r *http.Request) (*http.Response, error) {
	return &http.Response{StatusCode: 200, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(f())), Request: r}, nil
}

// A fetch that brings the same keys keeps what was verified under them; one that
// brings others keeps nothing; and where no key set is valid, nothing counts as
// verified.
func TestRemoteKeysIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := "" // no key set yet
		var offset atomic.Int64
		c := VerifierConfig{
			JWKSURL: "https://shop.example/", Keep: time.Hour, Refresh: time.Minute, Algorithms: []codec.Algorithm{codec.EdDSA},
			Client:  &http.Client{Transport: answering(func() string { return text })},
			Observe: func(Event) {}, Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
		}
		k := newRemoteKeys(&c)
		defer k.close()
		synctest.Wait() // it has asked once
		if a, b := k.identity(), k.identity(); a == b {
			t.Error("without a set, two identities are the same")
		}
		fetch := func(with string) any {
			t.Helper()
			text = with
			before := k.held.Load()
			if err := k.refetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if k.held.Load() == before {
				t.Fatal("nothing was fetched")
			}
			return k.identity()
		}
		first := fetch(oneKey)
		if fetch(strings.ReplaceAll(oneKey, ",", " , ")) != first {
			t.Error("the same keys have another identity")
		}
		second := fetch(another)
		if second == first || fetch(oneKey) == second {
			t.Error("other keys have the same identity")
		}
		third := k.identity()
		offset.Store(int64(time.Hour + time.Minute))
		text = "" // the jump makes it fetch
		old := k.identity()
		if old == third || old == k.identity() || old == nil {
			t.Errorf("a set past Keep has the identity %v", old)
		}
		if set, ok := old.(*codec.JWKS); ok {
			t.Errorf("a set past Keep is %v", set)
		}
	})
}

// Keep is bounded by the lead of the keys; the comment says why.
func TestKeepIsBoundedByTheLead(t *testing.T) {
	if maxKeysKeep != keyring.Lead || keyring.Lead != time.Hour {
		t.Errorf("keys are kept for up to %v, and published %v ahead", maxKeysKeep, keyring.Lead)
	}
}
