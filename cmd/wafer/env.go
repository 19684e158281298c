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

// env is what a command sees of the world.
type env struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	getenv         func(string) string
	now            func() time.Time
	terminal       bool // somebody at a keyboard can be asked
}

func newEnv() *env {
	info, err := os.Stdin.Stat()
	return &env{
		stdin: os.Stdin, stdout: os.Stdout, stderr: os.Stderr, getenv: os.Getenv, now: time.Now,
		terminal: err == nil && info.Mode()&os.ModeCharDevice != 0,
	}
}

// flags is a command's set of flags, with those that many share.
type flags struct {
	*flag.FlagSet
	env  *env
	json bool
	yes  bool
	ring ringFlags
	db   string
}

// flags returns a new set. Each command adds what it needs of the shared ones.
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

// parse parses the arguments; what is left must be at most as many as are named.
func (f *flags) parse(args []string, names ...string) error {
	if err := f.Parse(args); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return err
		}
		return errUsage
	}
	if f.NArg() > len(names) {
		return f.wrong("unexpected argument %q", f.Arg(len(names)))
	}
	return nil
}

// wrong tells how a command was written wrongly.
func (f *flags) wrong(format string, args ...any) error {
	fmt.Fprintf(f.env.stderr, "wafer %s: %s\n\n", f.Name(), fmt.Sprintf(format, args...))
	f.Usage()
	return errUsage
}

// answer prints v as JSON, or what text writes.
func (f *flags) answer(v any, text func(w io.Writer)) error {
	if !f.json {
		text(f.env.stdout)
		return nil
	}
	e := json.NewEncoder(f.env.stdout)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// withYes adds --yes, for commands that destroy something.
func (f *flags) withYes() { f.BoolVar(&f.yes, "yes", false, "do not ask") }

// confirm asks whoever sits at the terminal. Without --yes, and without
// anybody to ask, the answer is no.
func (f *flags) confirm(format string, args ...any) error {
	if f.yes {
		return nil
	}
	question := fmt.Sprintf(format, args...)
	if !f.env.terminal {
		fmt.Fprintf(f.env.stderr, "wafer %s: %s\nNobody is there to ask: say --yes.\n", f.Name(), question)
		return errNo
	}
	fmt.Fprintf(f.env.stderr, "%s [y/N] ", question)
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
