//go:build !race

package idempotency_test

// raceDetector tells that the tests are built with it.
const raceDetector = false
