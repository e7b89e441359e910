package sqsserver

import (
	"crypto/md5"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
)

func bodyDigest(body string) string {
	sum := md5.Sum([]byte(body))
	return hex.EncodeToString(sum[:])
}

// contentID is the deduplication id of content-based deduplication.
func contentID(body string) string {
	sum := sha256.Sum256([]byte(body))
	return hex.EncodeToString(sum[:])
}

// attributesDigest is the MD5 of attributes sorted by name, in the encoding of
// the SQS Developer Guide, "Calculating the MD5 message digest for message
// attributes"; empty without attributes.
func attributesDigest(attrs []attribute) string {
	if len(attrs) == 0 {
		return ""
	}
	var b []byte
	piece := func(n int) { b = binary.BigEndian.AppendUint32(b, uint32(n)) }
	for i := range attrs {
		a := &attrs[i]
		piece(len(a.name))
		b = append(b, a.name...)
		piece(len(a.dataType))
		b = append(b, a.dataType...)
		if a.isBinary {
			b = append(b, 2)
			piece(len(a.binary))
			b = append(b, a.binary...)
		} else {
			b = append(b, 1)
			piece(len(a.text))
			b = append(b, a.text...)
		}
	}
	sum := md5.Sum(b)
	return hex.EncodeToString(sum[:])
}
