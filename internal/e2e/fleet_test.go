package e2e_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/internal/rounds"
)

// A fleet of 50 nodes over one store, each with its own clock and an unreliable
// network, with hundreds of browsers and a thief. An oracle checks every answer
// against the promises.
//
// One driver goroutine makes all decisions. Each step's decisions follow from
// the seed and the step's number, and the fate of a call follows from the seed,
// the step and the request. Three things are not repeatable: random ids, the
// jitter within wafer (of lifetimes and of pauses after an error), and the
// order in which goroutines run that are ready at the same instant. So a run
// with the same seed has the same plan and the same faults, but what is in
// transit when they strike may differ. A failure therefore comes with its
// trace.

var fleetSteps = flag.Int("fleet.steps", rounds.Of(2000, 6000), "steps of the fleet")

const (
	fleetClients  = 300
	fleetSubjects = 90
	fleetHot      = 16 // how many clients make most of the requests at one time
)

func TestPromise1To5_Fleet(t *testing.T) {
	random := seeded(t)
	ring := newStaticRing(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, ring, random)
		for i := range fleetClients {
			f.clients = append(f.clients, &client{fleet: f, subject: fmt.Sprint("user", i%fleetSubjects)})
		}
		for step := 0; step < *fleetSteps && !f.oracle.failed(); step++ {
			f.step(step)
		}
		f.endFaults()
		f.reportAll()
		for _, m := range f.nodes {
			m.process.Load().Close()
		}
	})
}

func (f *fleet) anyNode() int { return f.random.IntN(fleetNodes) }

func (f *fleet) anyNodes() []int { return []int{f.anyNode(), f.anyNode(), f.anyNode()} }

// nodeInOutage returns a node that is in an outage, if it finds one.
func (f *fleet) nodeInOutage() int {
	node := f.anyNode()
	for range 20 {
		if f.nodes[node].link.outage() == "" {
			node = f.anyNode()
		}
	}
	return node
}

// anyClient mostly returns one of a few clients, who change slowly.
func (f *fleet) anyClient(step int) *client {
	if f.random.IntN(5) == 0 {
		return f.clients[f.random.IntN(len(f.clients))]
	}
	return f.clients[(step/25+f.random.IntN(fleetHot))%len(f.clients)]
}

func (f *fleet) duration(most time.Duration) time.Duration {
	return time.Duration(f.random.Int64N(int64(most)))
}

func (f *fleet) step(step int) {
	// The draws of one step do not shift those of the next.
	f.now.Store(int64(step))
	f.random = rand.New(rand.NewPCG(f.salt, uint64(step)))
	if step%150 == 0 {
		f.faultRate.Store([]int64{20, 100, 1000, 0, 400}[f.random.IntN(5)])
	}
	switch k := f.random.IntN(1000); {
	case k < 30: // an outage of one node's link
		n, c, d := f.anyNode(), outageKinds[f.random.IntN(len(outageKinds))], 2*time.Second+f.duration(3*time.Minute)
		f.nodes[n].link.set(c, d)
		f.note("node %d: %s for %v", n, c, d)
		f.count("steps: one node cut off: " + string(c))
	case k < 32, step == *fleetSteps/4: // rare, but part of the shortest run
		c, d := outageKinds[f.random.IntN(len(outageKinds))], time.Second+f.duration(100*time.Second)
		for _, m := range f.nodes {
			m.link.set(c, d)
		}
		f.note("all nodes: %s for %v", c, d)
		f.count("steps: all nodes cut off: " + string(c))
	case k < 38:
		m := f.nodes[f.anyNode()]
		f.note("node %d is restarted", m.number)
		f.count("steps: a node restarted")
		m.start()
	case k < 70, step == *fleetSteps/2:
		f.revoke(step)
	case k < 130:
		f.steal(step)
	case k < 200:
		f.overlap(step)
	case k < 207:
		d := f.duration(2 * fleetAccess)
		f.count("steps: minutes pass")
		time.Sleep(d)
	default:
		f.act(f.anyClient(step), f.random.IntN(5) == 0)
	}
	for range 2 {
		f.presentRevoked()
	}
	f.presentCookie(step)
	switch k := f.random.IntN(100); {
	case k < 60:
		time.Sleep(f.duration(500 * time.Millisecond))
	case k < 96:
		time.Sleep(f.duration(4 * time.Second))
	default:
		time.Sleep(f.duration(40 * time.Second))
	}
}

