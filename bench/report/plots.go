package main

import (
	"bytes"
	"fmt"
	"image/color"
	"slices"
	"strconv"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	_ "gonum.org/v1/plot/vg/vgsvg"

	"github.com/waferkit/wafer/bench/internal/results"
)

var (
	waferColor = color.RGBA{0x1f, 0x5f, 0xa8, 0xff}
	otherColor = color.RGBA{0xb0, 0x6a, 0x2c, 0xff}
	grayColor  = color.RGBA{0x8a, 0x8a, 0x8a, 0xff}
)

// plots draws all plots and returns them by their names below docs.
func plots(set results.Set) (map[string][]byte, error) {
	files := map[string][]byte{}
	for name, draw := range map[string]func(*table) (*plot.Plot, vg.Length){
		"request": requestPlot, "servers": serverPlot, "cookies": cookiePlot, "sessions": sessionPlot, "data": dataPlot,
	} {
		t := newTable(set, name)
		p, height := draw(t)
		if _, err := t.done(); err != nil {
			return nil, err
		}
		b, err := svg(p, height)
		if err != nil {
			return nil, fmt.Errorf("the plot %s: %w", name, err)
		}
		files["benchmarks/"+name+".svg"] = b
	}
	return files, nil
}

func newPlot(title, x string) *plot.Plot {
	p := plot.New()
	p.Title.Text, p.X.Label.Text = title, x
	sans := font.Font{Typeface: "Liberation", Variant: "Sans"}
	for _, s := range []*text.Style{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle, &p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle} {
		s.Font.Typeface, s.Font.Variant = sans.Typeface, sans.Variant
		s.Font.Size = 11
	}
	p.Title.TextStyle.Font.Size = 13
	p.Title.Padding, p.X.Label.Padding, p.Legend.Padding = 8, 6, 4
	return p
}

func svg(p *plot.Plot, height vg.Length) ([]byte, error) {
	w, err := p.WriterTo(18*vg.Centimeter, height, "svg")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	if _, err := w.WriteTo(&b); err != nil {
		return nil, err
	}
	// A reader's machine may not have the plot's font.
	return bytes.ReplaceAll(b.Bytes(), []byte("font-family:Liberation Sans;"), []byte("font-family:'Liberation Sans',Arial,Helvetica,sans-serif;")), nil
}

// bars draws horizontal bars with their values after them, the first on top.
func bars(p *plot.Plot, names []string, values []float64, show func(float64) string) vg.Length {
	n := len(names)
	colors := []color.Color{waferColor, otherColor, grayColor}
	groups := make([]plotter.Values, len(colors))
	for i := range groups {
		groups[i] = make(plotter.Values, n)
	}
	ticks := make([]plot.Tick, n)
	labels := plotter.XYLabels{}
	for i, name := range names {
		at := n - 1 - i
		ticks[at] = plot.Tick{Value: float64(at), Label: name}
		group := 1
		switch {
		case strings.HasPrefix(name, "wafer"):
			group = 0
		case name == "floor":
			group = 2
		}
		groups[group][at] = values[i]
		labels.XYs = append(labels.XYs, plotter.XY{X: values[i], Y: float64(at)})
		labels.Labels = append(labels.Labels, show(values[i]))
	}
	for i, v := range groups {
		b, err := plotter.NewBarChart(v, 14)
		if err != nil {
			panic(err) // the values are finite and there is at least one: figure checks that
		}
		b.Horizontal, b.Color, b.LineStyle.Width = true, colors[i], 0
		p.Add(b)
	}
	l, err := plotter.NewLabels(labels)
	if err != nil {
		panic(err)
	}
	for i := range l.TextStyle {
		l.TextStyle[i].Font.Typeface, l.TextStyle[i].Font.Variant, l.TextStyle[i].Font.Size = "Liberation", "Sans", 10
		l.TextStyle[i].YAlign = draw.YCenter
	}
	l.Offset.X = 4
	p.Add(l)
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Tick.Length, p.Y.LineStyle.Width = 0, 0
	p.X.Min, p.X.Max = 0, slices.Max(values)*1.15
	p.Y.Min, p.Y.Max = -0.6, float64(n)-0.4
	return vg.Length(n)*26 + 80
}

