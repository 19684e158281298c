package redis_test

import (
	"flag"
	"os"
	"sync"
	"testing"

	"github.com/waferkit/wafer/internal/testserver"
)

// TestMain stops the servers that tests have shared. Parallel tests wait for servers
// and their clocks, or for each other, and compute little, so more of them may run at
// once than there are processors. -parallel overrides that.
func TestMain(m *testing.M) {
	if err := flag.Set("test.parallel", "32"); err != nil {
		panic(err)
	}
	flag.Parse()
	allParallel = flag.Lookup("test.parallel").Value.String() == "32"
	code := m.Run()
	for _, end := range shared.ends {
		end()
	}
	os.Exit(code)
}

// allParallel reports whether all parallel tests run at once, so that one may wait for
// another.
var allParallel bool

// suites counts the conformance suites that run in real time. Their units of time are
// short, so no test that loads the processors runs beside them.
var suites sync.WaitGroup

func suiteInParallel(t *testing.T) {
	t.Helper()
	suites.Add(1) // before the tests that wait for it continue
	t.Cleanup(suites.Done)
	t.Parallel() // it mostly sleeps
}

// shared holds what is started once for many tests.
var shared struct {
	once    sync.Once
	cluster []*testserver.Server
	ends    []func()
}

// outlasting is a test whose servers keep running after it has ended.
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

// sharedCluster returns a Cluster of three masters that tests share, because a new one
// serves only after two seconds. The tests must not change its nodes, and must name
// their stores with newName.
func sharedCluster(t *testing.T) []*testserver.Server {
	t.Helper()
	shared.once.Do(func() { shared.cluster = testserver.RedisCluster(outlasting{t}) })
	if shared.cluster == nil {
		t.Fatal("the Cluster did not start for the test that came first")
	}
	return shared.cluster
}
