package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/waferkit/wafer/bench/internal/budget"
	"github.com/waferkit/wafer/bench/internal/results"
)

const floor = "root:Request/floor"

// named lists the contenders of the root module with their common names.
var named = []struct{ name, slug string }{
	{"wafer", "wafer"},
	{"gorilla/sessions, its cookie store", "gorilla"},
	{"gorilla/sessions over wafer's keys", "gorilla-format"},
	{"scs, in memory", "scs-memstore"},
}

// networked lists those of package bench.
var networked = []struct{ name, slug string }{
	{"wafer", "wafer"},
	{"scs, in memory", "scs-memstore"},
	{"scs, Redis", "scs-Redis"},
	{"gorilla/sessions, Redis", "gorilla-Redis"},
	{"scs, Postgres", "scs-Postgres"},
}

func peers(set results.Set) string {
	var list []string
	for name, version := range set[0].Text {
		if module, ok := strings.CutPrefix(name, "module "); ok {
			list = append(list, "- "+module+" "+version)
		}
	}
	for _, name := range set.Names("cookie") {
		for _, r := range set {
			if r.Name == name {
				list = append(list, "- "+name+" "+r.Text["version"]+" (npm)")
			}
		}
	}
	slices.Sort(list)
	return strings.Join(list, "\n")
}

func budgetTable(set results.Set) (string, error) {
	t := newTable(set, "Work", "Budget", "This run", "Met")
	var unmet []string
	for _, row := range budget.Rows {
		v, ok := set.Median(row.Name, row.Unit)
		if !ok {
			t.row(row.Work, row.Budget, "not measured", "")
			continue
		}
		shown := number(v)
		if row.Inverse {
			shown = "1/" + number(1/v)
		}
		met := "yes"
		if !row.Met(v) {
			met = "**no**"
			text := "- " + row.Work + ": " + obstacle(row)
			if row.Reached != 0 {
				text += fmt.Sprintf(" The guard holds %.3g meanwhile.", row.Reached)
			}
			unmet = append(unmet, text)
		}
		t.row(row.Work, row.Budget, shown, met)
	}
	text, err := t.done()
	if len(unmet) > 0 {
		text += "\n\nThe reasons, for the rows that are not met:\n\n" + strings.Join(unmet, "\n")
	}
	return text, err
}

// noiseTable shows the spread of the guard's figures.
func noiseTable(noise results.Set) (string, error) {
	t := newTable(noise, "Guarded ratio", "Least", "Median", "Most", "Most over the median", "Margin")
	for _, row := range budget.Rows {
		if !row.Guarded || row.Margin == 0 {
			continue
		}
		var list []float64
		for _, name := range noise.Names("noise") {
			list = append(list, noise.Values(name, row.Key())...)
		}
		if len(list) == 0 {
			return "", fmt.Errorf("the noise of %q was not measured", row.Work)
		}
		slices.Sort(list)
		middle, most := list[len(list)/2], list[len(list)-1]
		show := func(v float64) string { return fmt.Sprintf("%.3g", v) }
		t.row(row.Work, show(list[0]), show(middle), show(most), fmt.Sprintf("%.0f%%", 100*(most/middle-1)), fmt.Sprintf("%.0f%%", 100*row.Margin))
	}
	return t.done()
}

func requestTable(set results.Set) (string, error) {
	t := newTable(set, "A request that reads", "Time", "× floor", "Bytes allocated", "Allocations")
	base := t.figure(floor, "ns/op")
	line := func(what, name string) {
		ns := t.figure(name, "ns/op")
		t.row(what, duration(ns), times(ns/base), whole(t.figure(name, "B/op")), whole(t.figure(name, "allocs/op")))
	}
	line("floor: find the cookie, base64, one AES-256-GCM open", floor)
	line("wafer, the identity alone", "root:Request/identity/wafer")
	for _, n := range named {
		line(n.name, "root:Request/data/"+n.slug)
	}
	for _, n := range networked[2:] {
		line(n.name, "bench:Network/data/"+n.slug)
	}
	return t.done()
}

