//go:build unix

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/internal/testserver"
	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/postgres"
	"github.com/waferkit/wafer/store/redis"
)

// The commands on the engines that have a server.

// on runs a command with environment variables.
func on(t *testing.T, want int, variables map[string]string, args ...string) (stdout, stderr string) {
	t.Helper()
	var out, err bytes.Buffer
	e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &err, getenv: func(name string) string { return variables[name] }, now: time.Now}
	if code := run(t.Context(), e, args); code != want {
		t.Errorf("wafer %s: exit code %d, want %d\n%s%s", strings.Join(args, " "), code, want, &out, &err)
	}
	return out.String(), err.String()
}

// findings decodes doctor's output.
func findings(t *testing.T, want int, args ...string) map[string][]finding {
	t.Helper()
	out, _ := on(t, want, nil, append([]string{"doctor", "--json"}, args...)...)
	var list []finding
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatalf("%v in %q", err, out)
	}
	found := make(map[string][]finding)
	for _, f := range list {
		found[f.Check] = append(found[f.Check], f)
	}
	return found
}

// beside works as the application would, with the commands working on the same
// store.
func beside(t *testing.T, name string, db engine) {
	t.Helper()
	id := store.ID{1}
	if _, err := db.Announce(t.Context(), store.Announcement{Access: time.Minute, Absolute: time.Hour, MaxStaleness: 10 * time.Millisecond}); err != nil {
		t.Fatal(err)
	}
	if _, err := db.Create(t.Context(), store.Creation{ID: id, Subject: "alice", Label: "a phone", Idle: time.Hour, Absolute: time.Hour}); err != nil {
		t.Fatal(err)
	}
	variables := map[string]string{"SHOP_STORE": name}
	out, _ := on(t, exitDone, variables, "sessions", "list", "--store", "env:SHOP_STORE", "--subject", "alice")
	contains(t, out, id.String(), "a phone")
	on(t, exitDone, variables, "revoke", "--store", "env:SHOP_STORE", "--subject", "alice", "--reason", "a test", "--yes", "--wait")
	if snap, err := db.Family(t.Context(), id); err != nil || snap.State != store.CutOff {
		t.Errorf("after the revocation the session is %v, %v", snap.State, err)
	}
	out, _ = on(t, exitDone, nil, "revocations", "--store", name)
	contains(t, out, "alice", "a test")
	found := findings(t, exitDone, "--store", name)
	for _, check := range []string{"clock", "log", "durability"} {
		if len(found[check]) == 0 || !found[check][0].OK {
			t.Errorf("doctor on %s: %+v", check, found[check])
		}
	}
	if !strings.Contains(found["log"][0].Found, "everywhere after 10ms") {
		t.Errorf("doctor on the log: %+v", found["log"])
	}
	on(t, exitDone, nil, "restored", "--store", name, "--yes")
	if c, err := db.Cutoffs(t.Context(), store.ID{}, ""); err != nil || c.Everyone != c.Head {
		t.Errorf("after restored: %+v, %v", c, err)
	}
}

func TestCommandsOnRedis(t *testing.T) {
	s := testserver.Redis(t)
	name := "redis://" + s.Addr + "/0"
	on(t, exitNo, nil, "doctor", "--store", name)
	if s.RedisCommand(t, "DBSIZE") != "0" {
		t.Error("doctor has made a store")
	}
	db, err := redis.OpenURL(t.Context(), name, redis.Options{Name: "shop"})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	on(t, exitError, nil, "restored", "--store", name, "--yes") // there is none with the default name
	beside(t, name+"#shop", db)

	s.RedisCommand(t, "CONFIG", "SET", "appendfsync", "everysec")
	found := findings(t, exitDone, "--store", name+"#shop")
	if d := found["durability"]; len(d) != 1 || !d[0].OK || !strings.Contains(d[0].Found, "everysec") || d[0].Do == "" {
		t.Errorf("doctor on appendfsync everysec: %+v", d)
	}
	s.RedisCommand(t, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
	found = findings(t, exitNo, "--store", name+"#shop")
	if d := found["store"]; len(d) != 1 || d[0].OK || !strings.Contains(d[0].Found, "noeviction") {
		t.Errorf("doctor on an eviction policy: %+v", d)
	}
}

func TestCommandsOnPostgres(t *testing.T) {
	s := testserver.Postgres(t)
	name := s.PostgresURL("postgres", "postgres")
	on(t, exitNo, nil, "doctor", "--store", name)
	// The schema is applied by hand, as in databases where the application's
	// role may not do so.
	text, _ := on(t, exitDone, nil, "schema", "--schema", "Shop")
	psql := exec.CommandContext(t.Context(), "psql", "--quiet", "--single-transaction", "-v", "ON_ERROR_STOP=1", name)
	psql.Stdin = strings.NewReader(text)
	if out, err := psql.CombinedOutput(); err != nil {
		t.Fatalf("psql: %v\n%s", err, out)
	}
	on(t, exitError, nil, "restored", "--store", name, "--yes") // there is none in the default schema
	db, err := postgres.OpenURL(t.Context(), name, postgres.Options{Schema: "Shop", MustExist: true})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	beside(t, name+"#Shop", db)
}

// A password in a store's name is never shown, whatever is wrong with it.
func TestStoreNamesKeepTheirPassword(t *testing.T) {
	const secret = "hunter2hunter2"
	for _, name := range []string{
		"redis://user:" + secret + "@127.0.0.1:1/0", "redis://user:" + secret + "@127.0.0.1:1/x", "redis://user:" + secret + "@[::1/0",
		"redis://:" + secret + "@127.0.0.1:notaport", "rediss://user:" + secret + "@127.0.0.1:1", "redis://user:" + secret + "%zz@127.0.0.1:1",
		"postgres://user:" + secret + "@127.0.0.1:1/x", "postgres://user:" + secret + "@127.0.0.1:notaport/x", "postgres://user:" + secret + "@[::1/x",
		"postgres://user:" + secret + "%zz@127.0.0.1:1", "postgresql://user:" + secret + "@127.0.0.1:1/x?sslmode=never",
		"mysql://user:" + secret + "@127.0.0.1:1/x", secret, "sqlite:postgres://user:" + secret + "@127.0.0.1:1/x", "env:postgres://user:" + secret + "@127.0.0.1:1/x",
		"postgres://user:p#" + secret + "@127.0.0.1:1/x", "redis://user:p#" + secret + "@127.0.0.1:1", "password = " + secret + " port=x",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		var out bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &out, getenv: func(string) string { return name }, now: time.Now}
		for _, args := range [][]string{{"restored", "--store", name, "--yes"}, {"doctor", "--store", name}, {"revocations", "--store", "env:STORE"}, {"doctor", name}, {"keys", "list", "--ring", "absent", "--keeper", name}} {
			if code := run(ctx, e, args); code == exitDone {
				t.Errorf("%s with %s was done", args[0], name)
			}
		}
		cancel()
		if text, _ := io.ReadAll(&out); strings.Contains(string(text), secret) {
			t.Errorf("the password is shown for %s: %s", name, text)
		}
	}
}
