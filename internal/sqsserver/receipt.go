package sqsserver

import (
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
)

// receipt is what a receipt handle says: the message, on which queue, and which
// of its receives this was. Only the newest receive's receipt is worth anything.
type receipt struct {
	queue   uint64
	message uint64
	receive uint64
}

const receiptBytes = 32

// handle is the receipt as clients see it, closed by a checksum so that a
// made-up handle is told from an old one without a table of all ever given out.
func (r receipt) handle() string {
	var b [receiptBytes]byte
	binary.BigEndian.PutUint64(b[0:], r.queue)
	binary.BigEndian.PutUint64(b[8:], r.message)
	binary.BigEndian.PutUint64(b[16:], r.receive)
	binary.BigEndian.PutUint64(b[24:], receiptSum(b[:24]))
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// parseReceipt reads a handle; ok is false for one no server of ours has made.
func parseReceipt(handle string) (r receipt, ok bool) {
	if base64.RawURLEncoding.DecodedLen(len(handle)) != receiptBytes {
		return receipt{}, false
	}
	b, err := base64.RawURLEncoding.Strict().DecodeString(handle)
	// The decoder skips line breaks, so the length must be asked once more.
	if err != nil || len(b) != receiptBytes || binary.BigEndian.Uint64(b[24:]) != receiptSum(b[:24]) {
		return receipt{}, false
	}
	return receipt{
		queue:   binary.BigEndian.Uint64(b[0:]),
		message: binary.BigEndian.Uint64(b[8:]),
		receive: binary.BigEndian.Uint64(b[16:]),
	}, true
}

func receiptSum(b []byte) uint64 {
	h := fnv.New64a()
	h.Write([]byte("receipt"))
	h.Write(b)
	return h.Sum64()
}