var processors = []int{1, 2, 4, 8}

func parallelTable(set results.Set) (string, error) {
	head := []string{"GOMAXPROCS"}
	for _, n := range processors {
		head = append(head, strconv.Itoa(n))
	}
	t := newTable(set, head...)
	for _, n := range append([]struct{ name, slug string }{{"floor", "floor"}}, named...) {
		name := "root:RequestParallel/data/" + n.slug
		if n.slug == "floor" {
			name = "root:RequestParallel/floor"
		}
		cells := []string{n.name}
		for _, p := range processors {
			cells = append(cells, duration(t.figure(fmt.Sprintf("%s@%d", name, p), "ns/op")))
		}
		t.row(cells...)
	}
	return t.done()
}

func pathTable(set results.Set) (string, error) {
	t := newTable(set, "Path", "Library", "Time", "× floor", "Allocations", "Set-Cookie bytes")
	base := t.figure(floor, "ns/op")
	line := func(path, library, name string) {
		ns := t.figure(name, "ns/op")
		t.row(path, library, duration(ns), times(ns/base), whole(t.figure(name, "allocs/op")), whole(t.figure(name, "set-cookie-bytes")))
	}
	for _, path := range []string{"Login", "Save"} {
		for _, n := range named {
			line(strings.ToLower(path), n.name, "root:"+path+"/"+n.slug)
		}
	}
	line("commit", "wafer", "root:Commit")
	line("refresh", "wafer", "root:Refresh")
	for _, n := range named {
		line("logout", n.name, "root:Logout/"+n.slug)
	}
	return t.done()
}

func tokenTable(set results.Set) (string, error) {
	t := newTable(set, "A request with an access token", "Time", "× floor", "Allocations")
	base := t.figure(floor, "ns/op")
	for _, n := range []struct{ what, name string }{
		{"golang-jwt: the parse alone, EdDSA", "root:Bearer/golang-jwt"},
		{"wafer, a token that it sees for the first time", "root:Bearer/first"},
		{"wafer, a token that it has verified before", "root:Bearer/again"},
	} {
		ns := t.figure(n.name, "ns/op")
		t.row(n.what, duration(ns), times(ns/base), whole(t.figure(n.name, "allocs/op")))
	}
	return t.done()
}

func networkTable(set results.Set) (string, error) {
	t := newTable(set, "Library", "Read, one at a time", "× floor", "Read, 64 at once", "Login", "Save")
	base := t.figure(floor, "ns/op")
	for _, n := range networked {
		ns := t.figure("bench:Network/data/"+n.slug, "ns/op")
		t.row(n.name, duration(ns), times(ns/base),
			duration(t.figure("bench:NetworkParallel/data/"+n.slug, "ns/op")),
			duration(t.figure("bench:Network/login/"+n.slug, "ns/op")),
			duration(t.figure("bench:Network/save/"+n.slug, "ns/op")))
	}
	return t.done()
}

func writeTable(set results.Set) (string, error) {
	t := newTable(set, "wafer's store", "Login", "Refresh", "Commit")
	for _, engine := range suffixes(set, "bench:Writes/login/") {
		t.row(engine, duration(t.figure("bench:Writes/login/"+engine, "ns/op")),
			duration(t.figure("bench:Writes/refresh/"+engine, "ns/op")),
			duration(t.figure("bench:Writes/commit/"+engine, "ns/op")))
	}
	return t.done()
}

// suffixes returns what follows a prefix in the names of the run.
func suffixes(set results.Set, prefix string) (list []string) {
	for _, name := range set.Names("benchmark") {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			list = append(list, rest)
		}
	}
	return list
}

