package e2e_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

// calm ends all faults. The fleet recovers by itself, and what was left open
// is settled.
func (f *fleet) calm() {
	f.storm.Store(0)
	for _, m := range f.nodes {
		m.way.heal()
	}
	f.late.Wait()
	f.probes.Wait()
	time.Sleep(fleetStaleness + 45*time.Second) // what the last mishaps still hold up, and then MaxStaleness
	f.late.Wait()
	if f.truth.failed() {
		return
	}
	f.truth.mu.Lock()
	f.truth.final = true
	f.truth.mu.Unlock()
	c, err := f.mem.Cutoffs(context.Background(), store.ID{}, "")
	if err != nil {
		f.t.Fatal(err)
	}
	for _, m := range f.nodes {
		if h := m.process.Load().Health(); h.State != "fresh" || h.Position != c.Head {
			f.truth.complain(nil, nil, "node %d has not recovered: %+v, and the log's head is %d", m.number, h, c.Head)
		}
	}
	served := 0
	for _, p := range f.persons {
		for range 2 {
			if a := p.visit(f.anyNode(), "read", false); a.status == 503 {
				f.truth.complain(a.q, p.login, "the fleet has recovered, and a browser is told 503")
			} else if a.status == 200 {
				served++
			}
		}
	}
	f.count(fmt.Sprintf("end: %d visits served", served))
	for i, j := range append(f.dead, f.unknown...) {
		if i < len(f.dead)-300 { // the older ones were presented for long
			continue
		}
		f.present(j, f.anyNode(), "read", "in the end")
		j.refresh = ""
		verdicts := make(map[bool]int)
		for n := range f.nodes {
			q := f.ask(n, j.session, "", "in the end")
			_, err := q.process.Check(q.request())
			verdicts[err == nil]++
		}
		if c := f.truth.crumbs[j.session]; len(verdicts) > 1 && !f.truth.nearly(c) {
			f.truth.complain(nil, c.login, "nodes do not agree about a cookie: %v", verdicts)
		}
	}
	f.count(fmt.Sprintf("end: %d revocations of unknown outcome", len(f.unknown)))
}

// nearly reports that clocks may disagree whether a cookie is still good.
func (o *truth) nearly(c *crumb) bool {
	now := time.Now()
	for _, at := range []time.Time{c.expires, c.expires.Add(-fleetAccess / 10), c.deadline, c.login.absolute} {
		if d := now.Sub(at); -fleetAccess/10-3*fleetSkew < d && d < fleetAccess/10+3*fleetSkew {
			return true
		}
	}
	return false
}

// tellAll reports.
func (f *fleet) tellAll() {
	t := f.t
	t.Logf("%d steps over %v; mishaps:%s", *fleetSteps, f.since(time.Now()).Round(time.Second), f.tell("mishap: "))
	for _, what := range []string{"steps: ", "answers: ", "calls of requests: ", "calls of the node's own: ", "events: ", "alarms: ", "end: ", "a node grew", "retries", "probes"} {
		t.Logf("%s%s", strings.TrimSuffix(what, ": "), f.tell(what))
	}
	excused := 0
	for _, l := range f.truth.inOrder {
		if f.truth.excused(l) {
			excused++
		}
	}
	t.Logf("%d logins, of which %d may be logged out as thieves would; %d reads had to do without the store", len(f.truth.inOrder), excused, f.truth.locals)
	t.Logf("revoked until enforced everywhere:%s", f.distribution())
	if f.truth.failed() {
		t.Errorf("broken:\n%s", f.truth.report())
		for i, line := range f.trace {
			whose := slices.ContainsFunc(f.truth.whose, func(n int) bool { return strings.Contains(line, fmt.Sprintf(" login %d,", n)) })
			if whose || i >= len(f.trace)-30 || !strings.Contains(line, "request") {
				t.Log(line)
			}
		}
	}
}
