package codec_test

import (
	"testing"

	"github.com/gorilla/securecookie"
)

// Applications of gorilla/sessions call IsDecode to distinguish a bad cookie from
// a fault of the server. Our codecs must answer as securecookie's does.
func TestPromise5_RefusalsAreDecodeErrorsToGorilla(t *testing.T) {
	for what, build := range securecookieCodecs {
		c := build(t, staticRing(t, secret(1)))
		err, ok := securecookie.DecodeMulti(name, "junk of a browser", new(string), c).(securecookie.MultiError)
		if !ok || !err.IsDecode() || err.IsInternal() || err.IsUsage() {
			t.Errorf("%s: %v: IsDecode %t, IsInternal %t, IsUsage %t", what, err, err.IsDecode(), err.IsInternal(), err.IsUsage())
		}
	}
}
