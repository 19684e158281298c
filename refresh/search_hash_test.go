package refresh_test

import (
	"bytes"
	"crypto/sha256"
	"slices"

	"github.com/waferkit/wafer/store"
)

// fingerprint differs for two worlds that can behave differently. It leaves out
// what cannot matter. Times are ages, up to the age from which they no longer
// count. Generations are counted back from the family's. Of a position it
// includes only which cutoffs are above it. Of the commit that data continues
// from, it includes only whether it is the last. So a family that has advanced
// a hundred times equals one that has advanced twice, and if nothing else is
// counted the search ends by itself.
type fingerprint [16]byte

type printer struct {
	w    *world
	s    *search
	rank []store.Position
	b    []byte
}

func (s *search) fingerprint(w *world) (f fingerprint) {
	p := &s.printer
	*p = printer{w: w, s: s, rank: p.rank[:0], b: p.b[:0]}
	p.ranks()
	p.store()
	for i := range w.jars {
		p.jar(w.jars[i])
	}
	for i := range s.asides {
		p.jar(w.asides[i])
	}
	p.requests()
	p.counted()
	sum := sha256.Sum256(p.b)
	return fingerprint(sum[:16])
}

func (p *printer) byte(b ...byte) { p.b = append(p.b, b...) }

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

// age prints an age, up to the age from which it no longer counts. Time 0 is
// never.
func (p *printer) age(at, most units) {
	if at == 0 {
		p.byte(255)
		return
	}
	p.byte(byte(min(p.w.now-at, most)))
}

// ranks collects every position that others are compared with.
func (p *printer) ranks() {
	w := p.w
	for f := int8(1); f <= w.oracle.families; f++ {
		c := &w.sees.cutoffs[f]
		p.rank = append(p.rank, c.Ending, c.Subject, c.Everyone, c.Floor)
		if !w.oracle.dead[f] {
			p.rank = append(p.rank, c.Superseding, w.sees.families[f].Family.LastCommit)
		}
	}
	for _, e := range w.sees.entries {
		p.rank = append(p.rank, e.Position)
	}
	slices.Sort(p.rank)
	p.rank = slices.Compact(p.rank)
}

func (p *printer) position(at store.Position) {
	n, found := slices.BinarySearch(p.rank, at)
	if found {
		n++
	}
	p.byte(byte(n))
}

func (p *printer) store() {
	w, t := p.w, &p.w.oracle
	p.byte(byte(t.families))
	for f := int8(1); f <= t.families; f++ {
		s, c := &w.sees.families[f], &w.sees.cutoffs[f]
		p.flag(t.dead[f])
		p.byte(byte(s.State))
		p.position(c.Ending)
		p.position(c.Subject)
		p.position(c.Everyone)
		p.position(c.Floor)
		if t.dead[f] && s.State != store.Alive {
			continue
		}
		p.position(c.Superseding)
		p.position(s.Family.Position)
		p.position(s.Family.LastCommit)
		p.position(t.top[f])
		if s.Family.Value != nil {
			p.flag(s.Family.Value[0] == t.committed[f])
		}
		n := s.Family.Generation
		p.byte(byte(min(n-1, 1)), p.forgiven(n, s.Family.Forgiven), p.forgiven(n, t.forgiven[f]))
		p.byte(byte(min(w.now-units(s.Family.Issued.Sub(issued)/searchUnit), halfUnits)))
		p.age(t.at[f], graceUnits)
		if w.twisted[f] != 0 {
			p.age(w.twisted[f], halfUnits)
		}
	}
	for _, e := range w.sees.entries {
		p.position(e.Position)
		p.byte(byte(e.Kind), e.Session[1], byte(min(w.now-units(e.Time.Sub(issued)/searchUnit), accessUnits+1)))
	}
}

func (p *printer) forgiven(n, g uint32) byte {
	switch g {
	case 0:
		return 0
	case n - 1:
		return 1
	}
	return 2
}

// back prints how far a generation is behind its family's; 3 and more are one.
func (p *printer) back(family int8, generation uint32) {
	p.byte(byte(min(int64(p.w.generation(family))-int64(generation), 3)))
}

func (p *printer) cookie(c sealed) {
	p.byte(byte(c.family))
	if c.family == 0 {
		return
	}
	p.back(c.family, c.generation)
	p.position(c.at)
	p.datum(c.family, c.data)
	p.byte(byte(max(0, c.expires-p.w.now)))
	if p.s.staleSaves || p.s.staleLiteral {
		p.back(c.family, c.sealed)
	}
	if p.s.twist.saveLife {
		p.age(c.minted, accessUnits)
	}
}

func (p *printer) datum(family int8, d datum) {
	p.flag(d.present, d.commit == p.w.oracle.committed[family])
}

func (p *printer) token(t token) {
	p.byte(byte(t.family))
	if t.family != 0 {
		p.back(t.family, t.generation)
	}
}

func (p *printer) jar(j jar) {
	p.cookie(j.cookie)
	p.token(j.token)
}

// requests prints the requests in flight, in an order that does not depend on
// their slots.
func (p *printer) requests() {
	rest := p.b
	var all [][]byte
	for i := range p.w.requests {
		r := &p.w.requests[i]
		if r.phase == unused {
			continue
		}
		p.b = nil
		p.request(r)
		all = append(all, p.b)
	}
	slices.SortFunc(all, bytes.Compare)
	p.b = rest
	for _, b := range all {
		p.byte(b...)
	}
	p.byte(254)
}

func (p *printer) request(r *request) {
	p.byte(byte(r.phase), r.who)
	p.flag(r.late, r.beside, r.alone && p.s.neverLost)
	if p.s.prompt != 0 {
		p.age(r.sent, accessUnits+halfUnits)
	}
	if r.phase != answered {
		p.byte(byte(r.kind))
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
	p.byte(w.lost, w.lates, w.revocations)
	if !p.s.thief {
		return
	}
	d := &w.oracle.theft
	p.age(d.last, halfUnits)
	p.age(d.first, halfUnits)
	p.age(d.honest, graceUnits)
	p.age(d.thief, graceUnits)
	p.age(d.pending, graceUnits)
	p.flag(d.apart, d.shadowed)
	p.byte(d.clear)
}
