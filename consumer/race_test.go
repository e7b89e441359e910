//go:build race

package consumer_test

// raceDetector tells that the tests are built with it.
const raceDetector = true
