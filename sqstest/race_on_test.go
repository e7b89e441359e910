//go:build race

package sqstest_test

// raceDetector makes everything some ten times slower.
const raceDetector = true
