// Wafer is the operator's command line: keys, revocations, and what to look at
// when something is wrong. It works beside the running application, on the same
// ring and store.
//
// Exit codes: 0 done; 1 it failed, standard error says why; 2 the command was
// written wrongly; 3 the answer is no (doctor found a fault, inspect would
// refuse, a confirmation was not given).
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, newEnv(), os.Args[1:]))
}

// Exit codes.
const (
	exitDone  = 0
	exitError = 1
	exitUsage = 2
	exitNo    = 3
)

var (
	// errUsage: the command was written wrongly, and the user was told how.
	errUsage = errors.New("usage")
	// errNo: the answer is no, and the user was told why.
	errNo = errors.New("no")
)

// command is a subcommand: its words, what it does in a line, and what does it.
type command struct {
	name    string
	summary string
	run     func(ctx context.Context, e *env, args []string) error
}

func run(ctx context.Context, e *env, args []string) int {
	err := dispatch(ctx, e, args)
	switch {
	case err == nil, errors.Is(err, flag.ErrHelp):
		return exitDone
	case errors.Is(err, errUsage):
		return exitUsage
	case errors.Is(err, errNo):
		return exitNo
	}
	fmt.Fprintln(e.stderr, "wafer:", err)
	return exitError
}

// dispatch finds the command by its first word or two.
func dispatch(ctx context.Context, e *env, args []string) error {
	for _, words := range []int{2, 1} {
		if len(args) < words {
			continue
		}
		name := strings.Join(args[:words], " ")
		for _, c := range commands {
			if c.name == name {
				return c.run(ctx, e, args[words:])
			}
		}
	}
	if len(args) == 0 || args[0] == "-h" || args[0] == "--help" || args[0] == "help" {
		usage(e.stdout)
		return nil
	}
	// Only what looks like a command is repeated: a credential may have been
	// given in its place.
	named := ""
	if regexp.MustCompile(`^[a-z-]{1,16}$`).MatchString(args[0]) {
		named = fmt.Sprintf(" %q", args[0])
	}
	fmt.Fprintf(e.stderr, "wafer: there is no such command%s\n\n", named)
	usage(e.stderr)
	return errUsage
}

func usage(w io.Writer) {
	fmt.Fprintln(w, "usage: wafer COMMAND [flags]")
	fmt.Fprintln(w)
	for _, c := range commands {
		fmt.Fprintf(w, "  %-18s %s\n", c.name, c.summary)
	}
	fmt.Fprintln(w)
	fmt.Fprintln(w, "wafer COMMAND -h shows its flags and an example.")
}
