// Package budget is the performance budget of wafer's design, row by row, and
// the comparison of a measurement with it.
package budget

// Row is one row of the budget.
type Row struct {
	Work   string // what is measured
	Budget string // the budget in words
	// Name and Unit identify the figure in the results.
	Name, Unit string
	// Limit is the maximum of the figure, or the minimum if AtLeast is set.
	Limit   float64
	AtLeast bool
	// Inverse shows the figure as "1/x".
	Inverse bool
	// Guarded rows are ratios of one run, which CI checks. Margin is the
	// fraction of Limit by which the guard's figure may miss it before that
	// counts as a failure: the effect of noise alone, as docs/benchmarks.md
	// explains. Sizes and counts have no margin.
	Guarded bool
	Margin  float64
	// Reached, unless 0, is the figure that a guarded row has reached while its
	// budget is not met. The guard checks that figure meanwhile, and
	// reports that the budget is not met.
	Reached float64
}

// Rows are all rows, in the order of the design.
var Rows = []Row{
	{Work: "request with a valid cookie: identity known, not revoked", Budget: "≤ 1.6 × floor",
		Name: "root:Budget/identity-to-floor", Unit: "ratio", Limit: 1.6, Guarded: true, Margin: 0.15, Reached: 2.2},
	{Work: "the same: allocations", Budget: "≤ 5",
		Name: "root:Budget/identity-to-floor", Unit: "allocs", Limit: 5, Guarded: true},
	{Work: "the same with the data decoded, to scs in memory", Budget: "≤ 1/8", Inverse: true,
		Name: "root:Budget/data-to-scs-memstore", Unit: "ratio", Limit: 1.0 / 8, Guarded: true, Margin: 0.1},
	{Work: "the same, to scs in Redis on loopback", Budget: "≤ 1/25", Inverse: true,
		Name: "bench:Budget/data-to-scs-Redis", Unit: "ratio", Limit: 1.0 / 25, Guarded: true, Margin: 1}, // it moves with the machine's load: 0.031 to 0.083 at loads of 4 to 29
	{Work: "cookie that holds the data, to gorilla/sessions", Budget: "≤ 1/2",
		Name: "root:Budget/data-to-gorilla", Unit: "session-cookie-ratio", Limit: 0.5, Guarded: true},
	{Work: "revocation check, 1 M entries, a writer at 100k/s: its processor time in ns", Budget: "≤ 100 ns",
		Name: "revocation:Check/entries=1000000/absent/beside_a_writer/one_reader", Unit: "cpu-ns/op", Limit: 100},
	{Work: "the same: bytes for each entry", Budget: "≤ 64 B",
		Name: "revocation:Check/entries=1000000/absent/beside_a_writer/one_reader", Unit: "B/entry", Limit: 64},
	{Work: "verified access token seen again, to a parse by golang-jwt", Budget: "≤ 1/30", Inverse: true,
		Name: "root:Budget/token-to-golang-jwt", Unit: "ratio", Limit: 1.0 / 30, Guarded: true, Margin: 0.15},
	{Work: "refresh, SQLite, 64 clients, of the bare group-committed statement", Budget: "≥ 60%",
		Name: "sqlite:Advance/64_clients", Unit: "%of-bare", Limit: 60, AtLeast: true},
	{Work: "refresh, Redis, 64 clients, of the bare script", Budget: "≥ 70%",
		Name: "redis:Advance/64_clients", Unit: "%of-bare", Limit: 70, AtLeast: true},
	{Work: "refresh, Postgres, 64 clients, of the bare statement", Budget: "≥ 70%",
		Name: "postgres:Advance/64_clients", Unit: "%store", Limit: 70, AtLeast: true},
}

// Key returns the row's name in records of the guard's noise.
func (r *Row) Key() string { return r.Name + " " + r.Unit }

// Met reports whether a figure is within the budget.
func (r *Row) Met(figure float64) bool {
	if r.AtLeast {
		return figure >= r.Limit
	}
	return figure <= r.Limit
}

// Held returns the figure that the guard checks: the reached one if there is
// one, or else the budget.
func (r *Row) Held() float64 {
	if r.Reached != 0 {
		return r.Reached
	}
	return r.Limit
}

// Within reports whether a figure is within the held one, or misses it by no
// more than noise.
func (r *Row) Within(figure float64) bool {
	if r.AtLeast {
		return figure >= r.Held()*(1-r.Margin)
	}
	return figure <= r.Held()*(1+r.Margin)
}
