package e2e_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"slices"
	"time"

	"github.com/waferkit/wafer"
)

// What the clients of the fleet do.

// reply is the answer to a request.
type reply struct {
	q        *query
	act      string
	status   int   // of Handler's judgement
	err      error // of the act
	seen     tally // the data that the request began with
	version  int   // of the data in the end
	login    *login
	cookies  []*http.Cookie
	duration time.Duration
}

// serve makes the request. Its act is read, save, commit, others, end, start.
func (q *query) serve(act, subject string) *reply {
	a, o, p := &reply{q: q, act: act}, q.observer, q.process
	before := act == "read" && o.local(q)
	q.act = func(w http.ResponseWriter, r *http.Request) {
		s, err := p.Get(r.Context())
		anew := len(w.Header()["Set-Cookie"]) > 0
		a.status = http.StatusOK
		if err != nil {
			a.status = wafer.Status(err)
		} else {
			if a.seen, err = s.Data(); err != nil {
				o.complain(q, nil, "the data of %v: %v", s, err)
				return
			}
			a.login, a.version = o.saw(q, s, a.seen, anew), a.seen.Version
		}
		q.perform(a, w, r, subject)
		anew = anew || act == "start" && a.err == nil
		a.cookies = (&http.Response{Header: w.Header()}).Cookies()
		if s, err = p.Get(r.Context()); err == nil {
			o.sealedInto(q, a.value(sessionCookie), a.value(refreshCookie), s, a.version, anew)
		}
	}
	p.handler.ServeHTTP(httptest.NewRecorder(), q.request())
	a.duration = time.Since(q.begin)
	if before && o.local(q) {
		o.readLocally(q, a.status == http.StatusOK, len(a.cookies))
	}
	if a.status == http.StatusUnauthorized {
		o.refusedGood(q)
	}
	a.check()
	return a
}

// perform does the act.
func (q *query) perform(a *reply, w http.ResponseWriter, r *http.Request, subject string) {
	o, p, f := q.observer, q.process, q.observer.fleet
	if a.act == "end" {
		a.err = p.End(w, r)
		o.left(q, a.err)
		return
	}
	q.attempts, q.basis = int(f.versions.Add(1)), a.seen.Commits
	if a.act == "start" {
		number := int(f.logins.Add(1))
		if a.err = p.Start(w, r, subject, tally{number, q.attempts, 0}); a.err == nil {
			s, err := p.Get(r.Context())
			if err != nil {
				o.complain(q, nil, "after its own Start: %v", err)
				return
			}
			a.login, a.version = o.begun(q, s, number), q.attempts
		}
		return
	}
	if a.login == nil || a.act == "read" {
		return
	}
	next := tally{a.seen.Login, q.attempts, a.seen.Commits}
	switch a.act {
	case "save":
		a.err = p.Save(w, r, next)
	case "commit":
		next.Commits++
		a.err = p.Commit(w, r, next)
	case "others":
		a.err = p.EndOthers(w, r)
	}
	s, err := p.Get(r.Context())
	if err != nil {
		o.complain(q, a.login, "after its own %s: %v", a.act, err)
		return
	}
	o.put(q, a.act, s, a.err)
	if a.err == nil && a.act != "others" {
		a.version = next.Version
	}
}

func (a *reply) value(name string) string {
	for _, c := range a.cookies {
		if c.Name == name && c.MaxAge > 0 {
			return c.Value
		}
	}
	return ""
}

// check judges what holds of every answer, whoever asked.
func (a *reply) check() {
	q := a.q
	o, f := q.observer, q.observer.fleet
	o.mu.Lock()
	q.finished = true
	named := o.named(q)
	o.mu.Unlock()
	result := "done"
	if a.err != nil {
		result = a.err.Error()
	}
	if a.login != nil && !slices.Contains(named, a.login) {
		named = append(named, a.login)
	}
	names := ""
	for _, l := range named {
		names += fmt.Sprintf(" login %d,", l.number)
	}
	f.note("request %d to node %d: %s: %d,%s version %d; %s; took %v %v", q.number, q.node, q.note, a.status, names, a.version, result, a.duration, q.mishaps)
	f.count("answers: " + q.note + " " + http.StatusText(a.status))
	for _, c := range a.cookies {
		switch {
		case c.MaxAge <= 0 && a.act != "end":
			o.complain(q, a.login, "%s deletes the cookie %s", a.act, c.Name)
		case c.MaxAge > 0 && a.act != "start" && a.status != http.StatusOK:
			o.complain(q, a.login, "an answer of %d sets the cookie %s", a.status, c.Name)
		}
	}
	status := a.status
	if a.err != nil {
		status = wafer.Status(a.err)
		f.count("answers: " + a.act + " failed: " + http.StatusText(status))
	}
	for _, status := range []int{a.status, status} {
		switch status {
		case http.StatusOK, http.StatusUnauthorized, http.StatusConflict:
		case http.StatusServiceUnavailable:
			if !f.nodes[q.node].way.wasIll(q.begin) {
				o.complain(q, a.login, "unavailable, and no call was hurt: %v", a.err)
			}
		default:
			o.complain(q, a.login, "the status %d: %v", status, a.err)
		}
	}
}

