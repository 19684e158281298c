package faulttest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"time"

	"github.com/waferkit/wafer"
)

// jar holds a browser's cookies.
type jar struct{ session, refresh string }

// Browser is the browser of an honest user. It is safe for concurrent use. It makes
// one request at a time, except for two tabs that read at once.
type Browser struct {
	world    *World
	resident bool
	subject  string
	guest    string // the guest's name, or "" if it is not a guest

	mu     sync.Mutex
	jar    jar
	login  *login  // nil if not logged in
	expect tally   // the data of its last answer
	kept   tally   // the last committed data, or zero
	maybe  []tally // data of commits that returned an error

	// The cookie from before the last commit, for "put back".
	old     string
	oldSeen tally
	keptBy  ack
}

// Browser returns another browser, for a subject. It is not logged in.
func (w *World) Browser(subject string) *Browser { return &Browser{world: w, subject: subject} }

// Do makes one request to a node and returns the status. act is one of:
//
//   - "start", "read", "save", "commit" or "end"
//   - "others": EndOthers
//   - "forget": read without the session cookie; the committed data must be there
//   - "put back": read with the cookie from before the last commit
//
// The status is 200, 503, 401 if the session may be over, 409, or 0 if the node is
// down. The observer judges the answer before Do returns.
func (b *Browser) Do(node int, act string) int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.visit(node, act).status
}

// response is the result of a request.
type response struct {
	attached  bool  // Handler found the session
	status    int   // of Handler's judgement, then of the act
	err       error // of either
	cookies   []*http.Cookie
	login     *login // set by Start
	seen, put tally
	refreshed bool        // the session was refreshed before the act
	unsure    *revocation // returned an error
}

func (a *response) setError(err error) {
	a.status, a.err = http.StatusOK, err
	if err != nil {
		a.status = wafer.Status(err)
	}
}

// visit makes a request. The caller holds the browser's lock.
func (b *Browser) visit(node int, act string) *response {
	q := b.newRequest(node, act)
	a := b.send(q)
	if a.status == 0 {
		return a
	}
	b.receive(q, a)
	if a.unsure != nil {
		b.world.insist(a.unsure, q.owner.subject)
	}
	return a
}

// tabs reads on two nodes at once.
func (b *Browser) tabs(one, other int) {
	type reply struct {
		q *request
		a *response
	}
	replies := make(chan reply, 2)
	for _, q := range []*request{b.newRequest(one, "read"), b.newRequest(other, "read")} {
		go func() { replies <- reply{q, b.send(q)} }()
	}
	for range 2 {
		// The answers count in the order in which they arrive.
		r := <-replies
		if time.Since(r.q.begin) > b.world.config.Grace/2 && r.q.owner != nil {
			b.world.mu.Lock()
			r.q.owner.slow = true
			b.world.mu.Unlock()
		}
		if r.a.status != 0 && r.q.owner == b.login {
			b.receive(r.q, r.a)
		}
	}
}

// newRequest returns a request with what the browser holds now.
func (b *Browser) newRequest(node int, act string) *request {
	q := &request{
		node: b.world.nodes[node], what: act, browser: b, owner: b.login,
		jar: b.jar, expect: b.expect, maybe: slices.Clone(b.maybe), subject: b.subject,
	}
	if act == "start" && b.guest != "" {
		// A guest returns under another name each second. Otherwise each
		// revocation would cover most of the dead sessions too, and reach more
		// nodes.
		q.subject = fmt.Sprintf("%s.%d", b.guest, time.Since(b.world.began)/time.Second)
	}
	switch act {
	case "forget":
		q.jar.session, q.expect = "", b.kept
	case "put back":
		q.jar.session, q.expect, q.old, q.keptBy = b.old, b.kept, b.oldSeen, b.keptBy
	}
	return q
}

