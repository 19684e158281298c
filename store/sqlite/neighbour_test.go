package sqlite_test

import (
	"context"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/rounds"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// A neighbour that commits without a pause starves nobody: the writer polls the
// lock often enough to find it free between two of the neighbour's commits.
func TestBusyNeighbourStarvesNobody(t *testing.T) {
	path := filepath.Join(t.TempDir(), "wafer.db")
	o := sqlite.Options{BusyTimeout: 5 * time.Second}
	neighbour, db := open(t, path, o), open(t, path, o)
	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	for range 16 {
		busy.Go(func() {
			for ctx.Err() == nil {
				_, _ = neighbour.Revoke(ctx, store.Revocation{Subjects: []string{"bob"}})
			}
		})
	}
	var worst time.Duration
	for range rounds.Of(20, 60) {
		began := time.Now()
		if _, err := db.Revoke(t.Context(), store.Revocation{Subjects: []string{"anna"}}); err != nil {
			t.Errorf("beside a busy neighbour: %v", err)
			break
		}
		worst = max(worst, time.Since(began))
	}
	stop()
	busy.Wait()
	t.Logf("the longest write took %v", worst)
}