// choose decides what a client does.
func (f *fleet) choose(c *client) string {
	if c.login == nil {
		return "start"
	}
	switch k := f.random.IntN(100); {
	case k < 64:
		return "read"
	case k < 77:
		return "save"
	case k < 88:
		return "commit"
	case k < 93:
		return "end"
	case k < 96:
		return "others"
	case k < 98:
		return "start"
	}
	return "read"
}

// act performs one act of a client.
func (f *fleet) act(c *client, lost bool) {
	act := f.choose(c)
	f.count("steps: " + act)
	before, witness, nodes := c.cookies, "", f.anyNodes()
	switch act {
	case "end":
		witness = f.witness(func(l *login) bool { return l == c.login })
	case "others":
		witness = f.witness(func(l *login) bool { return l.subject == c.subject && l != c.login })
	}
	ended := c.login
	a := c.persist(nodes, act, lost)
	switch {
	case act == "end" && a.err == nil && ended != nil:
		f.revoked = append(f.revoked, before)
		f.measure(time.Now(), a.q.performed, witness)
	case act == "end":
		f.unknown = append(f.unknown, before)
		// The logout is in force on this node all the same.
		f.revoked = append(f.revoked, before)
		before.refresh = ""
		f.present(before, a.q.node, "read", "after a failed logout")
	case act == "others" && a.status == 200 && a.err == nil:
		f.keepRevoked(func(other *client) bool { return other.subject == c.subject && other.login != c.login })
		f.measure(time.Now(), a.q.performed, witness)
	case act == "others" && a.status == 200:
		f.unknown = append(f.unknown, before)
	}
}

// keepRevoked keeps copies of the cookies of the clients that a revocation
// covers.
func (f *fleet) keepRevoked(covers func(*client) bool) {
	for _, c := range f.clients {
		if c.login != nil && covers(c) {
			f.revoked = append(f.revoked, c.cookies)
		}
	}
}

// revoke performs an operator's revocation.
func (f *fleet) revoke(step int) {
	var r wafer.Revocation
	sessions := make(map[*login]bool)
	of := func(l *login) bool { return sessions[l] }
	what := "sessions"
	switch k := f.random.IntN(80); {
	case k == 0, step == *fleetSteps/2:
		r.Everyone, what = true, "everyone"
		of = func(*login) bool { return true }
	case k < 45:
		who := f.anyClient(step).subject
		r.Subjects, what = []string{who}, "a subject"
		of = func(l *login) bool { return l.subject == who }
	default:
		for range 1 + f.random.IntN(3) {
			if l := f.anyClient(step).login; l != nil {
				sessions[l] = true
				r.Sessions = append(r.Sessions, l.id)
			}
		}
		if len(r.Sessions) == 0 {
			return
		}
	}
	f.count("steps: an operator revokes " + what)
	witness := f.witness(of)
	q := f.newRequest(f.anyNode(), "", "", "revoke "+what)
	position, err := q.process.Revoke(q.context(), r)
	f.note("request %d to node %d: %s %v: %d %v", q.number, q.node, q.note, r, position, err)
	covered := func(c *client) bool { return of(c.login) }
	if err != nil {
		if wafer.Status(err) != 503 || !f.nodes[q.node].link.hadFault(q.begin) {
			f.oracle.violation(q, nil, "Revoke: %v", err)
		}
		for _, c := range f.clients {
			if c.login != nil && covered(c) {
				f.unknown = append(f.unknown, c.cookies)
			}
		}
		return
	}
	f.oracle.checkRevocation(q, r, position)
	f.keepRevoked(covered)
	f.measure(time.Now(), position, witness)
	if n := len(f.revoked); n > 0 && f.random.IntN(2) == 0 {
		// Revoked clients try to survive on a node that may not have the entry
		// yet.
		f.present(f.revoked[n-1], f.nodeInOutage(), []string{"others", "others", "commit"}[f.random.IntN(3)], "revoked cookies that act")
	}
	if f.random.IntN(3) == 0 {
		w := f.newRequest(f.anyNode(), "", "", "wait")
		ctx, cancel := context.WithTimeout(w.context(), 5*time.Second)
		defer cancel()
		if w.process.WaitFor(ctx, position) == nil {
			f.count("steps: WaitFor returned")
			f.oracle.recordWait(w, position)
			if n := len(f.revoked); n > 0 {
				f.present(f.revoked[n-1], w.node, "read", "revoked cookies")
			}
		}
	}
}

// present presents cookies to a node on behalf of a thief.
func (f *fleet) present(j cookies, node int, act, note string) *reply {
	q := f.newRequest(node, j.session, j.refresh, note)
	q.thief, q.since = true, j.since
	return q.serve(act, "user0")
}

