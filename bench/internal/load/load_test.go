package load_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/bench/internal/load"
)

var request = [][]byte{[]byte("GET / HTTP/1.1\r\nHost: x\r\n\r\n")}

func run(t *testing.T, h http.HandlerFunc, p load.Plan) load.Result {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	p.Addr, p.Requests, p.Body = server.Listener.Addr().String(), request, "yes"
	r, err := load.Run(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A server that stalls once for 300 ms is charged with every request that was
// due meanwhile, though only one connection was stalled in it. At 200 requests
// per second over 1 s, some 60 of 200 waited, for 150 ms in the median. A
// client that waits for its answers would have seen one slow request of 200.
func TestAStallIsChargedToAllThatWereDue(t *testing.T) {
	var n atomic.Int64
	r := run(t, func(w http.ResponseWriter, _ *http.Request) {
		if n.Add(1) == 50 {
			time.Sleep(300 * time.Millisecond)
		}
		io.WriteString(w, "yes")
	}, load.Plan{Rate: 200, Duration: time.Second, Connections: 1})
	if r.Sent != 200 || r.Failed != 0 || n.Load() != 200 {
		t.Fatalf("%+v, and the server saw %d requests: want 200 without a failure", r, n.Load())
	}
	if r.P90 < 50*time.Millisecond {
		t.Errorf("the 90th percentile is %v: of 200 requests more than 20 were due at least 50 ms before the stall was over", r.P90)
	}
	if r.Worst < 300*time.Millisecond {
		t.Errorf("the worst took %v, and one stalled for 300 ms", r.Worst)
	}
}

func TestAnswersAreChecked(t *testing.T) {
	var n atomic.Int64
	r := run(t, func(w http.ResponseWriter, _ *http.Request) {
		switch n.Add(1) % 4 {
		case 0:
			io.WriteString(w, "no")
		case 1:
			w.WriteHeader(http.StatusTeapot)
			io.WriteString(w, "yes")
		default:
			io.WriteString(w, "yes")
		}
	}, load.Plan{Rate: 400, Duration: 250 * time.Millisecond, Connections: 4})
	if r.Failed != 50 || r.Error == nil {
		t.Errorf("%d of %d failed with %v: want 50", r.Failed, r.Sent, r.Error)
	}
}

func TestTheNetworkIsLeftAlone(t *testing.T) {
	for _, addr := range []string{"192.0.2.1:80", "example.com:80", "127.0.0.1", ""} {
		if _, err := load.Run(t.Context(), load.Plan{Addr: addr, Rate: 1, Duration: time.Second, Connections: 1, Requests: request}); err == nil || !strings.Contains(err.Error(), "loopback") {
			t.Errorf("%q was asked: %v", addr, err)
		}
	}
	if _, err := load.Run(t.Context(), load.Plan{Addr: "127.0.0.1:1", Rate: 1 << 20, Duration: time.Hour, Connections: 1, Requests: request}); err == nil {
		t.Error("a plan without bounds was carried out")
	}
}
