// Package bench compares wafer with session libraries that keep sessions in Redis
// and Postgres, and measures how wafer's cost grows. Its programs are:
//
//	go run ./bench/run        measures everything (about 10 minutes)
//	go run ./bench/report     makes docs/benchmarks.md of the results
//	go run ./bench/capacity   makes docs/capacity.md of the results
//	go run ./bench/guard      compares the ratios with the budget
package bench
