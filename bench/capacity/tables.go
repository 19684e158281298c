package main

import (
	"fmt"
	"strings"

	"github.com/waferkit/wafer/bench/internal/results"
)

func row(b *strings.Builder, cells ...string) {
	b.WriteString("| " + strings.Join(cells, " | ") + " |\n")
}

func head(b *strings.Builder, cells ...string) {
	row(b, cells...)
	b.WriteString("|---" + strings.Repeat("|---:", len(cells)-1) + "|\n")
}

// figure formats a number with two or three significant digits.
func figure(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, " G"}, {1e6, " M"}, {1e3, " k"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.3g%s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.3g", v)
}

func bytesOf(v float64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e12, "TB"}, {1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if v >= unit.size {
			return fmt.Sprintf("%.3g %s", v/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%.0f B", v)
}

func measuredTable(engines []engine, n node) string {
	var b strings.Builder
	head(&b, "One server, 64 callers", "Logins a second", "Refreshes a second", "Revocations a second", "Bytes for a family")
	for _, e := range engines {
		row(&b, e.name, figure(e.logins), figure(e.refreshes), figure(e.revocations), figure(e.family))
	}
	fmt.Fprintf(&b, "\nA node: %.3g µs of a processor for each request that reads its session, %.0f bytes for\neach revocation in its list, and %.0f bytes of cookies in each request.", 1e6*n.request, n.entry, n.cookies)
	return b.String()
}

func sizeNames(first string) []string {
	names := []string{first}
	for _, s := range sizes {
		names = append(names, figure(s)+" active")
	}
	return names
}

func demandTable(n node) string {
	var b strings.Builder
	head(&b, sizeNames("All together")...)
	line := func(what string, of func(d demand) string) {
		cells := []string{what}
		for _, s := range sizes {
			cells = append(cells, of(demandOf(s)))
		}
		row(&b, cells...)
	}
	line("Requests a second", func(d demand) string { return figure(d.requests) })
	line("of them with a store query to read the session", func(demand) string { return "0" })
	line("Processors, for reading sessions", func(d demand) string { return figure(d.requests * n.request) })
	line("Cookies upstream, a second", func(d demand) string { return bytesOf(d.requests * n.cookies) })
	line("Refreshes a second", func(d demand) string { return figure(d.fewRefreshes) + " to " + figure(d.manyRefreshes) })
	line("Logins a second", func(d demand) string { return figure(d.logins) })
	line("Revocations a second", func(d demand) string { return figure(d.revocations) })
	line("Revocations in a list, one store for all", func(d demand) string { return figure(d.entries) + ", " + bytesOf(d.entries*n.entry) })
	return strings.TrimRight(b.String(), "\n")
}

func storeTable(engines []engine) string {
	var b strings.Builder
	head(&b, sizeNames("Stores")...)
	for _, e := range engines {
		cells, memory := []string{e.name + ": servers like the measured one"}, []string{e.name + ": families, all together"}
		for _, s := range sizes {
			d := demandOf(s)
			few, many := e.stores(d, d.fewRefreshes), e.stores(d, d.manyRefreshes)
			text := figure(few)
			if many != few {
				text += " to " + figure(many)
			}
			cells, memory = append(cells, text), append(memory, bytesOf(e.memory(d)))
		}
		row(&b, cells...)
		row(&b, memory...)
	}
	return strings.TrimRight(b.String(), "\n")
}

// readTable shows the same number of requests if each reads its session from a
// store.
func readTable(set results.Set) string {
	var b strings.Builder
	head(&b, sizeNames("Reads of a store, a second")...)
	cells, ours := []string{"sessions in a store: one for each request"}, []string{"wafer: refreshes alone"}
	for _, s := range sizes {
		d := demandOf(s)
		cells = append(cells, figure(d.requests))
		ours = append(ours, figure(d.fewRefreshes)+" to "+figure(d.manyRefreshes))
	}
	row(&b, cells...)
	row(&b, ours...)
	return strings.TrimRight(b.String(), "\n")
}