func requestPlot(t *table) (*plot.Plot, vg.Length) {
	p := newPlot("A request that reads its session", "µs (less is better)")
	names := []string{"floor", "wafer, identity", "wafer, data"}
	values := []float64{t.figure(floor, "ns/op") / 1000, t.figure("root:Request/identity/wafer", "ns/op") / 1000, t.figure("root:Request/data/wafer", "ns/op") / 1000}
	for _, n := range []struct{ name, benchmark string }{
		{"scs, in memory", "root:Request/data/scs-memstore"},
		{"gorilla, cookie", "root:Request/data/gorilla"},
		{"scs, Redis", "bench:Network/data/scs-Redis"},
		{"gorilla, Redis", "bench:Network/data/gorilla-Redis"},
		{"scs, Postgres", "bench:Network/data/scs-Postgres"},
	} {
		names, values = append(names, n.name), append(values, t.figure(n.benchmark, "ns/op")/1000)
	}
	return p, bars(p, names, values, func(v float64) string { return duration(1000 * v) })
}

func cookiePlot(t *table) (*plot.Plot, vg.Length) {
	p := newPlot("Cookies of the same session", "bytes in each request (less is better)")
	names, bytes := cookieSizes(t)
	for i := range names {
		names[i] = strings.Replace(names[i], " (an id: the data is in the store)", ", an id alone", 1)
	}
	return p, bars(p, names, bytes, func(v float64) string { return whole(v) + " B" })
}

// serverPlot shows p50, p99 and p99.9 of each server at the middle rate, on a
// logarithmic axis. It uses points, since a bar has no origin on such an axis.
func serverPlot(t *table) (*plot.Plot, vg.Length) {
	var rates []int
	for _, name := range t.set.Names("load") {
		_, rate, _ := strings.Cut(name, "@")
		if n, err := strconv.Atoi(rate); err == nil && !slices.Contains(rates, n) {
			rates = append(rates, n)
		}
	}
	slices.Sort(rates)
	rate := 0
	if len(rates) > 0 {
		rate = rates[len(rates)/2]
	}
	var apps []string
	for _, name := range t.set.Names("load") {
		if app, at, _ := strings.Cut(name, "@"); at == strconv.Itoa(rate) {
			apps = append(apps, app)
		}
	}
	p := newPlot(fmt.Sprintf("Whole servers at %d requests a second", rate), "µs from when a request was due, logarithmic (less is better)")
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	grid := plotter.NewGrid()
	grid.Horizontal.Width = 0
	p.Add(grid)
	ticks := make([]plot.Tick, len(apps))
	shapes := []struct {
		unit, name string
		shape      draw.GlyphDrawer
	}{{"p50-us", "p50", draw.CircleGlyph{}}, {"p99-us", "p99", draw.SquareGlyph{}}, {"p99.9-us", "p99.9", draw.TriangleGlyph{}}}
	for i, app := range apps {
		ticks[i] = plot.Tick{Value: float64(len(apps) - 1 - i), Label: app}
	}
	for _, s := range shapes {
		for _, ours := range []bool{true, false} {
			var points plotter.XYs
			for i, app := range apps {
				if strings.HasPrefix(app, "wafer") == ours {
					points = append(points, plotter.XY{X: max(1, t.figure(fmt.Sprintf("%s@%d", app, rate), s.unit)), Y: float64(len(apps) - 1 - i)})
				}
			}
			if len(points) == 0 {
				continue
			}
			c, err := plotter.NewScatter(points)
			if err != nil {
				panic(err) // the figures are finite
			}
			c.Shape, c.Radius, c.Color = s.shape, 5, otherColor
			if ours {
				c.Color = waferColor
			} else {
				p.Legend.Add(s.name, c)
			}
			p.Add(c)
		}
	}
	p.Legend.Top, p.Legend.XOffs = true, -6
	p.Y.Tick.Marker = plot.ConstantTicks(ticks)
	p.Y.Min, p.Y.Max = -0.6, float64(len(apps))-0.4
	return p, vg.Length(len(apps))*28 + 100
}

