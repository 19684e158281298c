// Package bench measures wafer against session libraries that keep sessions in
// Redis and Postgres, and how its cost grows. Its programs:
//
//	go run ./bench/run        measures everything (about 10 minutes)
//	go run ./bench/report     makes docs/benchmarks.md of the results
//	go run ./bench/capacity   makes docs/capacity.md of the results
//	go run ./bench/guard      holds the ratios against the budget
package bench
