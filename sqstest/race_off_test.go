//go:build !race

package sqstest_test

const raceDetector = false
