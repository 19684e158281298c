package sqlite

import (
	"slices"

	"github.com/waferkit/wafer/store"
)

// subjectQuery walks the families of a subject that have not ended and that the
// cutoffs of the subject and of everyone spare, in the order of Families.
const subjectQuery = "SELECT " + listedColumns + ", " + within + ` FROM families
	WHERE subject = ?3 AND ended = 0 AND birth >= ?4 ORDER BY birth DESC, started DESC, id DESC`

// excess returns the subject's families that exceed the limit beside a new one,
// the last in the order of Families, and at most store.MaxEntries-2 of them. It does not
// count the families in replaced. again is true if there may be more, or if so
// many rows were dead that not all were looked at. The dead are removed.
func (t *tx) excess(c *store.Creation, replaced []store.ID) (ids []store.ID, again bool, err error) {
	cutoff, err := t.subject(c.Subject)
	if err != nil {
		return nil, false, err
	}
	rows, err := t.query(subjectQuery, t.now.UnixMilli(), t.log.everyone, c.Subject, max(cutoff, t.log.everyone))
	if err != nil {
		return nil, false, err
	}
	defer rows.Close()
	var dead []listed
	for alive := 1; rows.Next(); { // 1 is the new one
		var l listed
		var living int64
		if err := l.scan(rows, &living); err != nil {
			return nil, false, err
		}
		switch {
		case len(dead) == store.MaxLooked || len(ids) == store.MaxEntries-2:
			again = true
		case slices.Contains(replaced, l.id):
		case living == 0:
			dead = append(dead, l)
		default:
			if alive++; alive > c.Limit {
				ids = append(ids, l.id)
			}
		}
		if again || len(ids) > 0 && !c.EndOldest {
			break
		}
	}
	if err := rows.Err(); err != nil {
		return nil, false, err
	}
	rows.Close()
	return ids, again, t.bury(dead)
}
