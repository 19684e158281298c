package main

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/waferkit/wafer/bench/internal/results"
)

// machine records the machine and the versions of the run.
func (r *runner) machine(ctx context.Context) error {
	text := map[string]string{
		"date": time.Now().UTC().Format("2006-01-02 15:04 MST"), "go": runtime.Version(),
		"system": runtime.GOOS + "/" + runtime.GOARCH, "processors": strconv.Itoa(runtime.NumCPU()),
		"processor": field("/proc/cpuinfo", "model name"), "memory": field("/proc/meminfo", "MemTotal"),
		"kernel":   output(ctx, "", "uname", "-sr"),
		"redis":    output(ctx, "", "redis-server", "--version"),
		"postgres": cmp.Or(output(ctx, "", "postgres", "--version"), output(ctx, "", "psql", "--version")),
		"node":     output(ctx, "", "node", "--version"),
		"commit":   output(ctx, r.root, "git", "rev-parse", "--short=12", "HEAD"),
		"changed":  strconv.FormatBool(output(ctx, r.root, "git", "status", "--porcelain", "--untracked-files=no") != ""),
		"load":     field("/proc/loadavg", ""),
		"short":    strconv.FormatBool(r.short),
	}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, d := range info.Deps {
			for _, peer := range []string{"alexedwards/scs", "gorilla/sessions", "boj/redistore", "redis/go-redis", "jackc/pgx/v5"} {
				if strings.Contains(d.Path, peer) {
					text["module "+d.Path] = d.Version
				}
			}
		}
	}
	r.record(results.Record{Kind: "run", Text: text})
	return nil
}

// output returns what a command prints, or "" if it cannot run.
func output(ctx context.Context, dir, name string, args ...string) string {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	b, _ := cmd.Output()
	return strings.TrimSpace(string(b))
}

// field returns the text after a name and a colon in a file, or the whole file
// if the name is empty.
func field(path, name string) string {
	b, _ := os.ReadFile(path)
	for line := range strings.Lines(string(b)) {
		key, value, found := strings.Cut(line, ":")
		if name == "" {
			return strings.TrimSpace(line)
		}
		if found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}
