package main

import (
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// item is something that the shop sells. Anything else can be put into a cart
// too, as a special order.
type item struct {
	ID    string `json:"id"`
	Name  string `json:"name"`
	Text  string `json:"text"`
	Price int    `json:"price"` // in cents
	Tint  string `json:"-"`     // the class of its card's colour
}

var catalogue = []item{
	{"wax", "Sealing wax", "Four sticks in oxblood. Melts evenly, breaks cleanly.", 900, "rose"},
	{"seal", "Brass seal", "A small leaf, cut by hand into a turned handle.", 2400, "sand"},
	{"paper", "Letter paper", "Forty sheets of laid cotton, a deckle on one side.", 1600, "mist"},
	{"envelopes", "Envelopes", "Twenty, lined, with a flap that wants a seal.", 1200, "moss"},
	{"ink", "Iron gall ink", "Goes on grey, stays for three hundred years.", 1400, "mist"},
	{"pen", "Fountain pen", "A steel nib, medium, that forgives left hands.", 4800, "moss"},
	{"wafers", "Almond wafers", "The other kind: a tin of thirty, crisp to the last.", 1100, "sand"},
	{"twine", "Linen twine", "Sixty metres, waxed, for parcels that travel.", 600, "rose"},
}

const (
	maxItem   = 64  // of an item's name, in bytes
	maxCount  = 999 // of one item
	maxCode   = 32  // of a coupon, in bytes
	offCoupon = "WAFER10"
)

func find(id string) (item, bool) {
	for _, i := range catalogue {
		if i.ID == id {
			return i, true
		}
	}
	return item{}, false
}

func (b basket) count() (n int) {
	for _, count := range b.Cart {
		n += count
	}
	return n
}

func (s *shop) showFront(w http.ResponseWriter, r *http.Request) {
	if wantsJSON(r) {
		writeJSON(w, http.StatusOK, map[string]any{"items": catalogue})
		return
	}
	s.page(w, r, http.StatusOK, "front", catalogue)
}

// addToCart puts one more of an item into the cart, or sets its quantity if
// that is given. It is a Save, which does not call the store.
func (s *shop) addToCart(w http.ResponseWriter, r *http.Request, f fields) error {
	id := strings.TrimSpace(f["item"])
	if id == "" || len(id) > maxItem {
		return badRequest("item is missing, or longer than " + strconv.Itoa(maxItem) + " bytes")
	}
	data, err := s.data(r)
	if err != nil {
		return err
	}
	count, note := data.Cart[id]+1, "added"
	if text, given := f["quantity"]; given {
		if count, err = strconv.Atoi(text); err != nil {
			return badRequest("quantity is not a whole number")
		}
		note = "cart"
	}
	if count < 0 || count > maxCount {
		return badRequest("quantity is not from 0 to " + strconv.Itoa(maxCount))
	}
	if count == 0 {
		delete(data.Cart, id)
	} else {
		data.Cart[id] = count
	}
	if err := s.sessions.Save(w, r, data); err != nil {
		return err
	}
	path := "/"
	if f["next"] == "/cart" {
		path = "/cart"
	}
	s.doneMe(w, r, path, note)
	return nil
}

// redeem records a coupon. It is a Commit: nobody can put back the cookie from
// before and redeem the coupon again.
func (s *shop) redeem(w http.ResponseWriter, r *http.Request, f fields) error {
	code := strings.ToUpper(strings.TrimSpace(f["code"]))
	if code == "" || len(code) > maxCode {
		return badRequest("code is missing, or longer than " + strconv.Itoa(maxCode) + " bytes")
	}
	data, err := s.data(r)
	if err != nil {
		return err
	}
	data.Coupon = code
	if err := s.sessions.Commit(w, r, data); err != nil {
		return err
	}
	s.doneMe(w, r, "/cart", "coupon")
	return nil
}

// data returns a copy of the session's data to change and save.
func (s *shop) data(r *http.Request) (basket, error) {
	session, err := s.sessions.Get(r.Context())
	if err != nil {
		return basket{}, err
	}
	data, err := session.Data()
	if data.Cart == nil {
		data.Cart = map[string]int{}
	}
	return data, err
}

type cartLine struct {
	item
	Special          bool
	Count, More, One int
	Sum              int
}

type cartView struct {
	Lines                     []cartLine
	Coupon                    string
	Subtotal, Discount, Total int
	Special                   bool // at least one price is unknown
}

func newCartView(data basket) cartView {
	v := cartView{Coupon: data.Coupon}
	for _, id := range slices.Sorted(maps.Keys(data.Cart)) {
		count := data.Cart[id]
		i, known := find(id)
		if !known {
			i, v.Special = item{ID: id, Name: id, Text: "A special order: we will write to you with a price."}, true
		}
		v.Lines = append(v.Lines, cartLine{item: i, Special: !known, Count: count, More: count + 1, One: count - 1, Sum: count * i.Price})
		v.Subtotal += count * i.Price
	}
	if data.Coupon == offCoupon {
		v.Discount = v.Subtotal / 10
	}
	v.Total = v.Subtotal - v.Discount
	return v
}

func (s *shop) showCart(w http.ResponseWriter, r *http.Request) {
	data, err := s.data(r)
	switch {
	case err != nil:
		s.fail(w, r, err)
	case wantsJSON(r):
		writeJSON(w, http.StatusOK, data)
	default:
		s.page(w, r, http.StatusOK, "cart", newCartView(data))
	}
}
