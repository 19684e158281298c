package rounds_test

import (
	"fmt"

	"github.com/waferkit/wafer/internal/rounds"
)

func ExampleOf() {
	tried := 0
	for range rounds.Of(10, 1000) {
		tried++
	}
	fmt.Println(tried == 10 || rounds.Full())
	// Output: true
}
