//go:build !unix

package main

import (
	"errors"
	"time"
)

// cpuTime needs getrusage.
func cpuTime() (time.Duration, error) {
	return 0, errors.New("the benchmark measures CPU time by getrusage, which this system does not have")
}