// presentRevoked presents the cookies of a revoked session.
func (f *fleet) presentRevoked() {
	if len(f.revoked) == 0 {
		return
	}
	i := f.random.IntN(len(f.revoked))
	if f.random.IntN(2) == 0 {
		i = max(0, len(f.revoked)-1-f.random.IntN(12))
	}
	j := f.revoked[i]
	switch f.random.IntN(3) {
	case 0:
		j.session = ""
	case 1:
		j.refresh = ""
	}
	f.present(j, f.anyNode(), "read", "revoked cookies")
}

// presentCookie presents a client's session cookie alone to a node, preferably
// one in an outage. Without a refresh token the cookie alone decides.
func (f *fleet) presentCookie(step int) {
	c, node := f.anyClient(step), f.nodeInOutage()
	if c.login == nil {
		return
	}
	q := f.newRequest(node, c.cookies.session, "", "a cookie alone")
	s, err := q.process.Check(q.httpRequest())
	status := 200
	if err != nil {
		status = wafer.Status(err)
	}
	f.count(fmt.Sprint("answers: ", q.note, " ", status))
	switch status {
	case 200:
		d, err := s.Data()
		if err != nil {
			f.oracle.violation(q, nil, "the data of %v: %v", s, err)
		}
		f.oracle.checkAccepted(q, s, d, false)
	case 503:
		if !f.nodes[node].link.hadFault(q.begin) {
			f.oracle.violation(q, nil, "unavailable, and no call met a fault: %v", err)
		}
	default: // ErrExpired is one of the reasons
		f.oracle.checkRefused(q)
	}
}

// steal copies cookies, or uses a copy.
func (f *fleet) steal(step int) {
	if len(f.stolen) == 0 || f.random.IntN(3) == 0 {
		if c := f.anyClient(step); c.login != nil {
			f.stolen = append(f.stolen, c.cookies)
			f.count("steps: a thief copies cookies")
		}
		return
	}
	i := max(0, len(f.stolen)-1-f.random.IntN(6))
	j, other := f.stolen[i], f.stolen[f.random.IntN(len(f.stolen))]
	act := "read"
	switch k := f.random.IntN(12); {
	case k < 5: // the cookie alone
		j.refresh = ""
	case k < 6:
		j.session = ""
	case k < 7:
		j.session = other.session
	case k < 8 && j.session != "":
		b := []byte(j.session)
		b[f.random.IntN(len(b))] ^= 1
		j.session = string(b)
	case k < 9:
		act = []string{"save", "commit", "others", "end", "start"}[f.random.IntN(5)]
	}
	f.count("steps: a thief uses cookies: " + act)
	a := f.present(j, f.anyNode(), act, "a thief: "+act)
	if act == "end" && a.err == nil {
		f.revoked = append(f.revoked, j)
	}
	if a.login != nil && f.random.IntN(2) == 0 {
		f.stolen[i].receive(a)
	}
}

// overlap makes several clients act at once, one of them with two tabs.
func (f *fleet) overlap(step int) {
	f.count("steps: several at once")
	var tasks []func()
	taken := make(map[*client]bool)
	for range 2 + f.random.IntN(6) {
		c := f.anyClient(step)
		if taken[c] {
			continue
		}
		taken[c] = true
		if len(taken) == 1 && c.login != nil {
			tasks = append(tasks, f.tabs(c))
			continue
		}
		act, nodes := f.choose(c), f.anyNodes()
		if act == "end" || act == "others" {
			act = "read" // the witness for these cannot be chosen while others act
		}
		tasks = append(tasks, func() { c.persist(nodes, act, false) })
	}
	if f.random.IntN(2) == 0 && len(f.revoked) > 0 {
		j, node := f.revoked[f.random.IntN(len(f.revoked))], f.anyNode()
		tasks = append(tasks, func() { f.present(j, node, "read", "revoked cookies") })
	}
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(task)
	}
	all.Wait()
}

// tabs makes two requests of one browser at once. Both answers arrive, in
// either order.
func (f *fleet) tabs(c *client) func() {
	acts := []string{[]string{"read", "read", "save", "commit"}[f.random.IntN(4)], []string{"read", "commit"}[f.random.IntN(2)]}
	nodes, swap := f.anyNodes(), f.random.IntN(2)
	return func() {
		j := c.cookies.expire()
		var answers [2]*reply
		var both sync.WaitGroup
		for i := range answers {
			q := f.newRequest(nodes[i], j.session, j.refresh, "a tab: "+acts[i])
			both.Go(func() { answers[i] = q.serve(acts[i], c.subject) })
		}
		both.Wait()
		c.expect = 0
		for i := range answers {
			c.settle(answers[i^swap], false)
			c.expect = 0
		}
	}
}