// jar is what a client holds.
type jar struct {
	session, refresh         string
	sessionUntil, tokenUntil time.Time
}

// take is the moment in which the answer arrives.
func (j *jar) take(a *reply) {
	for _, c := range a.cookies {
		until := time.Now().Add(time.Duration(c.MaxAge) * time.Second)
		value := c.Value
		if c.MaxAge <= 0 {
			value = ""
		}
		if c.Name == sessionCookie {
			j.session, j.sessionUntil = value, until
		} else {
			j.refresh, j.tokenUntil = value, until
		}
	}
}

// fresh drops what its Max-Age has ended, as browsers do.
func (j *jar) fresh() jar {
	now := time.Now()
	if !now.Before(j.sessionUntil) {
		j.session = ""
	}
	if !now.Before(j.tokenUntil) {
		j.refresh = ""
	}
	return *j
}

// person is an honest user with a browser.
type person struct {
	fleet   *fleet
	subject string
	jar     jar
	login   *login // nil: not logged in
	expect  int    // the version of its data; 0: it cannot know
}

// visit makes a request. An answer that is lost never reaches the jar.
func (p *person) visit(node int, act string, lost bool) *reply {
	j := p.jar.fresh()
	a := p.fleet.ask(node, j.session, j.refresh, act).serve(act, p.subject)
	p.settle(a, lost)
	return a
}

func (p *person) settle(a *reply, lost bool) {
	o := p.fleet.truth
	if p.login != nil {
		if a.status == http.StatusUnauthorized {
			o.refusedHonest(a.q, p.login)
			p.login = nil
		} else if a.login != nil && a.act != "start" && a.login != p.login {
			o.complain(a.q, a.login, "it was login %d", p.login.number)
		}
	}
	if p.login != nil && a.status == http.StatusOK && p.expect != 0 && a.seen.Version != p.expect {
		o.mu.Lock()
		if !p.login.stolen && !p.login.touched && !p.login.slow {
			o.broken(a.q, p.login, "its data is version %d; it was answered %d", a.seen.Version, p.expect)
		}
		o.mu.Unlock()
	}
	switch {
	case a.act == "end":
		p.login = nil // whatever the answer
	case a.act == "start" && a.err == nil && !lost:
		p.login, p.expect = a.login, a.version
	case a.act == "start" && a.err == nil:
		p.login = nil
	case a.act == "commit" && a.status == http.StatusOK && (a.err != nil || lost):
		p.expect = 0
	case a.act == "save" || a.act == "commit":
		if a.err == nil && !lost && a.login != nil && (a.act == "commit" || p.expect != 0) {
			p.expect = a.version
		}
	}
	if lost {
		p.fleet.count("mishap: an answer to a client lost")
		return
	}
	p.jar.take(a)
	if a.login != nil {
		o.arrived(a.login, a.value(refreshCookie) != "", a.duration)
	}
}

// persist is visit, and again elsewhere after a 503, as Retry-After asks.
func (p *person) persist(nodes []int, act string, lost bool) *reply {
	for i, node := range nodes {
		a := p.visit(node, act, lost)
		unavailable := a.status == http.StatusServiceUnavailable || errors.Is(a.err, wafer.ErrUnavailable)
		if !unavailable || act == "end" || i == len(nodes)-1 {
			return a
		}
		time.Sleep(time.Duration(a.q.number%10+1) * time.Second)
		p.fleet.count("retries after a 503")
	}
	return nil
}
