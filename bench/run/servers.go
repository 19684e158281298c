package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/waferkit/wafer/bench/internal/app"
	"github.com/waferkit/wafer/bench/internal/load"
	"github.com/waferkit/wafer/bench/internal/results"
	"github.com/waferkit/wafer/store/memory"
)

// loaded is a server under load: an application and the path of the requests.
type loaded struct {
	name string
	app  *app.App
	path string
	body string
}

// servers measures whole servers, including net/http, at fixed rates.
func (r *runner) servers(ctx context.Context) (err error) {
	progress("starting redis-server and postgres")
	s, err := app.StartServers()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	wafer, sessions, err := app.Wafer(ctx, "wafer", memory.New(memory.Options{}), app.Options{})
	if err != nil {
		return err
	}
	defer sessions.Close()
	postgres, err := s.SCSPostgres(ctx)
	if err != nil {
		return err
	}
	list := []loaded{
		{app.None, app.Plain(), "/data", app.Text()},
		{"wafer", wafer, "/identity", app.Subject + "\n"},
		{"wafer with data", wafer, "/data", app.Text()},
		{"scs memstore", app.SCS("scs memstore", nil), "/data", app.Text()},
		{"scs Redis", s.SCSRedis(), "/data", app.Text()},
		{"scs Postgres", postgres, "/data", app.Text()},
	}
	rates, rounds, took := []int{1000, 4000, 8000}, 3, 3*time.Second
	if r.short {
		rates, rounds, took = []int{500}, 1, 500*time.Millisecond
	}
	for round := range rounds {
		for _, rate := range rates {
			progress("whole servers at %d requests a second, round %d of %d", rate, round+1, rounds)
			for _, l := range list {
				if err := r.load(ctx, l, rate, took); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// users is the number of sessions that the load rotates through.
const users = 500

func (r *runner) load(ctx context.Context, l loaded, rate int, took time.Duration) error {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	server := &http.Server{Handler: l.app, ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener)
	defer server.Close()
	plan := load.Plan{Addr: listener.Addr().String(), Rate: rate, Duration: took, Connections: 64, Body: l.body}
	for range users {
		session, err := l.app.Session()
		if err != nil {
			return err
		}
		var request strings.Builder
		fmt.Fprintf(&request, "GET %s HTTP/1.1\r\nHost: bench\r\n", l.path)
		if cookie := session.Header.Get("Cookie"); cookie != "" {
			fmt.Fprintf(&request, "Cookie: %s\r\n", cookie)
		}
		plan.Requests = append(plan.Requests, []byte(request.String()+"\r\n"))
	}
	warm := plan
	warm.Duration = took / 8
	if _, err := load.Run(ctx, warm); err != nil {
		return err
	}
	runtime.GC()
	cpu := processorTime()
	result, err := load.Run(ctx, plan)
	if err != nil {
		return err
	}
	cpu = processorTime() - cpu
	if result.Failed > 0 {
		return fmt.Errorf("%s at %d/s: %d of %d requests failed: %w", l.name, rate, result.Failed, result.Sent, result.Error)
	}
	us := func(d time.Duration) float64 { return float64(d) / 1000 }
	r.record(results.Record{Kind: "load", Name: fmt.Sprintf("%s@%d", l.name, rate), Values: map[string]float64{
		"rate": float64(rate), "sent": float64(result.Sent), "reached": float64(result.Sent) / result.Elapsed.Seconds(),
		"p50-us": us(result.P50), "p90-us": us(result.P90), "p99-us": us(result.P99), "p99.9-us": us(result.P999), "worst-us": us(result.Worst),
		"cpu-us/request": us(cpu) / float64(result.Sent),
	}})
	return nil
}