// send makes a request to its node, and checks what holds of every answer.
func (b *Browser) send(q *request) *response {
	n, a := q.node, new(response)
	if !n.mu.TryRLock() {
		return a
	}
	defer n.mu.RUnlock()
	if n.sessions == nil {
		return a
	}
	q.begin = time.Now()
	q.act = func(rw http.ResponseWriter, r *http.Request) {
		s, err := n.sessions.Get(r.Context())
		a.setError(err)
		a.refreshed = len(rw.Header()["Set-Cookie"]) > 0
		if err == nil {
			if a.seen, err = s.Data(); err != nil {
				a.setError(err)
				return
			}
			b.world.accepted(q, s.ID, s.Subject, a.seen)
		}
		a.attached = err == nil
		b.act(q, a, rw, r)
		a.cookies = (&http.Response{Header: rw.Header()}).Cookies()
	}
	n.handler.ServeHTTP(httptest.NewRecorder(), q.http())
	b.judge(q, a)
	return a
}

// act performs the request's act.
func (b *Browser) act(q *request, a *response, rw http.ResponseWriter, r *http.Request) {
	w, s, act := b.world, q.node.sessions, q.what
	switch {
	case act == "start":
		a.put = tally{Login: w.numbers.Add(1)}
		a.setError(s.Start(rw, r, q.subject, a.put))
		if a.status == http.StatusOK {
			begun, _ := s.Get(r.Context())
			a.login = w.begun(q, begun.ID, a.put.Login)
			if q.owner != nil {
				w.loggedOut(q, q.owner, nil) // the new session replaces it
			}
		}
	case act == "end":
		a.setError(s.End(rw, r))
		if q.owner != nil {
			w.loggedOut(q, q.owner, a.err)
		}
	case a.status != http.StatusOK || act == "read" || act == "forget" || act == "put back":
	case act == "save":
		a.put = a.seen
		a.put.Saves++
		a.setError(s.Save(rw, r, a.put))
	case act == "commit":
		a.put = a.seen
		a.put.Commits++
		a.setError(s.Commit(rw, r, a.put))
	case act == "others":
		mine := q.owner
		v := w.revoking("all else of "+mine.subject+" is logged out", func(l *login) bool { return l.subject == mine.subject && l != mine })
		err := s.EndOthers(rw, r)
		a.setError(err)
		switch {
		case err == nil || errors.Is(err, wafer.ErrEnded): // the others are revoked even with ErrEnded
			w.revoked(v, q.node, nil)
		case a.status == http.StatusServiceUnavailable:
			w.revoked(v, q.node, err)
			a.unsure = v
		default:
			w.closed(v) // nothing was revoked
		}
	}
}

// judge checks what must be true of every answer to a browser.
func (b *Browser) judge(q *request, a *response) {
	w, act := b.world, q.what
	w.mu.Lock()
	defer w.mu.Unlock()
	w.counts[fmt.Sprintf("answer: %s %d", act, a.status)]++
	l := q.owner
	if a.login != nil {
		l = a.login
	}
	if l != nil {
		l.note(w, "node %d: %s: %d %+v, refreshed %v, took %v %v", q.node.number, act, a.status, a.seen, a.refreshed, time.Since(q.begin).Round(time.Microsecond), a.err)
		if a.status == http.StatusServiceUnavailable {
			l.lost, l.touched = true, time.Now() // the store may have refreshed it
		}
	}
	for _, c := range a.cookies {
		switch {
		case c.MaxAge < 0 && act != "end":
			w.broken(q, l, "promise 5: the answer deletes %s", c.Name)
		case c.MaxAge > 0 && !a.attached && act != "start":
			w.broken(q, l, "promise 5: an answer without a session sets %s", c.Name)
		}
	}
	conflict := len(q.maybe) > 0 || l != nil && l.doomed != ""
	switch {
	case a.status == http.StatusOK, a.status == http.StatusUnauthorized, a.status == http.StatusServiceUnavailable:
	case a.status == http.StatusConflict && (act == "commit" || act == "others") && conflict:
	case errors.Is(a.err, wafer.ErrExpired) && act == "save": // it expired since Handler's judgement
	default:
		w.broken(q, l, "%s: status %d: %v", act, a.status, a.err)
	}
	if !a.attached || q.owner == nil || q.owner.doomed != "" {
		return
	}
	if act == "put back" && a.seen == q.old && !a.refreshed && !w.binds(q.keptBy, q) {
		return // the commit need not have reached this node yet
	}
	if a.seen != q.expect && !slices.Contains(q.maybe, a.seen) {
		w.broken(q, l, "its data is %+v; its last answer said %+v, and these were tried: %+v", a.seen, q.expect, q.maybe)
	}
}