func engineTable(set results.Set) (string, error) {
	t := newTable(set, "Engine and operation", "The bare statement, a second", "The engine, a second", "Of bare")
	for _, engine := range []string{"sqlite", "redis", "postgres"} {
		for _, what := range suffixes(set, engine+":") {
			share, ok := set.Median(engine+":"+what, "%of-bare")
			if !ok {
				share, ok = set.Median(engine+":"+what, "%store")
			}
			if ok {
				t.row(engine+": "+strings.NewReplacer("/", ", ", "_", " ").Replace(what),
					number(t.figure(engine+":"+what, "bare/s")), number(t.figure(engine+":"+what, "store/s")), fmt.Sprintf("%.0f%%", share))
			}
		}
	}
	return t.done()
}

func serverTable(set results.Set) (string, error) {
	t := newTable(set, "Server", "Rate, a second", "p50", "p99", "p99.9", "Worst", "Processor time, a request")
	for _, name := range set.Names("load") {
		app, rate, _ := strings.Cut(name, "@")
		us := func(unit string) string { return duration(1000 * t.figure(name, unit)) }
		reached := t.figure(name, "reached")
		if want := t.figure(name, "rate"); reached < 0.97*want {
			rate += fmt.Sprintf(" (reached %.0f)", reached)
		}
		t.row(app, rate, us("p50-us"), us("p99-us"), us("p99.9-us"), us("worst-us"), us("cpu-us/request"))
	}
	return t.done()
}

// cookieSizes are the sizes of the cookies in the order of the table and the
// plot.
func cookieSizes(t *table) (names []string, bytes []float64) {
	add := func(name string, v float64) { names, bytes = append(names, name), append(bytes, v) }
	add("wafer, the session cookie", t.figure("root:Request/data/wafer", "session-cookie-bytes"))
	add("wafer, with the refresh cookie", t.figure("root:Request/data/wafer", "cookie-bytes"))
	for _, name := range t.set.Names("cookie") {
		add(name, t.figure(name, "bytes"))
	}
	add("gorilla/sessions", t.figure("root:Request/data/gorilla", "cookie-bytes"))
	add("gorilla/sessions over wafer's keys", t.figure("root:Request/data/gorilla-format", "cookie-bytes"))
	add("scs (an id: the data is in the store)", t.figure("root:Request/data/scs-memstore", "cookie-bytes"))
	return names, bytes
}

func cookieTable(set results.Set) (string, error) {
	t := newTable(set, "Library", "Bytes in each request", "To wafer's session cookie")
	names, bytes := cookieSizes(t)
	for i, name := range names {
		t.row(name, whole(bytes[i]), times(bytes[i]/bytes[0]))
	}
	return t.done()
}

// costTable shows where wafer is slower or larger than something else.
func costTable(set results.Set) (string, error) {
	t := newTable(set, "What", "wafer", "The other", "Factor")
	type side struct {
		name, unit string
	}
	line := func(what string, ours side, than string, theirs side, show func(float64) string) {
		a, b := t.figure(ours.name, ours.unit), t.figure(theirs.name, theirs.unit)
		if a > b {
			t.row(what+", to "+than, show(a), show(b), times(a/b))
		}
	}
	size := func(v float64) string { return whole(v) + " B" }
	line("Cookies in each request", side{"root:Request/data/wafer", "cookie-bytes"}, "scs", side{"root:Request/data/scs-memstore", "cookie-bytes"}, size)
	line("Cookies that a login sets", side{"root:Login/wafer", "set-cookie-bytes"}, "scs", side{"root:Login/scs-memstore", "set-cookie-bytes"}, size)
	line("Cookies that a save sets", side{"root:Save/wafer", "set-cookie-bytes"}, "scs", side{"root:Save/scs-memstore", "set-cookie-bytes"}, size)
	for _, n := range named[1:] {
		line("Login, store in memory", side{"root:Login/wafer", "ns/op"}, n.name, side{"root:Login/" + n.slug, "ns/op"}, duration)
		line("Save", side{"root:Save/wafer", "ns/op"}, n.name, side{"root:Save/" + n.slug, "ns/op"}, duration)
		line("Commit, store in memory", side{"root:Commit", "ns/op"}, "a save of "+n.name, side{"root:Save/" + n.slug, "ns/op"}, duration)
		line("Logout, store in memory", side{"root:Logout/wafer", "ns/op"}, n.name, side{"root:Logout/" + n.slug, "ns/op"}, duration)
		line("Refresh, store in memory", side{"root:Refresh", "ns/op"}, "a read of "+n.name, side{"root:Request/data/" + n.slug, "ns/op"}, duration)
	}
	for _, engine := range suffixes(set, "bench:Writes/login/") {
		for _, n := range networked[2:] {
			line("Login, "+engine, side{"bench:Writes/login/" + engine, "ns/op"}, n.name, side{"bench:Network/login/" + n.slug, "ns/op"}, duration)
			line("Commit, "+engine, side{"bench:Writes/commit/" + engine, "ns/op"}, "a save of "+n.name, side{"bench:Network/save/" + n.slug, "ns/op"}, duration)
			line("Refresh, "+engine, side{"bench:Writes/refresh/" + engine, "ns/op"}, "a read of "+n.name, side{"bench:Network/data/" + n.slug, "ns/op"}, duration)
		}
	}
	return t.done()
}

