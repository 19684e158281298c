package refresh_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"slices"

	"github.com/waferkit/wafer/store"
)

// fingerprint differs for two worlds that can behave differently. It leaves out
// what cannot matter. Times are ages, up to the age from which they no longer
// count. Of a refresh token it includes how far its generation is behind, and what
// the table asks about its copy. (It also includes whether that is 0, which matters
// only if a rule is broken.) Of a position it includes only which cutoffs are above
// it. Of the commit that data continues from, it includes only whether it is the
// last. So a family that has advanced a hundred times equals one that has
// advanced twice, and if nothing else is counted the search ends by itself.
type fingerprint [16]byte

type printer struct {
	w      *world
	s      *search
	rank   []store.Position
	copies [maxFamilies][]uint16 // of the current generation, that somebody holds
	b      []byte
	parts  [maxFlights][]byte
}

func (s *search) fingerprint(w *world) (f fingerprint) {
	p := &s.printer
	p.w, p.s, p.rank, p.b = w, s, p.rank[:0], p.b[:0]
	p.ranks()
	p.held()
	p.shelf(&w.shelf)
	if s.goesBack {
		p.flag(w.backedUp, w.wentBack)
		if w.backedUp && !w.wentBack {
			p.shelf(w.backup)
		}
	}
	for i := range w.jars {
		p.jar(w.jars[i])
	}
	if s.thief {
		p.jar(w.loot)
	}
	for i := range s.asides {
		p.flag(w.asides[i].used)
		p.jar(w.asides[i].jar)
		if s.freshAsides {
			p.byte(w.asides[i].renewed)
		}
	}
	p.requests()
	p.counted()
	sum := sha256.Sum256(p.b)
	return fingerprint(sum[:16])
}

func (p *printer) byte(b ...byte) { p.b = append(p.b, b...) }

func (p *printer) number(n uint16) { p.byte(byte(n>>8), byte(n)) }

func (p *printer) flag(flags ...bool) {
	var b byte
	for _, f := range flags {
		b <<= 1
		if f {
			b |= 1
		}
	}
	p.byte(b)
}

// age prints an age, up to the age from which it no longer counts.
func (p *printer) age(since, most units) { p.byte(byte(int8(min(since, most)))) }

// ranks collects every position that others are compared with.
func (p *printer) ranks() {
	s := &p.w.shelf
	p.rank = append(p.rank, s.subject, s.everyone, s.floor, s.head)
	for f := int8(1); f <= p.w.oracle.families; f++ {
		p.rank = append(p.rank, s.ending[f], s.superseding[f], s.rows[f].committed)
	}
	slices.Sort(p.rank)
	p.rank = slices.Compact(p.rank)
}

func (p *printer) position(at store.Position) {
	if p.s.goesBack {
		// Positions that were lost are compared with those of new entries.
		p.b = binary.BigEndian.AppendUint64(p.b, uint64(at)-uint64(unitTime(p.w.clock()).UnixMicro()))
		return
	}
	n, found := slices.BinarySearch(p.rank, at)
	if found {
		n++
	}
	p.byte(byte(n))
}

// held collects the copies of each family's generation that somebody holds, to tell
// them apart.
func (p *printer) held() {
	for f := range p.copies {
		p.copies[f] = p.copies[f][:0]
	}
	hold := func(t token) {
		if t.family != 0 && t.generation == p.w.oracle.rows[t.family].n && !slices.Contains(p.copies[t.family], t.copied) {
			p.copies[t.family] = append(p.copies[t.family], t.copied)
		}
	}
	for i := range p.w.jars {
		hold(p.w.jars[i].token)
	}
	hold(p.w.loot.token)
	for i := range p.w.asides {
		hold(p.w.asides[i].token)
	}
	for i := range p.w.requests {
		hold(p.w.requests[i].brings.token)
		hold(p.w.requests[i].sets.token)
	}
	for f := range p.copies {
		slices.Sort(p.copies[f])
	}
}

