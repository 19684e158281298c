package redis_test

import (
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/waferkit/wafer/internal/testserver"
)

// TestMain ends what tests have shared. Tests that are parallel wait for servers
// and their clocks, or for each other, and compute little, so there may be more
// of them at once than processors; -parallel still decides.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	flag.Parse()
	roomy = flag.Lookup("test.parallel").Value.String() == "32"
	code := m.Run()
	for _, end := range shared.ends {
		end()
	}
	os.Exit(code)
}

// roomy says that all parallel tests run at once, so that one may wait for
// another.
var roomy bool

// suites are the conformance suites in real time: their units of time are short,
// and nothing that loads the processors runs beside them.
var suites sync.WaitGroup

func suiteInParallel(t *testing.T) {
	t.Helper()
	suites.Add(1) // before those that wait for it go on
	t.Cleanup(suites.Done)
	t.Parallel() // it mostly sleeps
}

// shared is what starts once and serves many tests.
var shared struct {
	once    sync.Once
	cluster []*testserver.Server
	ends    []func()
}

// outlasting is a test whose servers go on when it has ended.
type outlasting struct{ testing.TB }

func (outlasting) Cleanup(end func()) { shared.ends = append([]func(){end}, shared.ends...) }

func (o outlasting) TempDir() string {
	o.Helper()
	dir, err := os.MkdirTemp("", "wafer-redis")
	if err != nil {
		o.Fatal(err)
	}
	o.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// sharedCluster returns the Cluster of three masters of all tests that leave its
// nodes alone: a new one serves after two seconds only. They name their stores by
// newName.
func sharedCluster(t *testing.T) []*testserver.Server {
	t.Helper()
	shared.once.Do(func() { shared.cluster = testserver.RedisCluster(outlasting{t}) })
	if shared.cluster == nil {
		t.Fatal("the Cluster did not start for the test that came first")
	}
	return shared.cluster
}
