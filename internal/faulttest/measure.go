package faulttest

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/waferkit/wafer"
)

// Latency logs in and revokes rounds times, through each node in turn. It returns how
// long after Revoke returned each other node still accepted the cookie: Nodes-1
// durations for each round, shortest first. A cookie that a node still accepts after
// MaxStaleness, or does not refuse within two minutes, breaks promise 1 and is left out.
// Use Latency outside of Run.
func (w *World) Latency(rounds int) []time.Duration {
	w.t.Helper()
	var all []time.Duration
	for round := range rounds {
		at := round % len(w.nodes)
		b := w.Browser(fmt.Sprint("measured", round))
		if status := b.insist(at, "start", 200); status != 200 {
			w.t.Errorf("faulttest: Latency: a login is answered %d", status)
			return all
		}
		for node := range w.nodes {
			if status := b.insist(node, "read", 200); status != 200 {
				w.t.Errorf("faulttest: Latency: a read is answered %d", status)
				return all
			}
		}
		var others []time.Duration
		started, done := make(chan struct{}), make(chan time.Duration, len(w.nodes))
		var returned time.Time
		for node, n := range w.nodes {
			if node == at {
				continue
			}
			q := &request{node: n, begin: time.Now(), owner: b.login, jar: jar{session: b.jar.session}}
			r := q.http()
			go func() {
				<-started
				for {
					// On a busy machine the answer may come long after the judgement.
					asked := time.Since(returned)
					_, err := n.sessions.Check(r)
					switch {
					case err != nil && !errors.Is(err, wafer.ErrUnavailable):
						done <- time.Since(returned)
						return
					case err == nil && asked > w.config.MaxStaleness, asked > patience:
						done <- -1
						return
					}
					time.Sleep(100 * time.Microsecond)
				}
			}()
		}
		_, err := w.Revoke(at, wafer.Revocation{Subjects: []string{b.subject}})
		returned = time.Now()
		close(started)
		for range len(w.nodes) - 1 {
			if d := <-done; d >= 0 {
				others = append(others, d)
			} else if err == nil {
				w.mu.Lock()
				w.broken(nil, b.login, "promise 1: a revocation is not in force on another node within MaxStaleness")
				w.mu.Unlock()
			}
		}
		if err != nil {
			w.t.Errorf("faulttest: Latency: %v", err)
			return all
		}
		all = append(all, others...)
	}
	slices.Sort(all)
	return all
}

// Percentile returns the p-th percentile (0 to 100) of sorted durations.
func Percentile(sorted []time.Duration, p int) time.Duration {
	if len(sorted) == 0 {
		return 0
	}
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}

// ReadsCost makes n requests to each node that only read, with a valid cookie. It
// returns how many calls of the store and how many Set-Cookie lines they caused:
// promise 4 allows neither. before, unless nil, is called once the cookie is made
// and every node has reached its position, for a test that counts what the server
// does. A read that is refused breaks promise 5. Use ReadsCost outside of Run.
func (w *World) ReadsCost(n int, before func()) (calls, cookies int) {
	w.t.Helper()
	b := w.Browser("reader")
	b.mu.Lock()
	defer b.mu.Unlock()
	for node := range w.nodes {
		if b.login == nil {
			b.visit(node, "start")
		}
		b.visit(node, "read")
	}
	if before != nil {
		before()
	}
	for range n {
		for node := range w.nodes {
			q := b.newRequest(node, "read")
			a := b.send(q)
			if a.status != 200 {
				w.t.Errorf("faulttest: ReadsCost: a read is answered %d: %v", a.status, a.err)
				return calls, cookies
			}
			calls, cookies = calls+int(q.calls.Load()), cookies+len(a.cookies)
		}
	}
	return calls, cookies
}
