package conformance

import "slices"

// SQS is every case about SQS.
func SQS() []Case {
	return slices.Concat(
		queueCases(), attributeBounds(), attributeCases(),
		sendCases(), messageAttributeCases(), batchCases(),
		receiveCases(), visibilityCases(), deleteCases(),
		fifoCases(), fifoOrderCases(), deadLetterCases(),
		tagCases(), permissionCases(), moveCases(),
	)
}
