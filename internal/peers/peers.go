// Package peers announces a node to the store, and compares the node's settings
// with those that the other living nodes have announced.
package peers

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/waferkit/wafer/store"
)

const (
	// every is the longest interval between two announcements. A node counts as
	// living for three of them: see store.PeerLife.
	every = time.Minute
	// remindEvery is the shortest interval between two reports of one condition.
	remindEvery = time.Hour
	// behind is for how many announcements in a row another node may have an older
	// or a newer key set. Nodes read theirs about once a minute.
	behind = 5
)

// Setting is a setting that all nodes of an instance should share.
type Setting struct{ Name, Value string }

// Config configures [New]. All fields are required.
type Config struct {
	Announce func(context.Context, store.Announcement) (store.Peers, error)
	// Announcement is what the node announces. Ring, RingVersion, Node and Settings
	// are filled in.
	Announcement store.Announcement
	Settings     []Setting
	// Ring returns the id and the version of the key set that the node has now, or
	// zeroes if it is static.
	Ring    func() (store.ID, uint64)
	Timeout time.Duration // of one announcement
	Now     func() time.Time
	// Alarm reports what an operator should look at, Inform what he may want to
	// know.
	Alarm, Inform func(reason string)
}

// Peers announces one node. New makes the first announcement. After Start a
// goroutine repeats it about once a minute, until Close.
type Peers struct {
	config Config
	node   store.ID
	ahead  time.Duration // of this node's clock: the engine's, when New returned
	stop   context.CancelFunc
	done   chan struct{}

	// The fields below belong to the goroutine.
	reported map[string]time.Time // conditions, and when they were reported last
	apart    map[store.ID]int     // by node: announcements in a row with another version of the ring
}

// Errors of New. Each is wrapped with what the store has.
var (
	ErrRealm = errors.New("the store belongs to another realm")
	ErrRing  = errors.New("the store has seen another key set")
)

// New makes the first announcement of a node. The error matches ErrRealm or
// ErrRing if the store does not belong to this node's realm or key set, or has
// seen a newer version of it; any other is an outage.
func New(ctx context.Context, node store.ID, c Config) (*Peers, error) {
	p := &Peers{config: c, node: node, reported: make(map[string]time.Time), apart: make(map[store.ID]int)}
	known, err := p.announce(ctx)
	if err != nil {
		return nil, fmt.Errorf("the store did not take the announcement of this node: %w", err)
	}
	if err := p.refusal(known); err != nil {
		return nil, err
	}
	if id, version := c.Ring(); known.Ring == id && known.RingVersion > version {
		return nil, fmt.Errorf("%w: version %d of ring %v, and this node's is version %d; an older document was put back: restore the newer one, or, if it is lost, run wafer keys adopt", ErrRing, known.RingVersion, id, version)
	}
	p.ahead = known.Now.Sub(c.Now())
	p.compare(known)
	return p, nil
}

// EngineNow returns the engine's time, as the first announcement showed it.
func (p *Peers) EngineNow() time.Time { return p.config.Now().Add(p.ahead) }

// Start starts the goroutine.
func (p *Peers) Start() {
	var ctx context.Context
	ctx, p.stop = context.WithCancel(context.Background())
	p.done = make(chan struct{})
	go p.run(ctx)
}

// Close stops the goroutine and waits for it.
func (p *Peers) Close() {
	if p.stop != nil {
		p.stop()
		<-p.done
	}
}

func (p *Peers) run(ctx context.Context) {
	defer close(p.done)
	for {
		// The spread keeps the nodes of a fleet from writing all at once.
		timer := time.NewTimer(every - rand.N(every/4))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
		bounded, cancel := context.WithTimeout(ctx, p.config.Timeout)
		known, err := p.announce(bounded)
		cancel()
		if err != nil {
			continue // the requests report an outage
		}
		if err := p.refusal(known); err != nil {
			p.alarm(err.Error())
		}
		p.compare(known)
	}
}