func sessionTable(set results.Set) (string, error) {
	t := newTable(set, "Active sessions", "wafer: the server's memory for each", "scs in memory: for each")
	for _, n := range suffixes(set, "bench:ScaleSessions/wafer/") {
		theirs := "not measured"
		if v, ok := set.Median("bench:ScaleSessions/scs-memstore/"+n, "B/session"); ok {
			theirs = number(v) + " B"
		}
		t.row(count(n), number(t.figure("bench:ScaleSessions/wafer/"+n, "B/session"))+" B", theirs)
	}
	return t.done()
}

func growthTable(set results.Set) (string, error) {
	t := newTable(set, "Beside", "A request takes")
	for _, n := range suffixes(set, "bench:ScaleRevocations/") {
		t.row(count(n)+" revocations in force", times(t.figure("bench:ScaleRevocations/"+n, "ratio"))+" as beside none")
	}
	for _, n := range suffixes(set, "bench:ScaleKeys/") {
		t.row(n+" keys in the ring", times(t.figure("bench:ScaleKeys/"+n, "ratio"))+" as with one")
	}
	return t.done()
}

func dataTable(set results.Set) (string, error) {
	t := newTable(set, "Data besides the usual", "Cookies in a request", "A request, to wafer with the usual data", "To scs in memory with the same")
	for _, n := range suffixes(set, "bench:ScaleData/") {
		n, ok := strings.CutSuffix(n, "/to-wafer")
		if !ok {
			continue
		}
		t.row(count(n)+" B", whole(t.figure("bench:ScaleData/"+n+"/to-wafer", "cookie-bytes"))+" B",
			times(t.figure("bench:ScaleData/"+n+"/to-wafer", "ratio")), times(t.figure("bench:ScaleData/"+n+"/to-scs-memstore", "ratio")))
	}
	return t.done()
}

func entryTable(set results.Set) (string, error) {
	t := newTable(set, "Revocations in the list", "A check, one reader", "Its processor time", "A check, all processors", "Memory for each")
	for _, n := range suffixes(set, "revocation:Check/") {
		n, ok := strings.CutSuffix(n, "/absent/beside_a_writer/one_reader")
		if !ok {
			continue
		}
		name := "revocation:Check/" + n + "/absent/beside_a_writer/"
		t.row(count(strings.TrimPrefix(n, "entries=")), duration(t.figure(name+"one_reader", "ns/op")), duration(t.figure(name+"one_reader", "cpu-ns/op")),
			duration(t.figure(name+"parallel", "ns/op")), number(t.figure(name+"one_reader", "B/entry"))+" B")
	}
	return t.done()
}

// count formats a whole number with commas.
func count(digits string) string {
	for i := len(digits) - 3; i > 0; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}
