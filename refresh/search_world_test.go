package refresh_test

import (
	"time"

	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// The world that the search walks through: a browser or a native client, a second
// party (a thief, or another device of the same user), their requests under way,
// and a store. Time is a whole number of units.
const (
	searchUnit = time.Second

	graceUnits  units = 5
	halfUnits   units = 2 * graceUnits
	accessUnits units = 2 * halfUnits
	promptUnits units = (graceUnits - 1) / 2 // less than half the grace
	skewUnits   units = 1
)

// tight is the tightest policy that [refresh.Policy.Check] allows. wide is one in
// which a token lags by three copies before it is due by time.
var (
	tight = refresh.Policy{Access: searchTime(accessUnits), Grace: searchTime(graceUnits), Skew: searchTime(skewUnits)}
	wide  = refresh.Policy{Access: searchTime(10 * graceUnits), Grace: searchTime(graceUnits), Skew: searchTime(skewUnits)}
)

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
	at         store.Position
	minted     units // when the store last answered for it
	expires    units
	generation uint16
	sealed     uint16 // the family's generation when it was sealed
	family     int8
	data       datum
}

// datum is a session's data: the commit from which it continues.
type datum struct {
	commit  uint8
	present bool
}

// token is a refresh token. Its family is 0 if there is none.
type token struct {
	family     int8
	generation uint16
	copied     uint16
}

// proof is by which key a request has a live proof.
type proof uint8

const (
	noProof      proof = iota
	deviceProof        // by the key that the owner's device holds
	strangeProof       // by the thief's own
)

func (p proof) key() (k store.Key) {
	k[0] = byte(p)
	return k
}

func proofOf(k store.Key) proof { return proof(k[0]) }

type jar struct {
	cookie sealed
	token  token
}

// aside is a jar that the owner has kept.
type aside struct {
	jar
	used    bool
	renewed uint8 // how many new tokens have reached the jar since, up to 3
}

// kind is the purpose of a request.
type kind uint8

const (
	read      kind = iota
	force          // a refresh that does not wait until the session cookie is due
	upgrade        // a request whose answer carries no cookies
	wrongDoor      // a refresh where the other kind of client refreshes
	save
	commit
	endOthers
	renew
	logout
	login
)

func (k kind) String() string {
	return [...]string{"read", "refresh", "upgrade", "refresh at the other door", "Save", "Commit", "EndOthers", "Renew", "logout", "login"}[k]
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
	proof  proof
	alone  bool // nothing else of its party was under way when it was sent, or since
	sent   units
	beside units // the longest round trip that overlapped and is over

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
	behind   units // how far the engine's clock was set back
	jars     [2]jar
	loot     jar // as it was stolen
	asides   [maxAsides]aside
	requests [maxFlights]request
	shelf    shelf
	backup   *shelf // the store of an earlier moment; it does not change
	oracle   oracle

	lost, revocations, floors, jumps uint8
	changes                          uint8
	stolen, backedUp, wentBack       bool

	active units // when the honest party last sent a request
}

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
		if r.who == honest && j.token != r.sets.token {
			for i := range w.asides {
				w.asides[i].renewed = min(w.asides[i].renewed+1, 3)
			}
		}
		j.token = r.sets.token
	}
}

// over takes a request out of the world.
func (w *world) over(r *request) {
	took := w.now - r.sent
	*r = request{}
	for i := range w.requests {
		if o := &w.requests[i]; o.phase != unused {
			o.beside = max(o.beside, took)
		}
	}
}
