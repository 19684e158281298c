// Service is a separate API that accepts the access tokens of an application
// built on wafer. It holds no secret. It fetches the application's public keys
// and follows its revocation log, so that a logout there is in force here at
// once.
//
//	go run ./examples/service \
//	    -jwks https://shop.example/session/jwks.json \
//	    -issuer https://shop.example -audience https://orders.example \
//	    -store sqlite:/var/lib/shop/wafer.db
//
// -issuer and -audience come from the application's wafer.TokenConfig: its Issuer,
// and the one of its Audiences that is this service. A client gets a token at the
// application's POST refresh with "audience", and presents it here:
//
//	curl -H "Authorization: Bearer $TOKEN" http://localhost:8081/whoami
//
// GET /health is for monitoring. It answers 200, or 503 while the service has lost
// touch with the log or the keys.
//
// A SQLite file is for services on the same machine. The service calls only Since
// and Cutoffs of the store, but needs write permission for the file, since SQLite
// keeps its locks beside it. Give services on other machines a database user that
// may only read. Without any of these use -without-revocations: tokens then
// outlast their session by up to their lifetime.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/store/sqlite"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends it at once
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case err != nil:
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

type flags struct {
	addr, store string
	start       time.Duration
	config      wafer.VerifierConfig
}

func parseFlags(args []string, stderr io.Writer) (*flags, error) {
	f := new(flags)
	set := flag.NewFlagSet("service", flag.ContinueOnError)
	set.SetOutput(stderr)
	audience, algorithm := "", ""
	set.StringVar(&f.addr, "addr", "localhost:8081", "listen on this `address`")
	set.StringVar(&f.config.JWKSURL, "jwks", "", "the application's public keys are at this `URL`: https, or http on a loopback address")
	set.StringVar(&f.config.Issuer, "issuer", "", "accept tokens of this `issuer`")
	set.StringVar(&audience, "audience", "", "accept tokens for this `service`")
	set.StringVar(&algorithm, "alg", string(codec.EdDSA), "accept tokens of this `algorithm`: EdDSA or ES256")
	set.StringVar(&f.store, "store", "", "read revocations from the application's `store`: sqlite:FILE")
	set.BoolVar(&f.config.InsecureWithoutRevocations, "without-revocations", false, "accept tokens of ended sessions until they expire")
	set.DurationVar(&f.config.MaxStaleness, "max-staleness", 30*time.Second, "what the application revokes is in force here after this long at most")
	set.DurationVar(&f.start, "start", time.Minute, "wait this long for keys and store when starting")
	if err := set.Parse(args); err != nil {
		return nil, err
	}
	if set.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", set.Arg(0))
	}
	f.config.Audiences = []string{audience}
	f.config.Algorithms = []codec.Algorithm{codec.Algorithm(algorithm)}
	return f, nil
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) error {
	f, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	starting, cancel := context.WithTimeout(ctx, f.start)
	defer cancel()
	if f.store != "" {
		db, err := openStore(starting, f.store)
		if err != nil {
			return err
		}
		defer db.Close()
		f.config.Log = db
	}
	verifier, err := wafer.NewVerifier(starting, f.config)
	if err != nil {
		return err
	}
	defer verifier.Close()
	listener, err := net.Listen("tcp", f.addr)
	if err != nil {
		return err
	}
	fmt.Fprintf(stdout, "serving http://%s\n", listener.Addr())
	server := &http.Server{Handler: routes(verifier), ReadHeaderTimeout: 10 * time.Second}
	context.AfterFunc(ctx, func() {
		ending, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		server.Shutdown(ending)
	})
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// openStore opens the application's store. It does not make an absent one: with
// an empty log, none of the application's revocations would be in force.
func openStore(ctx context.Context, name string) (*sqlite.Store, error) {
	path, ok := strings.CutPrefix(name, "sqlite:")
	if !ok {
		return nil, fmt.Errorf("-store %q: want sqlite:FILE", name)
	}
	if _, err := os.Stat(path); err != nil {
		return nil, fmt.Errorf("-store: the application has not made its store there: %w", err)
	}
	return sqlite.Open(ctx, path, sqlite.Options{})
}

func routes(verifier *wafer.Verifier) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("GET /whoami", verifier.Bearer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := verifier.Get(r.Context())
		if err != nil {
			verifier.Error(w, r, err)
			return
		}
		fmt.Fprintf(w, "%s, in session %v, with scope %q\n", session.Subject, session.ID, session.Scope())
	})))
	mux.HandleFunc("GET /health", func(w http.ResponseWriter, r *http.Request) {
		health, keys := verifier.Health(), verifier.KeysAge()
		if health.State == "stale" || health.State == "unknown" || keys > 10*time.Minute {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintf(w, "revocations: %s, %v ago; keys: %v ago\n", health.State, health.Age.Round(time.Second), keys.Round(time.Second))
	})
	return mux
}
