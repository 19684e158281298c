package revocation_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// Two queries continue from one position. The first is answered by the log as
// it was, the second by one that has lost the entries of the first answer.
func TestPromise1_OverlappingAnswersOfTwoPasts(t *testing.T) {
	for name, above := range map[string]store.Position{"above": 100, "below": 0} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rec recorder
				d := newDouble()
				d.add(superseding(session(99), 0)) // 20
				r := still(t, d, revocation.Config{Observe: rec.observe})
				var h holder
				h.hold(t, d)
				read := func() {
					go func() { _ = r.Read(context.Background(), 0) }()
					synctest.Wait()
				}
				d.add(ofSubject(subject(1), 0), ofSubject(subject(2), 0)) // 30, 40
				read()
				d.lose(20)
				d.mu.Lock()
				prev := store.Position(20)
				for i, p := range []store.Position{25 + above, 35 + above, 45 + above} {
					e := ofSubject(subject(10+i), p)
					e.Previous, prev = prev, p
					d.entries, d.head = append(d.entries, e), p
				}
				d.mu.Unlock()
				read()
				d.onSince(nil)
				close(h.take(0).deliver)
				synctest.Wait()
				close(h.take(0).deliver)
				synctest.Wait()
				for range 3 {
					_ = r.Read(t.Context(), 0)
				}
				if r.State(time.Now()) != revocation.Fresh {
					t.Fatal("it is not fresh")
				}
				if rolledBack(rec.take()) != 1 {
					t.Error("nobody was told that the log went back")
				}
				p := 45 + above
				for _, lost := range []int{1, 2} {
					check(t, r, time.Now(), lost, p, revocation.Revoked)
				}
				for i := range 3 {
					check(t, r, time.Now(), 10+i, 24, revocation.Revoked)
				}
			})
		})
	}
}
