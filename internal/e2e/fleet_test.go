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

// A fleet of 50 nodes over one store, each with a clock of its own and a bad
// network in between, hundreds of browsers, and a thief. An outside observer
// holds every answer against the promises.
//
// One driver goroutine makes all decisions, each step's from the seed and its
// number, and what becomes of a call follows from the seed, the step and the
// request. Three things are not repeated: random ids, the jitter within wafer
// (of lifetimes and of pauses after an error), and the order in which goroutines
// run that are ready at one instant. So a run with the same seed has the same
// plan and the same faults, and may still differ in what is in the air when
// they strike: a failure comes with its trace.

var fleetSteps = flag.Int("fleet.steps", rounds.Of(2000, 6000), "steps of the fleet")

const (
	fleetPersons  = 300
	fleetSubjects = 90
	fleetHot      = 16 // how many persons make most of the requests at one time
)

func TestPromise1To5_Fleet(t *testing.T) {
	random := seeded(t)
	ring := newStaticRing(t)
	synctest.Test(t, func(t *testing.T) {
		f := newFleet(t, ring, random)
		for i := range fleetPersons {
			f.persons = append(f.persons, &person{fleet: f, subject: fmt.Sprint("user", i%fleetSubjects)})
		}
		for step := 0; step < *fleetSteps && !f.truth.failed(); step++ {
			f.step(step)
		}
		f.calm()
		f.tellAll()
		for _, m := range f.nodes {
			m.process.Load().Close()
		}
	})
}

func (f *fleet) anyNode() int { return f.random.IntN(fleetNodes) }

func (f *fleet) anyNodes() []int { return []int{f.anyNode(), f.anyNode(), f.anyNode()} }

// cutNode is a node that is cut off, if one is found.
func (f *fleet) cutNode() int {
	node := f.anyNode()
	for range 20 {
		if f.nodes[node].way.outage() == "" {
			node = f.anyNode()
		}
	}
	return node
}

// anyPerson is mostly one of a few, who change slowly.
func (f *fleet) anyPerson(step int) *person {
	if f.random.IntN(5) == 0 {
		return f.persons[f.random.IntN(len(f.persons))]
	}
	return f.persons[(step/25+f.random.IntN(fleetHot))%len(f.persons)]
}

func (f *fleet) duration(most time.Duration) time.Duration {
	return time.Duration(f.random.Int64N(int64(most)))
}

