// Package printed prints a value in every way in which a program may print one
// that it did not mean to show. Tests look for secrets in what it returns.
package printed

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// Everywhere returns what printing shows of v, by value and by pointer: alone, in
// exported and unexported fields, behind interfaces, and in slices, arrays and
// maps; by every verb of package fmt, by slog's two handlers and by
// encoding/json.
func Everywhere[V any](v V) string {
	type exported struct {
		V V
		P *V
	}
	type unexported struct {
		v V
		p *V
	}
	type boxed struct {
		v, p any
		list []any
	}
	type deep struct {
		inner  unexported
		outer  *unexported
		slice  []V
		points []*V
		array  [1]V
		values map[string]V
		boxed  boxed
	}
	hidden := unexported{v, &v}
	box := boxed{v, &v, []any{v, &v}}
	var b strings.Builder
	for _, holder := range []any{
		v, &v, exported{v, &v}, &exported{v, &v}, hidden, &hidden, box, &box,
		[]V{v}, []*V{&v}, [1]V{v}, map[string]V{"v": v}, map[string]*V{"v": &v}, []any{v, &v},
		deep{hidden, &hidden, []V{v}, []*V{&v}, [1]V{v}, map[string]V{"v": v}, box},
		reflect.ValueOf(v), reflect.ValueOf(hidden).Field(0), reflect.ValueOf(hidden).Field(1),
	} {
		print(&b, holder)
	}
	return b.String()
}

// print prints one value in every way.
func print(b *strings.Builder, v any) {
	for _, verb := range "vsqxXdobcUtpTeg" {
		for _, flags := range []string{"", "+", "#", " "} {
			fmt.Fprintf(b, "%"+flags+string(verb)+"\n", v)
		}
	}
	fmt.Fprintln(b, v)
	var logged bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		log := slog.New(handler)
		log.Info("printed", "v", v)
		log.With("v", v).WithGroup("g").Info("printed", slog.Group("v", slog.Any("v", v)))
	}
	b.Write(logged.Bytes())
	text, err := json.Marshal(v)
	fmt.Fprintln(b, string(text), err)
}
