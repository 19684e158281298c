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

// The actions of the fleet's clients.

// reply is the answer to a request.
type reply struct {
	q        *request
	act      string
	status   int   // as Handler judged the request
	err      error // of the act
	seen     tally // the data when the request began
	version  int   // of the data when the request ended
	login    *login
	cookies  []*http.Cookie
	duration time.Duration
}

// serve makes the request and performs act: read, save, commit, others, end or
// start.
func (q *request) serve(act, subject string) *reply {
	a, o, p := &reply{q: q, act: act}, q.oracle, q.process
	before := act == "read" && o.local(q)
	q.act = func(w http.ResponseWriter, r *http.Request) {
		s, err := p.Get(r.Context())
		anew := len(w.Header()["Set-Cookie"]) > 0
		a.status = http.StatusOK
		if err != nil {
			a.status = wafer.Status(err)
		} else {
			if a.seen, err = s.Data(); err != nil {
				o.violation(q, nil, "the data of %v: %v", s, err)
				return
			}
			a.login, a.version = o.checkAccepted(q, s, a.seen, anew), a.seen.Version
		}
		q.perform(a, w, r, subject)
		anew = anew || act == "start" && a.err == nil
		a.cookies = (&http.Response{Header: w.Header()}).Cookies()
		if s, err = p.Get(r.Context()); err == nil {
			o.recordCookies(q, a.value(sessionCookie), a.value(refreshCookie), s, a.version, anew)
		}
	}
	p.handler.ServeHTTP(httptest.NewRecorder(), q.httpRequest())
	a.duration = time.Since(q.begin)
	if before && o.local(q) {
		o.checkLocalRead(q, a.status == http.StatusOK, len(a.cookies))
	}
	if a.status == http.StatusUnauthorized {
		o.checkRefused(q)
	}
	a.check()
	return a
}

func (q *request) perform(a *reply, w http.ResponseWriter, r *http.Request, subject string) {
	o, p, f := q.oracle, q.process, q.oracle.fleet
	if a.act == "end" {
		a.err = p.End(w, r)
		o.checkLogout(q, a.err)
		return
	}
	q.attempts, q.basis = int(f.versions.Add(1)), a.seen.Commits
	if a.act == "start" {
		number := int(f.logins.Add(1))
		if a.err = p.Start(w, r, subject, tally{number, q.attempts, 0}); a.err == nil {
			s, err := p.Get(r.Context())
			if err != nil {
				o.violation(q, nil, "after its own Start: %v", err)
				return
			}
			a.login, a.version = o.recordLogin(q, s, number), q.attempts
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
		o.violation(q, a.login, "after its own %s: %v", a.act, err)
		return
	}
	o.checkWrite(q, a.act, s, a.err)
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

// check checks the rules for every answer, whoever made the request.
func (a *reply) check() {
	q := a.q
	o, f := q.oracle, q.oracle.fleet
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
	f.note("request %d to node %d: %s: %d,%s version %d; %s; took %v %v", q.number, q.node, q.note, a.status, names, a.version, result, a.duration, q.faults)
	f.count("answers: " + q.note + " " + http.StatusText(a.status))
	for _, c := range a.cookies {
		switch {
		case c.MaxAge <= 0 && a.act != "end":
			o.violation(q, a.login, "%s deletes the cookie %s", a.act, c.Name)
		case c.MaxAge > 0 && a.act != "start" && a.status != http.StatusOK:
			o.violation(q, a.login, "an answer of %d sets the cookie %s", a.status, c.Name)
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
			if !f.nodes[q.node].link.hadFault(q.begin) {
				o.violation(q, a.login, "unavailable, and no call met a fault: %v", a.err)
			}
		default:
			o.violation(q, a.login, "the status %d: %v", status, a.err)
		}
	}
}

// cookies are the cookies that a client holds.
type cookies struct {
	session, refresh         string
	sessionUntil, tokenUntil time.Time
	since                    int // the number of the owner's advances when he received the token
}

// receive stores the cookies of an answer that has arrived.
func (j *cookies) receive(a *reply) {
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

// expire drops the cookies whose Max-Age has ended, as browsers do.
func (j *cookies) expire() cookies {
	now := time.Now()
	if !now.Before(j.sessionUntil) {
		j.session = ""
	}
	if !now.Before(j.tokenUntil) {
		j.refresh = ""
	}
	return *j
}

// client is an honest user with a browser.
type client struct {
	fleet   *fleet
	subject string
	cookies cookies
	login   *login // nil if not logged in
	expect  int    // the version of its data; 0 if it cannot know
}

// visit makes a request. The cookies of a lost answer are not stored.
func (c *client) visit(node int, act string, lost bool) *reply {
	j := c.cookies.expire()
	a := c.fleet.newRequest(node, j.session, j.refresh, act).serve(act, c.subject)
	c.settle(a, lost)
	return a
}

func (c *client) settle(a *reply, lost bool) {
	o := c.fleet.oracle
	if c.login != nil {
		if a.status == http.StatusUnauthorized {
			o.checkHonestRefused(a.q, c.login)
			c.login = nil
		} else if a.login != nil && a.act != "start" && a.login != c.login {
			o.violation(a.q, a.login, "it was login %d", c.login.number)
		}
	}
	if c.login != nil && a.status == http.StatusOK && c.expect != 0 && a.seen.Version != c.expect {
		o.mu.Lock()
		if !c.login.stolen && !c.login.touched {
			o.addViolation(a.q, c.login, "its data is version %d; it was answered %d", a.seen.Version, c.expect)
		}
		o.mu.Unlock()
	}
	switch {
	case a.act == "end":
		c.login = nil // whatever the answer is
	case a.act == "start" && a.err == nil && !lost:
		c.login, c.expect = a.login, a.version
	case a.act == "start" && a.err == nil:
		c.login = nil
	case a.act == "commit" && a.status == http.StatusOK && (a.err != nil || lost):
		c.expect = 0
	case a.act == "save" || a.act == "commit":
		if a.err == nil && !lost && a.login != nil && (a.act == "commit" || c.expect != 0) {
			c.expect = a.version
		}
	}
	if lost {
		c.fleet.count("fault: an answer to a client lost")
		return
	}
	c.cookies.receive(a)
	if a.login != nil && a.value(refreshCookie) != "" {
		c.cookies.since = o.recordArrival(a.login)
	}
}

// persist calls visit, and again at other nodes after a 503, as Retry-After
// asks.
func (c *client) persist(nodes []int, act string, lost bool) *reply {
	for i, node := range nodes {
		a := c.visit(node, act, lost)
		unavailable := a.status == http.StatusServiceUnavailable || errors.Is(a.err, wafer.ErrUnavailable)
		if !unavailable || act == "end" || i == len(nodes)-1 {
			return a
		}
		time.Sleep(time.Duration(a.q.number%10+1) * time.Second)
		c.fleet.count("retries after a 503")
	}
	return nil
}
