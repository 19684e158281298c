package remotekeys

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/store"
)

// fakeLog answers as the test wants.
type fakeLog struct {
	batch   store.Batch
	cutoffs store.Cutoffs
	err     error
}

func (f *fakeLog) Since(context.Context, store.Cursor, int, time.Duration) (store.Batch, error) {
	return f.batch, f.err
}

func (f *fakeLog) Cutoffs(context.Context, store.ID, string) (store.Cutoffs, error) {
	return f.cutoffs, f.err
}

// An answer that revokes everyone counts only after the keys were fetched, by a
// request that was sent after it: the key that leaked may have been revoked with
// it, and signs any position. An entry for which the replica has fetched them
// causes no second fetch.
func TestPromise2_KeysAreFetchedBeforeEveryoneIsRevoked(t *testing.T) {
	everyone := func(at store.Position) []store.Entry {
		return []store.Entry{{Kind: store.KindEveryone, Position: at}, {Kind: store.KindSubject, Subject: "alice", Position: at + 100}}
	}
	for name, row := range map[string]struct {
		read    store.Batch // by the replica, which then calls BeforeEveryone
		down    bool        // BeforeEveryone, that is the issuer then
		answer  store.Position
		fetches int // by Cutoffs
	}{
		"nobody":                        {answer: 0},
		"everyone, not read":            {answer: 10, fetches: 1},
		"everyone, read":                {read: store.Batch{Entries: everyone(10)}, answer: 10},
		"everyone anew":                 {read: store.Batch{Entries: everyone(10)}, answer: 11, fetches: 1},
		"anew, below a subject":         {read: store.Batch{Entries: everyone(10)}, answer: 110, fetches: 1},
		"below the floor":               {read: store.Batch{Floor: 20}, answer: 20},
		"above the floor":               {read: store.Batch{Floor: 20}, answer: 21, fetches: 1},
		"read, but the issuer was down": {read: store.Batch{Entries: everyone(10)}, down: true, answer: 10, fetches: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, i := heldKeys(t)
				source := &fakeLog{batch: row.read, cutoffs: store.Cutoffs{Everyone: row.answer, Head: 500}}
				l := &Log{Source: source, Keys: k}
				if b, err := l.Since(t.Context(), store.Cursor{}, 100, 0); err != nil || len(b.Entries) != len(row.read.Entries) {
					t.Fatal(b, err)
				}
				if len(row.read.Entries) > 0 || row.read.Floor > 0 {
					if row.down {
						i.set(func(i *issuer) { i.err = errDown })
					}
					if err := l.BeforeEveryone(t.Context()); errors.Is(err, errDown) != row.down || (err != nil) != row.down {
						t.Fatalf("BeforeEveryone: %v", err)
					}
					i.set(func(i *issuer) { i.err = nil })
				}
				i.made()
				for range 2 { // the second time nothing is new
					if c, err := l.Cutoffs(t.Context(), store.ID{1}, "alice"); err != nil || c != source.cutoffs {
						t.Errorf("%v, %v", c, err)
					}
				}
				if n := len(i.made()); n != row.fetches {
					t.Errorf("%d fetches, want %d", n, row.fetches)
				}
			})
		})
	}
}

// An answer that revokes everyone does not count while the keys cannot be
// fetched, and an error of the log is handed on.
func TestPromise5_LogInAnOutage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, i := heldKeys(t)
		i.set(func(i *issuer) { i.err = errDown })
		source := &fakeLog{cutoffs: store.Cutoffs{Everyone: 10}}
		l := &Log{Source: source, Keys: k}
		for range 2 {
			if c, err := l.Cutoffs(t.Context(), store.ID{1}, "alice"); !errors.Is(err, errDown) || c != (store.Cutoffs{}) {
				t.Errorf("the issuer is down: %v, %v", c, err)
			}
		}
		i.made()
		source.err = errors.New("the log is down")
		source.batch = store.Batch{Floor: 10}
		if _, err := l.Cutoffs(t.Context(), store.ID{1}, "alice"); !errors.Is(err, source.err) {
			t.Errorf("Cutoffs: %v", err)
		}
		if _, err := l.Since(t.Context(), store.Cursor{}, 100, 0); !errors.Is(err, source.err) {
			t.Errorf("Since: %v", err)
		}
		if n := len(i.made()); n != 0 {
			t.Errorf("%d fetches for a log that is down", n)
		}
	})
}