func (p *Peers) announce(ctx context.Context) (store.Peers, error) {
	a := p.config.Announcement
	a.Node, a.Settings = p.node, format(p.config.Settings)
	a.Ring, a.RingVersion = p.config.Ring()
	return p.config.Announce(ctx, a)
}

// refusal returns why the store did not accept the announcement, and what to do.
func (p *Peers) refusal(known store.Peers) error {
	if known.Accepted {
		return nil
	}
	if realm := p.config.Announcement.Realm; known.Realm != realm {
		return fmt.Errorf("%w: it belongs to %q, and this node's is %q; give each application a file, schema or name of its own, or, if the realm was renamed or mistyped, run wafer realm set", ErrRealm, known.Realm, realm)
	}
	id, _ := p.config.Ring()
	return fmt.Errorf("%w: its ring is %v, and this node's is %v; give this node the ring that the others have, or, if it was replaced on purpose, run wafer keys adopt", ErrRing, known.Ring, id)
}

// compare reports in what the other living nodes differ from this one.
func (p *Peers) compare(known store.Peers) {
	id, version := p.config.Ring()
	apart := make(map[store.ID]int)
	for _, other := range known.Nodes {
		if other.Instance != p.config.Announcement.Instance {
			p.inform(fmt.Sprintf("other nodes use the store for the session cookie %q; their users share one list of devices and one limit with this node's", other.Instance))
			continue
		}
		for _, differs := range difference(p.config.Settings, Parse(other.Settings)) {
			p.alarm(fmt.Sprintf("nodes differ in %s: %s here, %s on another; give every node the same value", differs.name, differs.here, differs.there))
		}
		switch {
		case other.Ring.IsZero() || id.IsZero():
			// One of the two has static secrets: the fleet moves from these to a ring.
		case other.Ring != id:
			p.alarm(fmt.Sprintf("nodes differ in their key set: ring %v here, %v on another; sessions of one are not accepted by the other", id, other.Ring))
		case other.RingVersion != version:
			if apart[other.Node] = p.apart[other.Node] + 1; apart[other.Node] >= behind {
				p.alarm(fmt.Sprintf("nodes have had different versions of the key set for minutes: %d here, %d on another; see which of them cannot read it", version, other.RingVersion))
			}
		}
	}
	p.apart = apart
}

func (p *Peers) alarm(reason string) {
	if p.due(reason) {
		p.config.Alarm(reason)
	}
}

// inform reports a condition once.
func (p *Peers) inform(reason string) {
	if _, before := p.reported[reason]; !before && p.due(reason) {
		p.config.Inform(reason)
	}
}

// maxReported bounds the conditions that are remembered. They come from what other
// nodes announce.
const maxReported = 1000

// due reports whether a condition is to be reported now, and remembers that it
// was.
func (p *Peers) due(condition string) bool {
	now := p.config.Now()
	if last, before := p.reported[condition]; before && now.Sub(last).Abs() < remindEvery {
		return false
	}
	if len(p.reported) >= maxReported {
		clear(p.reported)
	}
	p.reported[condition] = now
	return true
}

// differing is a setting that has another value on another node.
type differing struct{ name, here, there string }

// difference returns the settings that have other values there. A setting that
// only one of the two releases knows is no difference.
func difference(here []Setting, there map[string]string) (list []differing) {
	for _, s := range here {
		if value, known := there[s.Name]; known && value != s.Value {
			list = append(list, differing{s.Name, s.Value, value})
		}
	}
	return list
}

// format returns settings as lines of the form name=value.
func format(settings []Setting) string {
	var b strings.Builder
	for _, s := range settings {
		fmt.Fprintf(&b, "%s=%s\n", s.Name, s.Value)
	}
	return b.String()
}

// Parse returns the settings that a node announced. It skips what is of another
// form.
func Parse(text string) map[string]string {
	settings := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, found := strings.Cut(strings.TrimSuffix(line, "\n"), "="); found {
			settings[name] = value
		}
	}
	return settings
}
