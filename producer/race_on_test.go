//go:build race

package producer_test

// raceDetector makes everything some ten times slower.
const raceDetector = true
