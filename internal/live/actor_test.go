package live

import (
	"testing"
	"testing/synctest"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store"
)

// An entry about the actor has the store asked about his sessions, and about no other;
// one at or below a session's position says nothing new about it.
func TestPromise1_EntryAboutAnActor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asks := make(chan asked, 8)
		l := newTestSet(asks)
		defer l.Close()
		acted, newer := testHeader(1, 10), testHeader(2, 30)
		acted.Actor, newer.Actor = codec.Hide("carol"), codec.Hide("carol")
		one, two, own := l.Add(t.Context(), acted), l.Add(t.Context(), newer), l.Add(t.Context(), testHeader(3, 10))
		l.Applied([]store.Entry{{Kind: store.KindSubject, Subject: "carol", Position: 20}})
		q := <-asks
		if q.id != (store.ID{0: 1}) {
			t.Errorf("the store is asked about %v", q.id)
		}
		q.answer <- store.Snapshot{State: store.CutOff, Head: 20}
		synctest.Wait()
		if one.Err() == nil || two.Err() != nil || own.Err() != nil || len(asks) != 0 {
			t.Errorf("after the actor's revocation: %v, %v, %v; %d questions more", one.Err(), two.Err(), own.Err(), len(asks))
		}
		l.Applied([]store.Entry{{Kind: store.KindSubject, Subject: "carol", Position: 40}})
		q = <-asks
		q.answer <- livingAt(q.id, 40) // such as one that was reborn
		synctest.Wait()
		if two.Err() != nil {
			t.Errorf("a session that the store confirms ended: %v", two.Err())
		}
		l.End(store.ID{0: 2})
		l.mu.Lock()
		defer l.mu.Unlock()
		if len(l.actors) != 0 {
			t.Errorf("of %d actors nothing is watched any more, and they are kept", len(l.actors))
		}
	})
}
