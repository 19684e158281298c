package refresh_test

import (
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// The world that the search walks through: a browser, a second party (a thief,
// or another device of the same user), their requests under way, and a store.
// Time is a whole number of units; the policy is the tightest that
// [refresh.Policy.Check] allows.
const (
	searchUnit = time.Second

	graceUnits  units = 5
	halfUnits   units = 2 * graceUnits
	accessUnits units = 2 * halfUnits
	promptUnits units = (graceUnits - 1) / 2 // less than half the grace
)

var tight = refresh.Policy{Access: searchTime(accessUnits), Grace: searchTime(graceUnits)}

func searchTime(n units) time.Duration { return time.Duration(n) * searchUnit }

type units = int32

const (
	maxFamilies = 4 // families are counted from 1
	maxFlights  = 4
	maxAsides   = 2
)

// The parties.
const (
	honest = 0
	other  = 1
)

// sealed is a session cookie. Its family is 0 if there is none.
type sealed struct {
	family     int8
	generation uint32
	at         store.Position
	expires    units
	data       datum

	minted units  // when the store last answered for it
	sealed uint32 // the family's generation when it was sealed
}

// datum is a session's data: the commit from which it continues.
type datum struct {
	commit  uint8
	present bool
}

// token is a refresh token. Its family is 0 if there is none.
type token struct {
	family     int8
	generation uint32
}

type jar struct {
	cookie sealed
	token  token
}

// kind is the purpose of a request.
type kind uint8

const (
	read    kind = iota
	force        // a refresh that does not wait until the session cookie is due
	upgrade      // a request whose answer carries no cookies
	save
	commit
	endOthers
	renew
	logout
	login
)

func (k kind) String() string {
	return [...]string{"read", "refresh", "upgrade", "Save", "Commit", "EndOthers", "Renew", "logout", "login"}[k]
}

// phase is the server's progress with a request.
type phase uint8

const (
	unused   phase = iota
	sent           // under way to the server
	settled        // a refresh is due, and its data is settled
	attached       // the handler has its session
	answered       // the answer is under way
)

// request is one request of a browser, from its sending to its answer.
type request struct {
	phase  phase
	who    uint8
	kind   kind
	late   bool // it has been under way for longer than is prompt
	beside bool // one that was late was under way beside it
	alone  bool // nothing else was, from its sending on
	sent   units

	brings  jar
	basis   store.Position // of the data that is settled
	data    datum
	carried bool   // by the cookie that it brings
	session sealed // as the handler has it
	sets    answer
}

// answer is the Set-Cookie lines of a response. A cookie of family 0 under a
// set name deletes.
type answer struct {
	setsCookie, setsToken bool
	cookie                sealed
	token                 token
}

func (a *answer) setCookie(c sealed) { a.setsCookie, a.cookie = true, c }
func (a *answer) setToken(t token)   { a.setsToken, a.token = true, t }

// world is one state. It is copied by assignment.
type world struct {
	now      units
	jars     [2]jar
	asides   [maxAsides]jar // what the owner has kept
	requests [maxFlights]request
	log      *written // the writes to the store, from the beginning
	sees     *seen    // the state of the store after them
	readAt   *written // when that was read
	oracle   oracle
	twisted  [maxFamilies]units // for rules that are broken on purpose

	lost, lates, revocations uint8
	stolen                   bool
}

// seen is the part of the store's state that is compared. Worlds share it.
type seen struct {
	families [maxFamilies]store.Snapshot
	cutoffs  [maxFamilies]store.Cutoffs
	entries  []store.Entry // only if entries are dropped
}

// generation returns a family's current generation.
func (w *world) generation(family int8) uint32 { return w.sees.families[family].Family.Generation }

// flights counts a party's requests under way.
func (w *world) flights(who uint8) (n int) {
	for i := range w.requests {
		if w.requests[i].phase != unused && w.requests[i].who == who {
			n++
		}
	}
	return n
}

func familyID(family int8) store.ID { return store.ID{0xfa, byte(family)} }

func familyOf(id store.ID) int8 { return int8(id[1]) }

// arrive puts an answer into its browser's jar. Under each name the last to
// arrive counts.
func (w *world) arrive(r *request) {
	j := &w.jars[r.who]
	if r.sets.setsCookie {
		j.cookie = r.sets.cookie
	}
	if r.sets.setsToken {
		j.token = r.sets.token
	}
}
