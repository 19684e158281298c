// Wafer is the operator's command line. It manages keys and revocations, and
// diagnoses faults. It works on the ring and the store of an application while
// that is running.
//
// The exit code is 0 on success; 1 if the command failed, with the reason on
// standard error; 2 if the command line was wrong or standard input was empty;
// and 3 if the answer is no: doctor found a fault, inspect found a reason to
// refuse, a confirmation was not given, or the wait of revoke --wait was
// interrupted.
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
	// errUsage means that the command line was wrong and the error was printed.
	errUsage = errors.New("usage")
	// errNo means that the answer is no and the reason was printed.
	errNo = errors.New("no")
)

// command is a subcommand. name is one word or two.
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

// dispatch runs the command that the first word or two of args name.
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
	// The message repeats the word only if it looks like a command: it may be a
	// credential.
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