func (p *printer) shelf(sh *shelf) {
	w, t := p.w, &p.w.oracle
	p.byte(byte(t.families))
	p.position(sh.subject)
	p.position(sh.everyone)
	p.position(sh.floor)
	p.position(sh.head)
	for f := int8(1); f <= t.families; f++ {
		r, k, state := &sh.rows[f], &t.rows[f], sh.state(f)
		p.flag(t.dead[f], r.native)
		p.byte(byte(state))
		p.position(sh.ending[f])
		if t.dead[f] && state != store.Alive && !p.s.goesBack {
			continue
		}
		p.position(sh.superseding[f])
		p.position(r.birth)
		p.position(r.position)
		p.position(r.committed)
		p.position(t.top[f])
		p.flag(r.value == t.committed[f], k.n == 1, k.k == 0, k.a == 0)
		p.flag(r.counts, r.changed, k.counts, k.changed)
		p.byte(byte(r.key), byte(k.key))
		p.byte(byte(r.n-k.n), byte(r.k-k.k), byte(r.a-k.a))
		most := max(p.s.half(), p.s.idle) + units(p.s.jumps-w.jumps)*p.s.jump
		p.age(w.clock()-r.issued, most)
		p.age(w.clock()-k.t, most)
		p.byte(byte(max(0, int(k.k)-store.MaxCopy+4)))
		if p.s.goesBack {
			p.number(k.n)
			p.number(k.k)
			p.number(k.a)
		}
	}
}

// back prints how far a generation is behind its family's, up to a number of
// generations.
func (p *printer) back(family int8, generation uint16, most int) {
	if p.s.goesBack {
		p.number(generation)
		return
	}
	p.byte(byte(min(int(p.w.oracle.rows[family].n)-int(generation), most)))
}

func (p *printer) cookie(c sealed) {
	p.byte(byte(c.family))
	if c.family == 0 {
		return
	}
	p.back(c.family, c.generation, 3)
	p.position(c.at)
	p.datum(c.family, c.data)
	p.byte(byte(max(0, c.expires-p.w.now)))
	if p.s.staleSaves || p.s.staleLiteral {
		p.back(c.family, c.sealed, 3)
	}
	if p.s.twist.saveLife {
		p.age(p.w.now-c.minted, p.s.access())
	}
}

func (p *printer) datum(family int8, d datum) {
	p.flag(d.present, d.commit == p.w.oracle.committed[family])
}

func (p *printer) token(t token) {
	p.byte(byte(t.family))
	if t.family == 0 {
		return
	}
	p.back(t.family, t.generation, 2)
	k := &p.w.oracle.rows[t.family]
	switch {
	case p.s.goesBack:
		p.number(t.copied)
	case t.generation == k.n:
		n, _ := slices.BinarySearch(p.copies[t.family], t.copied)
		p.byte(byte(n), byte(min(k.k-t.copied, lies)))
		p.flag(t.copied == 0)
	case t.generation+1 == k.n:
		p.flag(t.copied == k.a, t.copied == 0)
	}
}

func (p *printer) jar(j jar) {
	p.cookie(j.cookie)
	p.token(j.token)
}

// requests prints the requests in flight, in an order that does not depend on
// their slots.
func (p *printer) requests() {
	rest, n := p.b, 0
	for i := range p.w.requests {
		r := &p.w.requests[i]
		if r.phase == unused {
			continue
		}
		p.b = p.parts[n][:0]
		p.request(r)
		p.parts[n] = p.b
		n++
	}
	slices.SortFunc(p.parts[:n], bytes.Compare)
	p.b = rest
	for _, b := range p.parts[:n] {
		p.byte(b...)
	}
	p.byte(254)
}

func (p *printer) request(r *request) {
	p.byte(byte(r.phase), r.who)
	p.flag(r.alone && (p.s.neverLost || p.s.sum != 0))
	if p.s.prompt != 0 || p.s.sum != 0 {
		p.age(p.w.now-r.sent, 120)
	}
	if p.s.sum != 0 {
		p.age(r.beside, 120)
	}
	if r.phase != answered {
		p.byte(byte(r.kind), byte(r.proof))
		p.jar(r.brings)
	}
	if r.phase == settled {
		p.position(r.basis)
		p.datum(r.brings.token.family, r.data)
		p.flag(r.carried)
	}
	if r.phase == attached {
		p.cookie(r.session)
	}
	p.flag(r.sets.setsCookie, r.sets.setsToken)
	p.cookie(r.sets.cookie)
	p.token(r.sets.token)
}

func (p *printer) counted() {
	w := p.w
	p.flag(w.stolen)
	p.byte(w.lost, w.revocations, w.floors, w.jumps, w.changes)
	if p.s.jumps > 0 {
		p.byte(byte(w.behind))
	}
	if p.s.gap != 0 {
		p.age(w.now-w.active, p.s.gap)
	}
	if !p.s.thief {
		return
	}
	d := &w.oracle.theft
	p.flag(d.shadowed, d.met, d.writer == honest)
	p.byte(byte(d.from))
	if w.stolen && (!d.shadowed || p.s.inTheGrace) {
		p.byte(d.advances)
		if p.s.thiefSpaced != 0 && d.spaced != 0 && !d.met {
			p.byte(d.spaced)
			p.age(w.now-d.last, p.s.half())
		}
	}
}
