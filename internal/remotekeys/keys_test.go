package remotekeys

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
)

const (
	oneKey  = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
	another = `{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"b","use":"sig","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`
)

// A fetch that brings the same keys keeps what was verified under them; one that
// brings others keeps nothing; and where no key set is valid, nothing counts as
// verified.
func TestRemoteKeysIdentity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		text := "" // no key set yet
		var offset atomic.Int64
		k := New(Config{
			Fetch: func(context.Context) (*codec.JWKS, time.Duration, error) {
				set, err := codec.ParseJWKS([]byte(text))
				return set, 0, err
			},
			Name: "https://shop.example/", Keep: time.Hour, Refresh: time.Minute, Outage: func(error) {},
			Now: func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
		})
		defer k.Close()
		synctest.Wait() // it has asked once
		if a, b := k.Identity(), k.Identity(); a == b {
			t.Error("without a set, two identities are the same")
		}
		fetch := func(with string) any {
			t.Helper()
			text = with
			before := k.held.Load()
			if err := k.Refetch(t.Context()); err != nil {
				t.Fatal(err)
			}
			if k.held.Load() == before {
				t.Fatal("nothing was fetched")
			}
			return k.Identity()
		}
		first := fetch(oneKey)
		if fetch(strings.ReplaceAll(oneKey, ",", " , ")) != first {
			t.Error("the same keys have another identity")
		}
		second := fetch(another)
		if second == first || fetch(oneKey) == second {
			t.Error("other keys have the same identity")
		}
		third := k.Identity()
		offset.Store(int64(time.Hour + time.Minute))
		text = "" // the jump makes it fetch
		old := k.Identity()
		if old == third || old == k.Identity() || old == nil {
			t.Errorf("a set past Keep has the identity %v", old)
		}
		if set, ok := old.(*codec.JWKS); ok {
			t.Errorf("a set past Keep is %v", set)
		}
	})
}