func (f *fleet) step(step int) {
	// What one step draws does not move what the next one draws.
	f.now.Store(int64(step))
	f.random = rand.New(rand.NewPCG(f.salt, uint64(step)))
	if step%150 == 0 {
		f.storm.Store([]int64{20, 100, 1000, 0, 400}[f.random.IntN(5)])
	}
	switch k := f.random.IntN(1000); {
	case k < 30: // one node's way is cut
		n, c, d := f.anyNode(), cutOffs[f.random.IntN(len(cutOffs))], 2*time.Second+f.duration(3*time.Minute)
		f.nodes[n].way.set(c, d)
		f.note("node %d: %s for %v", n, c, d)
		f.count("steps: one node cut off: " + string(c))
	case k < 32, step == *fleetSteps/4: // rare, and part of the shortest run
		c, d := cutOffs[f.random.IntN(len(cutOffs))], time.Second+f.duration(100*time.Second)
		for _, m := range f.nodes {
			m.way.set(c, d)
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
		f.live(f.anyPerson(step), f.random.IntN(40) == 0)
	}
	for range 2 {
		f.haunt()
	}
	f.glance(step)
	switch k := f.random.IntN(100); {
	case k < 60:
		time.Sleep(f.duration(500 * time.Millisecond))
	case k < 96:
		time.Sleep(f.duration(4 * time.Second))
	default:
		time.Sleep(f.duration(40 * time.Second))
	}
}

// choose decides what a person does.
func (f *fleet) choose(p *person) string {
	if p.login == nil {
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

// live is one act of a person.
func (f *fleet) live(p *person, lost bool) {
	act := f.choose(p)
	f.count("steps: " + act)
	before, witness, nodes := p.jar, "", f.anyNodes()
	switch act {
	case "end":
		witness = f.witness(func(l *login) bool { return l == p.login })
	case "others":
		witness = f.witness(func(l *login) bool { return l.subject == p.subject && l != p.login })
	}
	ended := p.login
	a := p.persist(nodes, act, lost)
	switch {
	case act == "end" && a.err == nil && ended != nil:
		f.dead = append(f.dead, before)
		f.measure(time.Now(), a.q.performed, witness)
	case act == "end":
		f.unknown = append(f.unknown, before)
		// On this node it is in force all the same.
		f.dead = append(f.dead, before)
		before.refresh = ""
		f.present(before, a.q.node, "read", "after a failed logout")
	case act == "others" && a.status == 200 && a.err == nil:
		f.bury(func(other *person) bool { return other.subject == p.subject && other.login != p.login })
		f.measure(time.Now(), a.q.performed, witness)
	case act == "others" && a.status == 200:
		f.unknown = append(f.unknown, before)
	}
}

// bury keeps copies of the jars of those whom a revocation covers.
func (f *fleet) bury(covers func(*person) bool) {
	for _, p := range f.persons {
		if p.login != nil && covers(p) {
			f.dead = append(f.dead, p.jar)
		}
	}
}

// revoke is an operator's act.
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
		who := f.anyPerson(step).subject
		r.Subjects, what = []string{who}, "a subject"
		of = func(l *login) bool { return l.subject == who }
	default:
		for range 1 + f.random.IntN(3) {
			if l := f.anyPerson(step).login; l != nil {
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
	q := f.ask(f.anyNode(), "", "", "revoke "+what)
	position, err := q.process.Revoke(q.context(), r)
	f.note("request %d to node %d: %s %v: %d %v", q.number, q.node, q.note, r, position, err)
	covered := func(p *person) bool { return of(p.login) }
	if err != nil {
		if wafer.Status(err) != 503 || !f.nodes[q.node].way.wasIll(q.begin) {
			f.truth.complain(q, nil, "Revoke: %v", err)
		}
		for _, p := range f.persons {
			if p.login != nil && covered(p) {
				f.unknown = append(f.unknown, p.jar)
			}
		}
		return
	}
	f.truth.revocation(q, r, position)
	f.bury(covered)
	f.measure(time.Now(), position, witness)
	if n := len(f.dead); n > 0 && f.random.IntN(2) == 0 {
		// Where the news are not known yet, the revoked try to survive.
		f.present(f.dead[n-1], f.cutNode(), []string{"others", "others", "commit"}[f.random.IntN(3)], "a revoked jar that acts")
	}
	if f.random.IntN(3) == 0 {
		w := f.ask(f.anyNode(), "", "", "wait")
		ctx, cancel := context.WithTimeout(w.context(), 5*time.Second)
		defer cancel()
		if w.process.WaitFor(ctx, position) == nil {
			f.count("steps: WaitFor returned")
			f.truth.waited(w, position)
			if n := len(f.dead); n > 0 {
				f.present(f.dead[n-1], w.node, "read", "a revoked jar")
			}
		}
	}
}

// present shows a jar to a node. It is not its owner's doing.
func (f *fleet) present(j jar, node int, act, note string) *reply {
	q := f.ask(node, j.session, j.refresh, note)
	q.thief = true
	return q.serve(act, "user0")
}

// haunt presents the jar of a session that was revoked.
func (f *fleet) haunt() {
	if len(f.dead) == 0 {
		return
	}
	i := f.random.IntN(len(f.dead))
	if f.random.IntN(2) == 0 {
		i = max(0, len(f.dead)-1-f.random.IntN(12))
	}
	j := f.dead[i]
	switch f.random.IntN(3) {
	case 0:
		j.session = ""
	case 1:
		j.refresh = ""
	}
	f.present(j, f.anyNode(), "read", "a revoked jar")
}

// glance shows somebody's session cookie alone to a node, rather to one that is
// cut off. Without a refresh token nothing but the cookie speaks for itself.
func (f *fleet) glance(step int) {
	p, node := f.anyPerson(step), f.cutNode()
	if p.login == nil {
		return
	}
	q := f.ask(node, p.jar.session, "", "a cookie alone")
	s, err := q.process.Check(q.request())
	status := 200
	if err != nil {
		status = wafer.Status(err)
	}
	f.count(fmt.Sprint("answers: ", q.note, " ", status))
	switch status {
	case 200:
		d, err := s.Data()
		if err != nil {
			f.truth.complain(q, nil, "the data of %v: %v", s, err)
		}
		f.truth.saw(q, s, d, false)
	case 503:
		if !f.nodes[node].way.wasIll(q.begin) {
			f.truth.complain(q, nil, "unavailable, and no call was hurt: %v", err)
		}
	default: // ErrExpired is one of the reasons
		f.truth.refusedGood(q)
	}
}

// steal copies a jar, or uses a copy.
func (f *fleet) steal(step int) {
	if len(f.loot) == 0 || f.random.IntN(3) == 0 {
		if p := f.anyPerson(step); p.login != nil {
			f.loot = append(f.loot, p.jar)
			f.count("steps: a thief copies a jar")
		}
		return
	}
	i := max(0, len(f.loot)-1-f.random.IntN(6))
	j, other := f.loot[i], f.loot[f.random.IntN(len(f.loot))]
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
	f.count("steps: a thief uses a jar: " + act)
	a := f.present(j, f.anyNode(), act, "a thief: "+act)
	if act == "end" && a.err == nil {
		f.dead = append(f.dead, j)
	}
	if a.login != nil && f.random.IntN(2) == 0 {
		f.loot[i].take(a)
	}
}

// overlap lets several persons act at once, and one of them with two tabs.
func (f *fleet) overlap(step int) {
	f.count("steps: several at once")
	var tasks []func()
	taken := make(map[*person]bool)
	for range 2 + f.random.IntN(6) {
		p := f.anyPerson(step)
		if taken[p] {
			continue
		}
		taken[p] = true
		if len(taken) == 1 && p.login != nil {
			tasks = append(tasks, f.tabs(p))
			continue
		}
		act, nodes := f.choose(p), f.anyNodes()
		if act == "end" || act == "others" {
			act = "read" // whose witness would have to be chosen meanwhile
		}
		tasks = append(tasks, func() { p.persist(nodes, act, false) })
	}
	if f.random.IntN(2) == 0 && len(f.dead) > 0 {
		j, node := f.dead[f.random.IntN(len(f.dead))], f.anyNode()
		tasks = append(tasks, func() { f.present(j, node, "read", "a revoked jar") })
	}
	var all sync.WaitGroup
	for _, task := range tasks {
		all.Go(task)
	}
	all.Wait()
}

// tabs makes two requests of one browser at once. Both answers arrive, in
// either order.
func (f *fleet) tabs(p *person) func() {
	acts := []string{[]string{"read", "read", "save", "commit"}[f.random.IntN(4)], []string{"read", "commit"}[f.random.IntN(2)]}
	nodes, swap := f.anyNodes(), f.random.IntN(2)
	return func() {
		j := p.jar.fresh()
		var answers [2]*reply
		var both sync.WaitGroup
		for i := range answers {
			q := f.ask(nodes[i], j.session, j.refresh, "a tab: "+acts[i])
			both.Go(func() { answers[i] = q.serve(acts[i], p.subject) })
		}
		both.Wait()
		p.expect = 0
		for i := range answers {
			p.settle(answers[i^swap], false)
			p.expect = 0
		}
	}
}
