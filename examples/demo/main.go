// Demo is a small shop on wafer, with a cart in a sealed cookie, a coupon that
// cannot be redeemed twice, a list of devices, a password change, and an
// administrator who revokes sessions.
//
//	go run ./examples/demo
//
// Log in as alice, bob or admin; the password is wafer. Every route answers in
// HTML, or in JSON if the request has "Accept: application/json".
package main

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/waferkit/wafer"
)

// shutdownTime bounds the requests in flight after the demo was told to stop.
const shutdownTime = 3 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// errUsage means that the flags were wrong and the error was printed.
var errUsage = errors.New("usage")

type flags struct {
	addr, data, store string
	tls               bool
	tokenAudience     string
	introspectSecret  string
	config            wafer.Config[basket]
}

func parseFlags(args []string, stderr io.Writer) (*flags, error) {
	f := new(flags)
	set := flag.NewFlagSet("demo", flag.ContinueOnError)
	set.SetOutput(stderr)
	set.StringVar(&f.addr, "addr", "localhost:8080", "listen on this `address`")
	set.StringVar(&f.data, "data", "demo-data", "keep keys and sessions in this `directory`, made if absent")
	set.StringVar(&f.store, "store", "", "keep sessions and revocations in this `engine`: "+storeNames+" (default sqlite:DIR/wafer.db in the -data directory)")
	set.DurationVar(&f.config.Access, "access", 5*time.Minute, "a cookie is good for this long without the store")
	set.DurationVar(&f.config.Idle, "idle", 30*time.Minute, "a session ends when it is unused for this long")
	set.DurationVar(&f.config.Absolute, "absolute", 12*time.Hour, "a session ends this long after its login")
	set.DurationVar(&f.config.MaxAbsolute, "remember", rememberFor, "a session with \"remember me\" ends this long after its login, used or not")
	set.DurationVar(&f.config.Grace, "grace", 0, "the token before a refresh is served for this long (0: 30s, or an eighth of -access where that is less)")
	set.DurationVar(&f.config.MaxStaleness, "max-staleness", 30*time.Second, "what another process revokes is in force here after this long at most")
	set.IntVar(&f.config.MaxSessions, "max-sessions", 0, "a user may have this many sessions at once (0: no limit)")
	set.BoolVar(&f.config.EndOldest, "end-oldest", false, "with -max-sessions: end the oldest session instead of refusing the login")
	set.StringVar(&f.tokenAudience, "token-audience", "", "let scripts of the shop's pages get access tokens for this `audience` at POST /session/token, such as demo-api")
	set.StringVar(&f.introspectSecret, "introspect-secret", "", "let callers with this `password` (HTTP Basic) ask POST /session/introspect")
	set.BoolVar(&f.tls, "tls", false, "serve https with a certificate made for this run")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil, err
		}
		return nil, errUsage
	}
	if set.NArg() > 0 {
		fmt.Fprintf(stderr, "demo: unexpected argument %q\n", set.Arg(0))
		set.Usage()
		return nil, errUsage
	}
	f.config.Tokens = tokens(f)
	return f, nil
}

// run serves the shop until ctx ends. It prints one line with the URL to stdout
// once it serves.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(stderr, nil))
	slog.SetDefault(log)

	ring, err := openRing(ctx, f.data, time.Now())
	if err != nil {
		return err
	}
	db, file, err := openStore(ctx, f.store, f.data)
	if err != nil {
		return err
	}
	defer file.Close()
	starting, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	shop, err := newShop(starting, ring, db, newUsers(safeCost, firstPassword, userNames...), f.config)
	switch {
	case err != nil && ctx.Err() != nil:
		return nil // it was stopped before it had started
	case err != nil:
		return err
	}
	defer shop.Close()
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return err
	}
	var maintaining sync.WaitGroup
	defer maintaining.Wait()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	maintaining.Go(func() { _ = ring.Maintain(ctx) }) // its failures are logged
	return serve(ctx, listener, f, shop, log, stdout)
}

func serve(ctx context.Context, listener net.Listener, f *flags, shop *shop, log *slog.Logger, stdout io.Writer) error {
	server := &http.Server{
		Handler:           shop.handler(),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      30 * time.Second,
		IdleTimeout:       2 * time.Minute,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	server.RegisterOnShutdown(shop.leave) // otherwise live answers would keep it running
	host, scheme := publicHost(f.addr), "http"
	if f.tls {
		certificate, err := selfSigned(time.Now(), host)
		if err != nil {
			listener.Close()
			return fmt.Errorf("-tls: %w", err)
		}
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}, MinVersion: tls.VersionTLS12}
		scheme = "https"
	} else if !loopback(host) {
		log.Warn("browsers keep the session's Secure cookies over plain http on localhost only: use -tls here")
	}
	ended := make(chan error, 1)
	go func() {
		if f.tls {
			ended <- server.ServeTLS(listener, "", "")
		} else {
			ended <- server.Serve(listener)
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	fmt.Fprintf(stdout, "The shop is open at %s://%s\n", scheme, net.JoinHostPort(host, port))

	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownTime)
	defer cancel()
	if err := server.Shutdown(stopping); err != nil {
		server.Close() // requests in flight had their time
	}
	if err := <-ended; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// publicHost returns the host to type into a browser for a listen address.
func publicHost(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err != nil || host == "" || ip != nil && ip.IsUnspecified() {
		return "localhost"
	}
	return host
}

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
