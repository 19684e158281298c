// Client is a command-line program with a session of its own at the demo. It logs
// in, calls the API with an access token, refreshes the token when it is due, and
// survives a lost answer.
//
//	go run ./examples/demo                                  (in another terminal)
//	echo wafer | go run ./examples/client login alice
//	go run ./examples/client whoami
//	go run ./examples/client logout
//
// It keeps its tokens in one file that only its user can read.
package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdin, os.Stdout)
	switch {
	case errors.Is(err, flag.ErrHelp):
	case errors.Is(err, errUsage):
		fmt.Fprintln(os.Stderr, "usage: client [flags] login NAME | whoami | logout")
		os.Exit(2)
	case err != nil:
		fmt.Fprintln(os.Stderr, "client:", err)
		os.Exit(1)
	}
}

var errUsage = errors.New("usage")

func run(ctx context.Context, args []string, stdin io.Reader, stdout io.Writer) error {
	set := flag.NewFlagSet("client", flag.ContinueOnError)
	url := set.String("url", "http://localhost:8080", "the demo's `address`")
	file := set.String("tokens", defaultFile(), "keep the tokens in this `file`")
	if err := set.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	c := newClient(strings.TrimSuffix(*url, "/"), *file, time.Now)
	switch {
	case set.Arg(0) == "login" && set.NArg() == 2:
		// Not an argument: other users of the machine can read arguments.
		password, err := bufio.NewReader(stdin).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return fmt.Errorf("read the password from standard input: %w", err)
		}
		if err := c.login(ctx, set.Arg(1), strings.TrimRight(password, "\r\n")); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "logged in as", set.Arg(1))
	case set.Arg(0) == "whoami" && set.NArg() == 1:
		me, err := c.whoami(ctx)
		if err != nil {
			return err
		}
		fmt.Fprintf(stdout, "%s, for %q, in session %s\n", me.Subject, me.Scope, me.ID)
	case set.Arg(0) == "logout" && set.NArg() == 1:
		if err := c.logout(ctx); err != nil {
			return err
		}
		fmt.Fprintln(stdout, "logged out")
	default:
		return errUsage
	}
	return nil
}

func defaultFile() string {
	dir, err := os.UserConfigDir()
	if err != nil {
		dir = "."
	}
	return filepath.Join(dir, "wafer-client", "tokens.json")
}
