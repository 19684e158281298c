module github.com/waferkit/wafer/bench

go 1.26.0

require (
	github.com/waferkit/wafer v0.0.0
	github.com/waferkit/wafer/store/sqlite v0.0.0
)

replace (
	github.com/waferkit/wafer => ..
	github.com/waferkit/wafer/store/sqlite => ../store/sqlite
)
