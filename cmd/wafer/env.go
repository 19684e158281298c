package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// env is the environment of a command.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	terminal       bool // standard input is a terminal, so the user can be asked
}

func newEnv() *env {
	info, err := os.Stdin.Stat()
	return &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now,
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
}

// flags is the flag set of a command, with the values of the flags that several
// commands share.
type flags struct {
	*flag.FlagSet
	env  *env
	json bool
	yes  bool
	ring ringFlags
	db   string
}

// flags returns a new set. Each command adds the shared flags that it needs.
func (e *env) flags(name, summary, example string) *flags {
	f := &flags{FlagSet: flag.NewFlagSet(name, flag.ContinueOnError), env: e}
	f.SetOutput(e.stderr)
	f.BoolVar(&f.json, "json", false, "answer in JSON")
	f.Usage = func() {
		fmt.Fprintf(e.stderr, "wafer %s: %s\n\nexample:\n  %s\n\nflags:\n", name, summary, strings.ReplaceAll(example, "\n", "\n  "))
		f.PrintDefaults()
	}
	return f
}

// parse parses the arguments. names are the positional arguments that may follow
// the flags.
func (f *flags) parse(args []string, names ...string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() > len(names) {
		return f.usageError("unexpected argument behind the flags") // the message omits it: it may be the URL of a store
	}
	return nil
}

// usageError prints an error of the command line and the usage, and returns
// errUsage.
func (f *flags) usageError(format string, args ...any) error {
	fmt.Fprintf(f.env.stderr, "wafer %s: %s\n\n", f.Name(), fmt.Sprintf(format, args...))
	f.Usage()
	return errUsage
}

// output prints v as JSON with --json, and calls text otherwise.
func (f *flags) output(v any, text func(w io.Writer)) error {
	if !f.json {
		text(f.env.stdout)
		return nil
	}
	e := json.NewEncoder(f.env.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// withYes adds --yes, for commands that cannot be undone.
func (f *flags) withYes() { f.BoolVar(&f.yes, "yes", false, "do not ask") }

// confirm asks the user at the terminal for a confirmation, unless --yes is set.
// It returns errNo if the user does not confirm, or if there is no terminal.
func (f *flags) confirm(format string, args ...any) error {
	if f.yes {
		return nil
	}
	prompt := fmt.Sprintf(format, args...)
	if !f.env.terminal {
		fmt.Fprintf(f.env.stderr, "wafer %s: %s\nNobody is there to ask: say --yes.\n", f.Name(), prompt)
		return errNo
	}
	fmt.Fprintf(f.env.stderr, "%s [y/N] ", prompt)
	line, err := bufio.NewReader(f.env.stdin).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	if answer := strings.ToLower(strings.TrimSpace(line)); answer != "y" && answer != "yes" {
		fmt.Fprintln(f.env.stderr, "Nothing was changed.")
		return errNo
	}
	return nil
}
