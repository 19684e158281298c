package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestUsage(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		has  string // on either output
	}{
		{nil, exitDone, "usage: wafer COMMAND"},
		{[]string{"-h"}, exitDone, "usage: wafer COMMAND"},
		{[]string{"help"}, exitDone, "usage: wafer COMMAND"},
		{[]string{"keys"}, exitUsage, `no such command "keys"`},
		{[]string{"nothing", "at all"}, exitUsage, `no such command "nothing"`},
		{[]string{"wfr1_AAAAASECRET"}, exitUsage, "no such command\n"},
		{[]string{"version", "x"}, exitUsage, "unexpected argument"},
		{[]string{"version", "-nothing"}, exitUsage, "flag provided but not defined"},
		{[]string{"version"}, exitDone, "wafer "},
		{[]string{"version", "-json"}, exitDone, `"version"`},
	} {
		var out, err bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &out, stderr: &err, getenv: func(string) string { return "" }, now: time.Now}
		if code := run(t.Context(), e, c.args); code != c.code {
			t.Errorf("%q ended with %d, want %d", c.args, code, c.code)
		}
		if both := out.String() + err.String(); !strings.Contains(both, c.has) || strings.Contains(both, "SECRET") {
			t.Errorf("%q said %q", c.args, both)
		}
	}
	// Every command has an example and its own help.
	for _, c := range commands {
		var err bytes.Buffer
		e := &env{stdin: strings.NewReader(""), stdout: &err, stderr: &err, getenv: func(string) string { return "" }, now: time.Now}
		if code := run(t.Context(), e, append(strings.Fields(c.name), "-h")); code != exitDone || !strings.Contains(err.String(), "example:\n  wafer "+c.name) && !strings.Contains(err.String(), "wafer "+c.name) {
			t.Errorf("%s -h ended with %d: %s", c.name, code, &err)
		}
	}
}
