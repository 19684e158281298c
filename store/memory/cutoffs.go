package memory

import (
	"container/list"
	"time"

	"github.com/waferkit/wafer/store"
)

// subjectCutoff is the cutoff of a subject, with the time when it was set.
type subjectCutoff struct {
	subject  string
	position store.Position
	time     time.Time
}

// subjectCutoffs holds one record for each subject that was revoked, the one that
// was revoked first at the front.
type subjectCutoffs struct {
	of    map[string]*list.Element
	order *list.List
}

func newSubjectCutoffs() subjectCutoffs {
	return subjectCutoffs{make(map[string]*list.Element), list.New()}
}

// at returns the cutoff of a subject, or 0.
func (c *subjectCutoffs) at(subject string) store.Position {
	if e := c.of[subject]; e != nil {
		return e.Value.(subjectCutoff).position
	}
	return 0
}

func (c *subjectCutoffs) set(to subjectCutoff) {
	if e := c.of[to.subject]; e != nil {
		c.order.Remove(e)
	}
	c.of[to.subject] = c.order.PushBack(to)
}

// nameCutoffs holds the cutoffs of names that the floor has not passed.
type nameCutoffs struct {
	at    map[store.Name]store.Position
	order []nameCutoff // as they were set; one that was set again is out of date
}

type nameCutoff struct {
	name     store.Name
	position store.Position
}

func (c *nameCutoffs) set(n store.Name, at store.Position) {
	c.at[n] = at
	c.order = append(c.order, nameCutoff{n, at})
}

// highest returns the highest cutoff of the names, or 0.
func (c *nameCutoffs) highest(names []store.Name) (at store.Position) {
	for _, n := range names {
		at = max(at, c.at[n])
	}
	return at
}

// drop forgets the cutoffs that the floor has passed. There are no more of them
// than of entries dropped since the last call.
func (c *nameCutoffs) drop(floor store.Position) {
	for len(c.order) > 0 && c.order[0].position <= floor {
		if n := c.order[0]; c.at[n.name] == n.position {
			delete(c.at, n.name)
		}
		c.order = c.order[1:]
	}
}
