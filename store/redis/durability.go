package redis

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	goredis "github.com/redis/go-redis/v9"
)

// Durability describes the server's settings. A setting that cannot be read has its
// zero value.
type Durability struct {
	// Server is "redis" or "valkey".
	Server string
	// Version is the server's version, such as "7.2.4".
	Version string
	// Role is "master", or "slave" on a replica.
	Role string
	// Cluster reports whether the server belongs to a Cluster.
	Cluster bool
	// Replicas is the number of connected replicas.
	Replicas int
	// Policy is maxmemory-policy. The store needs "noeviction".
	Policy string
	// MaxMemory is the server's memory limit in bytes. 0 means none.
	MaxMemory int64
	// AppendOnly is "yes" if the server keeps an append-only file, otherwise "no".
	AppendOnly string
	// AppendFsync is when the append-only file is synchronised: "always",
	// "everysec" or "no".
	AppendFsync string
	// Unread names those of role, maxmemory-policy, appendonly and appendfsync that
	// could not be read: a managed service may forbid CONFIG.
	Unread []string

	waitFor int // Options.Replicas
}

// Durability reads the server's settings. The engine's user needs the right to run
// INFO. Without the right to run CONFIG GET, the settings that INFO lacks are named
// in Unread.
func (s *Store) Durability(ctx context.Context) (Durability, error) {
	reply, err := s.direct(ctx, "INFO")
	if err != nil {
		return Durability{}, fmt.Errorf("redis: read the server's settings: %w", explain(err))
	}
	text, _ := reply.(string)
	d := durabilityOf(infoOf(text))
	d.waitFor = s.options.Replicas
	if err := d.configure(func(pattern string) (map[string]string, error) { return s.config(ctx, pattern) }); err != nil {
		return Durability{}, fmt.Errorf("redis: read the server's settings: %w", err)
	}
	return d, nil
}

// infoOf parses the reply to INFO.
func infoOf(text string) map[string]string {
	fields := make(map[string]string)
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok && !strings.HasPrefix(name, "#") {
			fields[name] = value
		}
	}
	return fields
}

func durabilityOf(info map[string]string) Durability {
	d := Durability{Server: "redis", Version: info["redis_version"], Role: info["role"], Cluster: info["cluster_enabled"] == "1", Policy: info["maxmemory_policy"]}
	if v := info["valkey_version"]; v != "" {
		d.Server, d.Version = "valkey", v
	}
	d.Replicas, _ = strconv.Atoi(info["connected_slaves"])
	d.MaxMemory, _ = strconv.ParseInt(info["maxmemory"], 10, 64)
	switch info["aof_enabled"] {
	case "0":
		d.AppendOnly = "no"
	case "1":
		d.AppendOnly = "yes"
	}
	return d
}

// configure reads from CONFIG what INFO does not return, or what a proxy has left
// out of it.
func (d *Durability) configure(get func(pattern string) (map[string]string, error)) error {
	for _, pattern := range []string{"maxmemory-policy", "append*"} {
		values, err := get(pattern)
		if err != nil && !isReply(err) {
			return err
		}
		for name, field := range map[string]*string{"maxmemory-policy": &d.Policy, "appendonly": &d.AppendOnly, "appendfsync": &d.AppendFsync} {
			if v := values[name]; v != "" {
				*field = v
			}
		}
	}
	for _, f := range []struct{ name, value string }{{"role", d.Role}, {"maxmemory-policy", d.Policy}, {"appendonly", d.AppendOnly}, {"appendfsync", d.AppendFsync}} {
		if f.value == "" {
			d.Unread = append(d.Unread, f.name)
		}
	}
	return nil
}

func (s *Store) config(ctx context.Context, pattern string) (map[string]string, error) {
	var values map[string]string
	err := s.onServer(ctx, func(ctx context.Context, node *goredis.Client) error {
		var err error
		values, err = node.ConfigGet(ctx, pattern).Result()
		return err
	})
	if err != nil {
		return nil, err
	}
	return values, nil
}

// refusal returns an error if the store must not be opened on this server, because
// revocations would be lost silently or the server is too old.
func (d *Durability) refusal() error {
	switch {
	case d.Role == "slave" || d.Role == "replica":
		return errors.New("the server is a replica: it forgets what is written to it, or refuses it; connect to the master")
	case d.Policy != "" && d.Policy != "noeviction":
		return fmt.Errorf("the server's maxmemory-policy is %s: short of memory it would drop revocations in silence, and users who were logged out would be back; set maxmemory-policy noeviction, or use a server for the store alone", d.Policy)
	case d.Version != "" && !d.atLeast(6, 2):
		return fmt.Errorf("the server is %s %s: want at least Redis 6.2", d.Server, d.Version)
	}
	return nil
}

func (d *Durability) atLeast(major, minor int) bool {
	a, rest, _ := strings.Cut(d.Version, ".")
	b, _, _ := strings.Cut(rest, ".")
	x, err := strconv.Atoi(a)
	y, err2 := strconv.Atoi(b)
	return err == nil && err2 == nil && (x > major || x == major && y >= minor)
}

// waitsForFile reports whether the server has WAITAOF and an append-only file to
// wait for.
func (d *Durability) waitsForFile() bool { return d.AppendOnly == "yes" && d.atLeast(7, 2) }

// Warnings returns a sentence for each setting that can lose data, and one that names
// the settings that could not be read. If there are none, a crash of the server's
// machine loses no acknowledged write.
func (d Durability) Warnings() []string {
	var w []string
	switch {
	case d.AppendOnly == "no":
		w = append(w, "appendonly is no: a crash or restart of the server loses every login, logout and revocation since its last snapshot; set appendonly yes and appendfsync always")
	case d.AppendOnly == "yes" && d.AppendFsync == "everysec":
		w = append(w, "appendfsync is everysec: a crash of the server's machine loses up to two seconds of logins, logouts and revocations; appendfsync always loses none")
	case d.AppendOnly == "yes" && d.AppendFsync == "no":
		w = append(w, "appendfsync is no: a crash of the server's machine loses what its operating system has not written yet, usually up to 30 seconds; appendfsync always loses none")
	}
	if d.Replicas > 0 && d.waitFor == 0 {
		w = append(w, "the server has replicas, and Options.Replicas is 0: a failover loses what the new master has not received; nodes write back the revocations that they hold")
	}
	if len(d.Unread) > 0 {
		w = append(w, "the server does not tell its "+strings.Join(d.Unread, ", ")+": see to it that maxmemory-policy is noeviction, appendonly yes and appendfsync always")
	}
	return w
}
