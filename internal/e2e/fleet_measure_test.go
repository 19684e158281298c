package e2e_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/waferkit/wafer/store"
)

// The time until a revocation is in force on every node. A witness, a session
// cookie that was good until the revocation, is presented to all nodes until
// each has refused it for good.

// measurement is the measurement of one revocation.
type measurement struct {
	mu          sync.Mutex
	probed      bool
	undisturbed bool          // no node was in an outage when it began
	refused     time.Duration // when the last node refused the witness for good
	each        []time.Duration
	known       time.Duration // when the last node had applied the revocation, or reported its list stale
}

// pace returns the pause between two probes, given the time since the
// revocation.
func pace(after time.Duration) time.Duration {
	switch {
	case after < 200*time.Millisecond:
		return 5 * time.Millisecond
	case after < 5*time.Second:
		return 100 * time.Millisecond
	}
	return 500 * time.Millisecond
}

// measure starts to measure a revocation. If witness is empty, it uses Health
// alone.
func (f *fleet) measure(at time.Time, position store.Position, witness string) {
	m := &measurement{probed: witness != "", undisturbed: f.faultRate.Load() <= 20}
	for _, n := range f.nodes {
		m.undisturbed = m.undisturbed && n.link.outage() == "" && n.process.Load().Health().State == "fresh"
	}
	f.mu.Lock()
	f.measured = append(f.measured, m)
	which := len(f.measured)
	f.mu.Unlock()
	for node := range fleetNodes {
		f.probes.Go(func() { f.probe(m, which, node, at, position, witness) })
	}
}

func (f *fleet) probe(m *measurement, which, node int, at time.Time, position store.Position, witness string) {
	known, refused := time.Duration(-1), time.Duration(-1)
	for {
		after := time.Since(at)
		h := f.nodes[node].process.Load().Health()
		applied := h.State == "fresh" && h.Position >= position
		if known < 0 && (applied || h.State != "fresh") {
			known = after
		}
		if witness != "" {
			q := f.newRequest(node, witness, "", "probe")
			q.key = fmt.Sprint("probe ", which, " ", node, " ", after)
			if s, err := q.process.Check(q.httpRequest()); err != nil {
				if refused < 0 {
					refused = after
				}
			} else {
				refused = -1
				d, err := s.Data()
				if err != nil {
					f.oracle.violation(q, nil, "the data of %v: %v", s, err)
				}
				f.oracle.checkAccepted(q, s, d, false)
			}
			f.count("probes")
		}
		if applied && (witness == "" || refused >= 0) || after > fleetStaleness+45*time.Second || f.oracle.failed() {
			break
		}
		time.Sleep(pace(after))
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.each = append(m.each, refused)
	m.refused, m.known = max(m.refused, refused), max(m.known, known)
}

// witness returns a session cookie that stays good for long enough to show when
// a revocation takes effect.
func (f *fleet) witness(of func(*login) bool) string {
	o := f.oracle
	for _, p := range f.clients {
		l := p.login
		o.mu.Lock()
		c := o.credentials[p.cookies.session]
		good := l != nil && c != nil && c.login == l && of(l) && o.performedEnd(l) == "" && len(l.refused) == 0 &&
			max(l.lastCommit, o.cutoffs[l.subject], o.cutoffs[""]) <= c.position &&
			time.Now().Add(fleetStaleness+15*time.Second+2*fleetSkew).Before(c.sealed.Add(fleetAccess*9/10)) &&
			!o.late(l, time.Now(), fleetStaleness+15*time.Second+2*fleetSkew)
		o.mu.Unlock()
		if good {
			return p.cookies.session
		}
	}
	return ""
}

// distribution returns the percentiles of the measurements.
func (f *fleet) distribution() string {
	var refused, known, calm, single []time.Duration
	for _, m := range f.measured {
		known = append(known, m.known)
		if m.undisturbed {
			calm = append(calm, m.known)
		}
		if m.probed {
			refused = append(refused, m.refused)
			single = append(single, m.each...)
		}
	}
	var b strings.Builder
	for _, d := range []struct {
		how string
		all []time.Duration
	}{{"by presenting a witness to all nodes", refused}, {"by Health of all nodes", known},
		{"the same, where all nodes were well when it began", calm}, {"node by node, by presenting a witness", single}} {
		slices.Sort(d.all)
		fmt.Fprintf(&b, "\n  %s (%d):", d.how, len(d.all))
		if len(d.all) == 0 {
			continue
		}
		for _, percent := range []int{50, 90, 99, 100} {
			fmt.Fprintf(&b, "  p%d %v", percent, d.all[min(len(d.all)*percent/100, len(d.all)-1)].Round(time.Millisecond))
		}
	}
	return b.String()
}
