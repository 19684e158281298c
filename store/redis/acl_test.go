package redis_test

import (
	"os"
	"regexp"
	"strings"
	"testing"

	goredis "github.com/redis/go-redis/v9"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store/redis"
)

// leastRights returns the words of the README's ACL command.
func leastRights(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	found := regexp.MustCompile("(?s)```\n(ACL SETUSER .*?)```").FindStringSubmatch(string(text))
	if found == nil {
		t.Fatal("the README has no ACL SETUSER")
	}
	return strings.Fields(found[1])
}

// restricted creates the README's user, without some commands, and returns a client
// of that user. The tests' store names replace the README's, and commands that this
// server does not have are left out.
func restricted(t *testing.T, server *testserver.Server, without ...string) *goredis.Client {
	t.Helper()
	admin := clientOf(t, server)
	args := []any{}
	for _, word := range leastRights(t) {
		if word == "~{wafer}:*" {
			word = "~{test-*"
		}
		if command, ok := strings.CutPrefix(word, "+"); ok {
			name, _, _ := strings.Cut(command, "|")
			if info, err := admin.Do(t.Context(), "COMMAND", "INFO", name).Slice(); err != nil || info[0] == nil {
				t.Logf("the server knows no %s", name)
				continue
			}
		}
		if strings.HasPrefix(word, "+client|setinfo") { // since 7.2
			if err := admin.Do(t.Context(), "CLIENT", "SETINFO", "lib-name", "test").Err(); err != nil {
				continue
			}
		}
		args = append(args, word)
	}
	for _, command := range without {
		args = append(args, "-"+command)
	}
	if err := admin.Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	c := goredis.NewClient(&goredis.Options{Addr: server.Addr, Username: "wafer", Password: "password"})
	t.Cleanup(func() { c.Close() })
	return c
}

// TestStore runs the conformance suite as the README's user, with an application's
// client, which retries commands though the engine must not.
func TestStore(t *testing.T) {
	suiteInParallel(t)
	server := testserver.Redis(t)
	client := restricted(t, server)
	if err := client.Do(t.Context(), "FLUSHALL").Err(); err == nil {
		t.Fatal("the user with the least rights may do anything")
	}
	suite(t, clientOf(t, server), func(t testing.TB, name string) *redis.Store {
		return open(t, client, redis.Options{Name: name})
	})
}

// TestLeastRightsInCluster: the README names two more rights for a Cluster.
func TestLeastRightsInCluster(t *testing.T) {
	text, err := os.ReadFile("README.md")
	must(t, err)
	nodes := sharedCluster(t)
	for _, n := range nodes {
		restricted(t, n)
		for _, right := range []string{"+cluster|slots", "+cluster|shards"} {
			if !strings.Contains(string(text), right) {
				t.Fatalf("the README does not name %s", right)
			}
			must(t, clientOf(t, n).Do(t.Context(), "ACL", "SETUSER", "wafer", right).Err())
		}
	}
	client := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{nodes[0].Addr}, Username: "wafer", Password: "password"})
	defer client.Close()
	for range 4 {
		db := open(t, client, redis.Options{Name: newName()})
		create(t, db, "alice")
		revokeMany(t, db, 0, 1000)
		if n := readAll(t, db); n != 1001 {
			t.Errorf("%d entries; want 1001", n)
		}
	}
}