// receive updates the browser when an answer arrives. The caller holds the browser's
// lock.
func (b *Browser) receive(q *request, a *response) {
	w, l, act := b.world, q.owner, q.what
	for _, c := range a.cookies {
		value := c.Value
		if c.MaxAge < 0 {
			value = ""
		}
		if c.Name == sessionCookie {
			b.jar.session = value
		} else {
			b.jar.refresh = value
		}
	}
	if a.attached && l != nil {
		if a.refreshed || a.status != http.StatusOK || act == "commit" || act == "others" {
			w.wrote(l)
		}
		if slices.Contains(q.maybe, a.seen) {
			b.expect, b.kept, b.maybe, b.old = a.seen, a.seen, nil, ""
		} else if act == "forget" || act == "put back" && a.refreshed {
			b.expect = a.seen
		}
	}
	switch {
	case act == "end", a.status == http.StatusUnauthorized:
		if a.status == http.StatusUnauthorized && l != nil && act != "end" {
			w.refused(q)
		}
		b.login, b.jar = nil, jar{}
	case act == "start" && a.login != nil:
		b.login, b.expect, b.kept, b.maybe = a.login, a.put, tally{}, nil
		b.old = ""
	case act == "start" && l != nil:
		w.doomedBy(l, "a login that returned an error may have replaced it")
	case act == "save" && a.status == http.StatusOK:
		b.expect = a.put
	case act == "commit" && a.status == http.StatusOK:
		b.expect, b.kept, b.maybe = a.put, a.put, nil
		// It is the cookie's data, not what the request has seen: a refresh may have
		// come before the commit.
		b.old, b.oldSeen, b.keptBy = q.jar.session, q.expect, ack{q.node.number, q.node.life, time.Now()}
	case act == "commit" && a.attached && a.status == http.StatusServiceUnavailable:
		b.maybe = append(b.maybe, a.put)
	}
	if b.login != nil {
		w.mu.Lock()
		b.login.jar = b.jar
		w.mu.Unlock()
	}
}

// browse makes random requests with a browser until stop.
func (w *World) browse(b *Browser, stop <-chan struct{}) {
	r := w.random()
	for !w.pause(stop, pace*(3*time.Millisecond+rand.N(20*time.Millisecond))) {
		node, other := r.IntN(len(w.nodes)), r.IntN(len(w.nodes))
		w.gate.RLock()
		b.mu.Lock()
		switch k := r.IntN(1000); {
		case b.login == nil:
			b.visit(node, "start")
		case k < 500:
			b.visit(node, "read")
		case k < 600 && node != other:
			b.tabs(node, other)
		case k < 650 && b.kept != tally{}:
			b.visit(node, "forget")
		case k < 680 && b.old != "":
			b.visit(node, "put back")
		case k < 750:
			b.visit(node, "save")
		case k < 975 || b.resident:
			b.visit(node, "commit")
		case k < 983:
			b.visit(node, "others")
		case k < 987:
			b.visit(node, "start")
		default:
			b.visit(node, "end")
		}
		b.mu.Unlock()
		w.gate.RUnlock()
	}
}

// pause waits for d, and reports whether the caller is to stop: because stop was
// closed, or because too many promises are broken.
func (w *World) pause(stop <-chan struct{}, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-stop:
		return true
	case <-t.C:
		return w.Broken() > 5
	}
}
