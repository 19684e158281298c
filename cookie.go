package wafer

import (
	"fmt"
	"net/http"
	"net/textproto"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/gate"
)

// maxCookie is the largest cookie that browsers keep: its name and value, in
// bytes (RFC 6265 section 6.1).
const maxCookie = 4096

// find adds the values of both cookies to found, in one pass over the request's
// header and without an allocation. It is stricter than net/http: a quoted value
// stays quoted, and opens nothing.
func (s *Sessions[T]) find(header http.Header, found *gate.Cookies) {
	for _, line := range header["Cookie"] {
		for line != "" {
			var pair string
			pair, line, _ = strings.Cut(line, ";")
			name, value, _ := strings.Cut(textproto.TrimString(pair), "=")
			switch name {
			case s.config.SessionCookie:
				found.Session.Add(value)
			case s.config.RefreshCookie:
				found.Refresh.Add(value)
			}
		}
	}
}

// fits returns ErrTooLarge if a browser would not keep the session cookie. Of the
// header only the texts, and whether it is bound and proved, make a difference.
func (s *Sessions[T]) fits(h *codec.Session, data []byte) error {
	excess := func(short int) int {
		return len(s.config.SessionCookie) + s.cookies.Size(h, len(data)-short) - maxCookie
	}
	if excess(0) <= 0 {
		return nil
	}
	// Base64 makes four characters of three bytes. The loop finds the remainder of
	// the division.
	short := excess(0) * 3 / 4
	for short < len(data) && excess(short) > 0 {
		short++
	}
	return fmt.Errorf("%w: name and value are %d bytes over %d; shorten the data by %d of its %d bytes", ErrTooLarge, excess(0), maxCookie, short, len(data))
}

// setCookie writes a cookie and replaces one of the same name in this response. A
// zero deadline deletes the cookie in the browser.
func (s *Sessions[T]) setCookie(w http.ResponseWriter, name, value string, now, deadline time.Time) {
	c := http.Cookie{
		Name: name, Value: value, Path: "/", HttpOnly: true,
		Secure: !s.config.InsecureHTTP, SameSite: http.SameSiteLaxMode,
	}
	switch {
	case s.config.SameSiteStrict:
		c.SameSite = http.SameSiteStrictMode
	case s.config.InsecureSameSiteNone:
		c.SameSite = http.SameSiteNoneMode
	}
	if deadline.IsZero() {
		c.MaxAge = -1
	} else {
		// Rounded up: if the session cookie died before the refresh token, the
		// session would go on without the data that was saved last.
		c.MaxAge = max(1, int((deadline.Sub(now)+time.Second-1)/time.Second))
	}
	header := w.Header()
	lines := header["Set-Cookie"]
	kept := make([]string, 0, len(lines)+1)
	for _, line := range lines {
		if !strings.HasPrefix(line, name+"=") {
			kept = append(kept, line)
		}
	}
	header["Set-Cookie"] = append(kept, c.String())
	private(header)
}

// noStore keeps a response that depends on a session out of every cache, unless
// the application has set Cache-Control itself.
func noStore(header http.Header) {
	if header["Cache-Control"] == nil {
		header["Cache-Control"] = []string{"no-store"}
	}
}

// private calls vary and noStore.
func private(header http.Header) { privateBy(header, new(privateValues)) }

// privateBy is private without an allocation: the header's values stand in
// values. Each response needs its own, since a handler may write into them.
func privateBy(header http.Header, values *privateValues) {
	if header["Vary"] != nil || header["Cache-Control"] != nil {
		vary(header)
		noStore(header)
		return
	}
	*values = privateValues{"Cookie", "no-store"}
	header["Vary"], header["Cache-Control"] = values[:1:1], values[1:]
}

type privateValues [2]string

// vary marks the response as dependent on cookies, for caches.
func vary(header http.Header) {
	if header["Vary"] == nil {
		header["Vary"] = []string{"Cookie"}
		return
	}
	for _, line := range header["Vary"] {
		for name := range strings.SplitSeq(line, ",") {
			if strings.EqualFold(textproto.TrimString(name), "Cookie") {
				return
			}
		}
	}
	header.Add("Vary", "Cookie")
}
