//go:build unix

package testserver

import (
	"net"
	"sync"
	"testing"
)

// Fault is what a [Proxy] does to the traffic that it carries.
type Fault int

const (
	// Pass carries everything.
	Pass Fault = iota
	// LoseRequest cuts the connection at a request, before any of it is passed on.
	LoseRequest
	// HalfRequest cuts the connection after passing on half of a request.
	HalfRequest
	// LoseAnswer passes a request on and cuts the connection at its answer.
	LoseAnswer
	// HalfAnswer cuts the connection after passing on half of an answer.
	HalfAnswer
	// Hang keeps connections open and carries nothing until the fault changes.
	Hang
	// Refuse closes all connections and accepts none.
	Refuse
)

// Proxy is a TCP proxy in front of a server. It is safe for concurrent use.
type Proxy struct {
	Addr string
	l    net.Listener

	mu      sync.Mutex
	target  string
	fault   Fault
	once    bool          // the fault ends after it has happened once
	changed chan struct{} // closed when the fault changes
	open    map[net.Conn]bool
	closed  bool
	done    sync.WaitGroup
	cuts    int // the number of connections that a fault has cut
}

// NewProxy starts a proxy to target, a host and port, on a free port of the loopback
// interface. The test's end ends it.
func NewProxy(tb testing.TB, target string) *Proxy {
	tb.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	p := &Proxy{Addr: l.Addr().String(), target: target, l: l, changed: make(chan struct{}), open: make(map[net.Conn]bool)}
	p.done.Go(p.accept)
	tb.Cleanup(p.close)
	return p
}

// Set sets the fault from now on.
func (p *Proxy) Set(f Fault) { p.set(f, false) }

// Once sets the fault for the next request or answer. The proxy then carries
// everything again.
func (p *Proxy) Once(f Fault) { p.set(f, true) }

func (p *Proxy) set(f Fault, once bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault, p.once = f, once
	close(p.changed)
	p.changed = make(chan struct{})
	if f == Refuse {
		p.closeAll()
	}
}

// Point directs new connections to another server, and cuts those that are open.
func (p *Proxy) Point(target string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.target = target
	p.closeAll()
}

// Cuts returns how many connections a fault has cut at a request or an answer.
func (p *Proxy) Cuts() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cuts
}

// CutAll closes all connections. The proxy still accepts new ones.
func (p *Proxy) CutAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closeAll()
}

func (p *Proxy) closeAll() {
	for c := range p.open {
		c.Close()
	}
}

func (p *Proxy) close() {
	p.l.Close()
	p.mu.Lock()
	p.closed = true
	close(p.changed)
	p.changed = make(chan struct{})
	p.closeAll()
	p.mu.Unlock()
	p.done.Wait()
}

func (p *Proxy) accept() {
	for {
		client, err := p.l.Accept()
		if err != nil {
			return
		}
		p.mu.Lock()
		target := p.target
		p.mu.Unlock()
		server, err := net.Dial("tcp", target)
		if err != nil || !p.keep(client, server) {
			client.Close()
			if err == nil {
				server.Close()
			}
			continue
		}
		cut := sync.OnceFunc(func() {
			client.Close()
			server.Close()
			p.forget(client, server)
		})
		p.done.Go(func() {
			defer cut()
			p.carry(server, client, LoseRequest, HalfRequest)
		})
		p.done.Go(func() {
			defer cut()
			p.carry(client, server, LoseAnswer, HalfAnswer)
		})
	}
}

func (p *Proxy) keep(conns ...net.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.closed || p.fault == Refuse {
		return false
	}
	for _, c := range conns {
		p.open[c] = true
	}
	return true
}

func (p *Proxy) forget(conns ...net.Conn) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		delete(p.open, c)
	}
}

// carry copies one direction until the connection ends or a fault cuts it.
func (p *Proxy) carry(to, from net.Conn, lose, half Fault) {
	buffer := make([]byte, 64<<10)
	for {
		n, err := from.Read(buffer)
		if err != nil {
			return
		}
		switch p.now(lose, half) {
		case lose:
			return
		case half:
			to.Write(buffer[:n/2])
			return
		}
		if _, err := to.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// now returns the fault for the data that was just read. It waits while the fault is
// Hang.
func (p *Proxy) now(lose, half Fault) Fault {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.fault == Hang && !p.closed {
		changed := p.changed
		p.mu.Unlock()
		<-changed
		p.mu.Lock()
	}
	f := p.fault
	if f != lose && f != half {
		return Pass
	}
	p.cuts++
	if p.once {
		p.fault, p.once = Pass, false
	}
	return f
}
