package live

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// asked is a query about a session that the test answers.
type asked struct {
	id     store.ID
	answer chan store.Snapshot
}

func newTestSet(asks chan asked) *Set {
	return New(Config{
		Ask: func(ctx context.Context, id store.ID) (store.Snapshot, error) {
			q := asked{id, make(chan store.Snapshot)}
			asks <- q
			select {
			case snap := <-q.answer:
				return snap, nil
			case <-ctx.Done():
				return store.Snapshot{}, ctx.Err()
			}
		},
		InTouch: func() bool { return true }, CatchUp: func(context.Context) bool { return true },
		Now: time.Now, Patience: time.Minute, Outage: func(int, error) {}, Recheck: time.Minute,
	})
}

func livingAt(id store.ID, head store.Position) store.Snapshot {
	now := time.Now()
	return store.Snapshot{State: store.Alive, Head: head, Now: now, Family: store.Family{
		ID: id, Subject: "alice", Started: now, Issued: now, Idle: time.Hour, Absolute: time.Hour, Position: head, Birth: head,
	}}
}

func testHeader(n byte, at uint64) *codec.Session {
	return &codec.Session{ID: codec.ID{0: n}, Subject: codec.Hide("alice"), Position: at, Idle: time.Now().Add(time.Hour), Absolute: time.Now().Add(time.Hour)}
}

// An entry arrives after the store has read the family and before the set handles
// the result, which does not include the entry.
func TestPromise1_DoubtWhileAnotherDoubtIsAskedAbout(t *testing.T) {
	for name, news := range map[string][]store.Entry{
		"a subject": {{Kind: store.KindSubject, Subject: "alice", Position: 30}},
		"anything":  nil,
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				asks := make(chan asked, 8)
				l := newTestSet(asks)
				defer l.Close()
				one := l.Add(t.Context(), testHeader(1, 10))
				l.Applied([]store.Entry{{Kind: store.KindSubject, Subject: "alice", Position: 20}})
				q := <-asks
				l.Applied(news)
				synctest.Wait()
				q.answer <- livingAt(q.id, 20)
				synctest.Wait()
				select {
				case q = <-asks:
					q.answer <- store.Snapshot{State: store.CutOff, Head: 30}
				default:
					t.Fatal("the store is not asked again")
				}
				synctest.Wait()
				if one.Err() == nil {
					t.Error("it goes on")
				}
			})
		})
	}
}

// All contexts are of one subject. Revoking everyone takes time in proportion to
// their number, not to its square.
func TestPromise8_ManyLivesOfOneSubject(t *testing.T) {
	const many = 50_000
	l := newTestSet(make(chan asked))
	defer l.Close()
	all := make([]*Context, many)
	began := time.Now()
	for i := range all {
		h := testHeader(1, 10)
		h.ID[1], h.ID[2], h.ID[3] = byte(i), byte(i>>8), byte(i>>16)
		all[i] = l.Add(context.Background(), h)
	}
	adding := time.Since(began)
	began = time.Now()
	l.Applied([]store.Entry{{Kind: store.KindEveryone, Position: 20}})
	for _, one := range all {
		<-one.Done()
	}
	took := time.Since(began)
	t.Logf("all were added in %v, and ended after %v", adding, took)
	if took > 50*adding { // by the square it is thousands of times as long
		t.Error("it takes the square of their number")
	}
}

// The process was paused while a family was read. Its deadline counts from the
// query, not from the result.
func TestPromise2_LiveDeadlineAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(chan asked, 8)
		l := newTestSet(asks)
		defer l.Close()
		one := l.Add(t.Context(), testHeader(1, 10)) // for an hour
		l.Applied([]store.Entry{{Kind: store.KindSubject, Subject: "alice", Position: 20}})
		q := <-asks
		snap := livingAt(q.id, 20)
		time.Sleep(50 * time.Second) // less than patience; a pause would be longer
		q.answer <- snap
		synctest.Wait()
		time.Sleep(time.Hour - 50*time.Second + 2*time.Second)
		synctest.Wait()
		if len(asks) == 0 {
			t.Errorf("past its deadline it is not asked about: %v", one.Err())
		}
	})
}