// decades are ticks at the powers of ten, written out, with lines at 2 and 5.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for v := 1e-3; v <= high*10; v *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v*m >= low*0.999 && v*m <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v * m, Label: short(v * m)})
			}
		}
	}
	return ticks
}

func short(v float64) string {
	switch {
	case v >= 1e9:
		return fmt.Sprintf("%g G", v/1e9)
	case v >= 1e6:
		return fmt.Sprintf("%g M", v/1e6)
	case v >= 1e3:
		return fmt.Sprintf("%g k", v/1e3)
	}
	return fmt.Sprintf("%g", v)
}

func lines(p *plot.Plot, name string, c color.Color, points plotter.XYs) {
	l, s, err := plotter.NewLinePoints(points)
	if err != nil {
		panic(err) // the figures are finite and there is at least one
	}
	l.Color, l.Width, s.Color, s.Shape, s.Radius = c, 2, c, draw.CircleGlyph{}, 4
	p.Add(l, s)
	p.Legend.Add(name, l, s)
}

// legend puts the names above the lines, at the left, where the lines are low.
func legend(p *plot.Plot) {
	p.Legend.Top, p.Legend.Left, p.Legend.XOffs = true, true, 8
	p.Y.Min, p.Y.Max = 0, 1.3*p.Y.Max
}

// sessionPlot is in MB. The memory that wafer needs for a thousand sessions is
// too little for a logarithmic axis.
func sessionPlot(t *table) (*plot.Plot, vg.Length) {
	p := newPlot("The server's memory for active sessions", "active sessions, logarithmic")
	p.Y.Label.Text = "MB"
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decadesOnly{}
	p.Add(plotter.NewGrid())
	for _, l := range []struct {
		name, slug string
		c          color.Color
	}{{"wafer", "wafer", waferColor}, {"scs, in memory", "scs-memstore", otherColor}} {
		var points plotter.XYs
		for _, n := range suffixes(t.set, "bench:ScaleSessions/"+l.slug+"/") {
			x, _ := strconv.ParseFloat(n, 64)
			points = append(points, plotter.XY{X: x, Y: x * t.figure("bench:ScaleSessions/"+l.slug+"/"+n, "B/session") / 1e6})
		}
		if len(points) > 0 {
			lines(p, l.name, l.c, points)
		}
	}
	legend(p)
	return p, 8 * vg.Centimeter
}

type decadesOnly struct{}

func (decadesOnly) Ticks(low, high float64) (ticks []plot.Tick) {
	for v := 1.0; v <= high*1.001; v *= 10 {
		if v >= low*0.999 {
			ticks = append(ticks, plot.Tick{Value: v, Label: short(v)})
		}
	}
	return ticks
}

func dataPlot(t *table) (*plot.Plot, vg.Length) {
	p := newPlot("A request, as the session's data grows", "bytes besides the usual data")
	p.Y.Label.Text = "times"
	p.Add(plotter.NewGrid())
	for _, l := range []struct {
		name, slug string
		c          color.Color
	}{{"wafer, to wafer with the usual data", "wafer", waferColor}, {"wafer, to scs in memory with the same data", "scs-memstore", otherColor}} {
		var points plotter.XYs
		for _, what := range suffixes(t.set, "bench:ScaleData/") {
			if n, ok := strings.CutSuffix(what, "/to-"+l.slug); ok {
				x, _ := strconv.ParseFloat(n, 64)
				points = append(points, plotter.XY{X: x, Y: t.figure("bench:ScaleData/"+what, "ratio")})
			}
		}
		if len(points) > 0 {
			lines(p, l.name, l.c, points)
		}
	}
	legend(p)
	return p, 8 * vg.Centimeter
}
