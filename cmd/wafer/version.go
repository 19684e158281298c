package main

import (
	"context"
	"fmt"
	"io"
	"runtime/debug"
)

func version(_ context.Context, e *env, args []string) error {
	f := e.flags("version", "shows the version of this program", "wafer version")
	if err := f.parse(args); err != nil {
		return err
	}
	v := struct {
		Version string `json:"version"`
		Go      string `json:"go"`
	}{Version: "(devel)"}
	if info, ok := debug.ReadBuildInfo(); ok {
		v.Version, v.Go = info.Main.Version, info.GoVersion
	}
	return f.output(v, func(w io.Writer) { fmt.Fprintf(w, "wafer %s, %s\n", v.Version, v.Go) })
}
