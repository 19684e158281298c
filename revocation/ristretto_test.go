package revocation_test

import (
	"sync"
	"testing"
	"time"

	"github.com/dgraph-io/ristretto/v2"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// This test shows why the list of revocations is not a cache. The obvious cache
// has an entry for each ended session until its tokens are past their lifetime.
// In ristretto, set up as its documentation advises, it loses most of the
// entries that Set reported as accepted, and each one is a logout that is
// forgotten. The List keeps all of them. An attempt to make the list such a
// cache fails this test.
func TestRistrettoIsNoRevocationList(t *testing.T) {
	entries := smaller(100_000, 5)
	list := revocation.NewList(2 * entries)
	for n := range entries {
		list.Apply(ending(session(n), store.Position(n+1)))
		list.Learn(store.Position(n + 1))
	}
	held := 0
	for n := range entries {
		if list.Cutoffs(session(n), "").Ending == store.Position(n+1) {
			held++
		}
	}
	if held != entries || list.Floor() != 0 {
		t.Errorf("the list holds %d of %d, its floor is %d", held, entries, list.Floor())
	}
	for _, shape := range []struct {
		name   string
		config ristretto.Config[string, store.Position]
		loses  bool // always, and not only when writers meet
	}{
		// An entry of cost 1 takes 57, since its own overhead counts too.
		{"room for all", ristretto.Config[string, store.Position]{MaxCost: int64(entries)}, true},
		{"room for ten times all", ristretto.Config[string, store.Position]{MaxCost: int64(10 * entries)}, true},
		// If the overhead does not count, writes are dropped while others are
		// under way.
		{"room for ten times all, its own cost ignored", ristretto.Config[string, store.Position]{MaxCost: int64(10 * entries), IgnoreInternalCost: true}, false},
	} {
		shape.config.NumCounters, shape.config.BufferItems = int64(10*entries), 64
		naive, err := ristretto.NewCache(&shape.config)
		must(t, err)
		var accepted [4]int
		var writers sync.WaitGroup
		for w := range accepted {
			writers.Go(func() {
				for n := w; n < entries; n += len(accepted) {
					id := session(n)
					if naive.SetWithTTL(string(id[:]), store.Position(n+1), 1, time.Hour) {
						accepted[w]++
					}
				}
			})
		}
		writers.Wait()
		naive.Wait()
		kept, took := 0, 0
		for n := range entries {
			id := session(n)
			if got, found := naive.Get(string(id[:])); found && got == store.Position(n+1) {
				kept++
			}
		}
		for _, n := range accepted {
			took += n
		}
		naive.Close()
		t.Logf("%s: of %d revocations ristretto said that it took %d, and kept %d; the list holds %d", shape.name, entries, took, kept, held)
		if shape.loses && (kept > entries/2 || kept >= took) {
			t.Error("it has changed, and what is said of it is no longer true")
		}
	}
}
