package faulttest

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sort"
	"sync"
	"sync/atomic"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/store"
)

// Revoke makes an operator's revocation through a node. The observer then checks that
// it is in force. After an error its effect is unknown until the next Settle.
func (w *World) Revoke(node int, r wafer.Revocation) (store.Position, error) {
	sessions, subjects := make(map[store.ID]bool), make(map[string]bool)
	for _, id := range r.Sessions {
		sessions[id] = true
	}
	for _, subject := range r.Subjects {
		subjects[subject] = true
	}
	what := fmt.Sprintf("an operator's revocation of %d sessions, %d subjects, everyone %v", len(sessions), len(subjects), r.Everyone)
	v := w.revoking(what, func(l *login) bool { return r.Everyone || sessions[l.id] || subjects[l.subject] })
	v.once = true
	return w.try(v, node, r)
}

// try makes a revocation through a node, and records the result.
func (w *World) try(v *revocation, node int, r wafer.Revocation) (store.Position, error) {
	n := w.nodes[node]
	n.mu.RLock()
	defer n.mu.RUnlock()
	if n.sessions == nil {
		return 0, fmt.Errorf("faulttest: node %d is down", node)
	}
	position, err := n.sessions.Revoke(context.Background(), r)
	w.revoked(v, n, err)
	return position, err
}

// insist revokes the whole subject after its EndOthers returned an error, until a node
// acknowledges it, as an operator would after a phone call. Until then it is unknown
// which sessions are over.
func (w *World) insist(v *revocation, subject string) {
	again := w.revoking("all of "+subject+" is revoked, since EndOthers returned an error", func(l *login) bool { return l.subject == subject })
	if w.repeat(again, wafer.Revocation{Subjects: []string{subject}}) {
		w.closed(v)
	}
}

// repeat tries a revocation on one node after another until one acknowledges it.
func (w *World) repeat(v *revocation, r wafer.Revocation) bool {
	began := time.Now()
	for node := 0; time.Since(began) < time.Minute; node++ {
		if _, err := w.try(v, node%len(w.nodes), r); err == nil {
			return true
		}
		time.Sleep(10 * time.Millisecond)
		if !w.running.Load() && time.Since(began) > w.config.Recovery {
			break
		}
	}
	return false
}

// operate revokes guests.
func (w *World) operate(stop <-chan struct{}) {
	r := w.random()
	for len(w.guests) > 0 && !w.pause(stop, pace*time.Duration(10+r.IntN(25))*time.Millisecond) {
		b := w.guests[r.IntN(len(w.guests))]
		b.mu.Lock()
		l := b.login
		b.mu.Unlock()
		if l == nil || time.Since(l.returned) < 400*time.Millisecond && r.IntN(3) > 0 {
			continue // let some sessions reach every node before they end
		}
		node := r.IntN(len(w.nodes))
		revocation := wafer.Revocation{Subjects: []string{l.subject}}
		what, covers := "an operator revokes "+l.subject, func(other *login) bool { return other.subject == l.subject }
		if r.IntN(2) == 0 {
			revocation = wafer.Revocation{Sessions: []store.ID{l.id}}
			what, covers = "an operator ends a session", func(other *login) bool { return other == l }
		}
		w.gate.RLock()
		v := w.revoking(what, covers)
		if _, err := w.try(v, node, revocation); err != nil {
			w.repeat(v, revocation)
		}
		w.gate.RUnlock()
	}
}

// thieves is the number of thieves for each node. There are several because a request
// that waits for the store makes its thief wait.
const thieves = 6

// steal presents dead credentials to a node, over and over.
func (w *World) steal(node int, stop <-chan struct{}) {
	r := w.random()
	for !w.pause(stop, pace*(5*time.Millisecond+rand.N(5*time.Millisecond))) {
		w.mu.Lock()
		if len(w.dead) == 0 {
			w.mu.Unlock()
			continue
		}
		l := w.dead[w.pick(r)]
		if n := len(w.leftover); n > 0 && r.IntN(4) == 0 {
			l = w.leftover[max(0, n-1-r.IntN(8))]
		}
		j := l.jar
		w.mu.Unlock()
		switch r.IntN(4) {
		case 0:
			j.session = ""
		case 1:
			j.refresh = ""
		}
		w.gate.RLock()
		w.present(l, j, node)
		w.gate.RUnlock()
	}
}

// pick chooses a dead login: from all, from those that ended just now, or from those
// that every node must refuse and whose cookies have not expired. The caller holds
// the lock.
func (w *World) pick(r *rand.Rand) int {
	since := func(d time.Duration) int {
		return sort.Search(len(w.dead), func(i int) bool { return time.Since(w.dead[i].acks[0].at) < d })
	}
	young, fresh, end := since(w.config.Access), since(w.config.MaxStaleness), len(w.dead)
	switch k := r.IntN(3); {
	case k == 0 && young < fresh:
		return young + r.IntN(fresh-young)
	case k == 1 && fresh < end:
		return fresh + r.IntN(end-fresh)
	}
	return r.IntN(end)
}

// presentAll presents the newest dead logins to every node.
func (w *World) presentAll() {
	w.mu.Lock()
	var dead []*login
	var jars []jar
	for _, l := range w.dead[max(0, len(w.dead)-maxPresented):] {
		dead, jars = append(dead, l), append(jars, l.jar)
	}
	w.mu.Unlock()
	var next atomic.Int64
	var all sync.WaitGroup
	for range thieves {
		all.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(dead); i = int(next.Add(1)) - 1 {
				for node := range w.nodes {
					w.present(dead[i], jars[i], node)
					w.present(dead[i], jar{session: jars[i].session}, node)
				}
			}
		})
	}
	all.Wait()
}

// maxPresented bounds how many dead logins Settle presents.
const maxPresented = 200

// present makes a request to a node with the credentials of a dead session. accepted
// judges it if the node accepts them.
func (w *World) present(l *login, j jar, node int) {
	n := w.nodes[node]
	if !n.mu.TryRLock() {
		return
	}
	defer n.mu.RUnlock()
	if n.sessions == nil {
		return
	}
	q := &request{node: n, what: "a thief with a dead session's credentials", owner: l, jar: j, begin: time.Now()}
	status := 0
	q.act = func(rw http.ResponseWriter, r *http.Request) {
		s, err := n.sessions.Get(r.Context())
		if err != nil {
			status = wafer.Status(err)
			return
		}
		status = http.StatusOK
		d, _ := s.Data()
		w.accepted(q, s.ID, s.Subject, d)
	}
	n.handler.ServeHTTP(httptest.NewRecorder(), q.http())
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[fmt.Sprintf("answer: thief %d", status)]++
}
