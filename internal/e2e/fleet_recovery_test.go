package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// endFaults ends all faults. The fleet must recover by itself. Revocations
// whose outcome was unknown must then have one outcome on all nodes.
func (f *fleet) endFaults() {
	f.faultRate.Store(0)
	for _, m := range f.nodes {
		m.link.heal()
	}
	f.late.Wait()
	f.probes.Wait()
	time.Sleep(fleetStaleness + 45*time.Second) // the longest delay of the last faults, and then MaxStaleness
	f.late.Wait()
	if f.oracle.failed() {
		return
	}
	f.oracle.mu.Lock()
	f.oracle.final = true
	f.oracle.mu.Unlock()
	c, err := f.mem.Cutoffs(context.Background(), store.ID{}, "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range f.nodes {
		if h := m.process.Load().Health(); h.State != "fresh" || h.Position != c.Head {
			f.oracle.violation(nil, nil, "node %d has not recovered: %+v, and the log's head is %d", m.number, h, c.Head)
		}
	}
	served := 0
	for _, p := range f.clients {
		for range 2 {
			if a := p.visit(f.anyNode(), "read", false); a.status == 503 {
				f.oracle.violation(a.q, p.login, "the fleet has recovered, and a browser gets 503")
			} else if a.status == 200 {
				served++
			}
		}
	}
	f.count(fmt.Sprintf("end: %d visits served", served))
	for i, j := range append(f.revoked, f.unknown...) {
		if i < len(f.revoked)-300 { // the older ones were presented often enough
			continue
		}
		f.present(j, f.anyNode(), "read", "in the end")
		j.refresh = ""
		verdicts := make(map[bool]int)
		for n := range f.nodes {
			q := f.newRequest(n, j.session, "", "in the end")
			_, err := q.process.Check(q.httpRequest())
			verdicts[err == nil]++
		}
		if c := f.oracle.credentials[j.session]; len(verdicts) > 1 && !f.oracle.nearLimit(c) {
			f.oracle.violation(nil, c.login, "nodes do not agree about a cookie: %v", verdicts)
		}
	}
	f.count(fmt.Sprintf("end: %d revocations of unknown outcome", len(f.unknown)))
}

// nearLimit reports whether a cookie is so near a limit that clocks may
// disagree about it.
func (o *oracle) nearLimit(c *credential) bool {
	now := time.Now()
	for _, at := range []time.Time{c.expires, c.expires.Add(-fleetAccess / 10), c.deadline, c.login.absolute} {
		if d := now.Sub(at); -fleetAccess/10-3*fleetSkew < d && d < fleetAccess/10+3*fleetSkew {
			return true
		}
	}
	return false
}

// reportAll logs the counts and measurements, and fails the test if a promise
// was broken.
func (f *fleet) reportAll() {
	t := f.t
	t.Logf("%d steps over %v; faults:%s", *fleetSteps, f.since(time.Now()).Round(time.Second), f.counted("fault: "))
	for _, what := range []string{"steps: ", "answers: ", "calls of requests: ", "calls of the node's own: ", "events: ", "alarms: ", "end: ", "a node grew", "retries", "probes"} {
		t.Logf("%s%s", strings.TrimSuffix(what, ": "), f.counted(what))
	}
	stolen, caught := 0, 0
	for _, l := range f.oracle.inOrder {
		if l.stolen {
			stolen++
		}
		if l.why == string(refresh.ReasonReplay) {
			caught++
		}
	}
	t.Logf("%d logins, of which a thief refreshed %d, and %d ended for it; %d reads had to do without the store", len(f.oracle.inOrder), stolen, caught, f.oracle.localReads)
	t.Logf("revoked until enforced everywhere:%s", f.distribution())
	if f.oracle.failed() {
		t.Errorf("broken:\n%s", f.oracle.report())
		for i, line := range f.trace {
			whose := slices.ContainsFunc(f.oracle.traced, func(n int) bool { return strings.Contains(line, fmt.Sprintf(" login %d,", n)) })
			if whose || i >= len(f.trace)-30 || !strings.Contains(line, "request") {
				t.Log(line)
			}
		}
	}
}
