package revocation_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/revocation"
)

// A revocation that this node made, and the store took, is lost before the
// follower has read it: the log has not gone back behind the cursor, and yet.
func TestPromise1_LostBeforeItWasRead(t *testing.T) {
	for name, grown := range map[string]bool{"the log ends before it": false, "the log has grown past it": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var rec recorder
				d := &restorer{double: newDouble()}
				for range 5 {
					d.add(superseding(session(99), 0))
				}
				r := follow(t, d, revocation.Config{Observe: rec.observe, Restore: d.Restore})
				synctest.Wait()
				var h holder
				h.hold(t, d.double) // the log is read slowly
				time.Sleep(revocation.DefaultMaxStaleness / 3)
				synctest.Wait()
				own := d.add(ofSubject(subject(2), 0))
				r.Learn(own)
				r.Apply(ofSubject(subject(2), own))
				d.lose(own - 10)
				d.onSince(nil)
				for h.len() > 0 {
					close(h.take(0).deliver)
				}
				p := own - 5
				if grown {
					d.mu.Lock()
					d.entries = append(d.entries, superseding(session(98), own+5))
					d.entries[len(d.entries)-1].Previous = own - 10
					d.head = own + 5
					d.mu.Unlock()
					p = d.add(superseding(session(98), 0))
				}
				time.Sleep(time.Minute)
				if grown {
					check(t, r, time.Now(), 2, p, revocation.Revoked)
				}
				if found := d.after(0, 2); false {
					_ = found
				}
				if c := d.revoked(session(2), subject(2)); c.Subject < own {
					t.Errorf("it is not written back: %+v", c)
				}
				if rolledBack(rec.take()) != 1 {
					t.Error("nobody was told")
				}
			})
		})
	}
}
