package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/bench/internal/results"
)

// cookies seals the benchmarks' session with libraries of another language.
// Only the sizes are compared.
func (r *runner) cookies(ctx context.Context) error {
	progress("cookies of iron-session and Auth.js")
	dir := filepath.Join(r.dir, "cookies")
	if err := os.CopyFS(dir, os.DirFS(filepath.Join(r.root, "bench", "cookies"))); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	install := exec.CommandContext(ctx, "npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline")
	install.Dir = dir
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("npm ci (Debian's packages nodejs and npm have it): %w\n%s", err, out)
	}
	session, err := json.Marshal(struct {
		Subject string `json:"subject"`
		app.Account
	}{app.Subject, app.NewAccount()})
	if err != nil {
		return err
	}
	seal := exec.CommandContext(ctx, "node", "sizes.mjs")
	seal.Dir, seal.Stdin = dir, bytes.NewReader(session)
	var stderr bytes.Buffer
	seal.Stderr = &stderr
	out, err := seal.Output()
	if err != nil {
		return fmt.Errorf("node sizes.mjs: %w\n%s", err, &stderr)
	}
	var sizes []struct {
		Library, Version, Name string
		Bytes                  float64
	}
	if err := json.Unmarshal(out, &sizes); err != nil {
		return fmt.Errorf("node sizes.mjs wrote %q: %w", out, err)
	}
	for _, s := range sizes {
		r.record(results.Record{
			Kind: "cookie", Name: s.Library, Values: map[string]float64{"bytes": s.Bytes},
			Text: map[string]string{"version": s.Version, "name": s.Name},
		})
	}
	return nil
}
