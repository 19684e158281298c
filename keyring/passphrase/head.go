package passphrase

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// A sealed key set is
//
//	"wafer/1 passphrase" ‖ 0x00 ‖ passes (1) ‖ MiB (2) ‖ lanes (1) ‖ salt (16)
//	‖ nonce (12) ‖ ciphertext ‖ tag (16)
//
// The first line is the head. It is the additional data of AES-256-GCM, whose
// key is the 32 bytes of Argon2id(passphrase, salt) (RFC 9106, version 0x13).
const (
	magic    = "wafer/1 passphrase\x00"
	saltSize = 16
	headSize = len(magic) + 4 + saltSize
	overhead = headSize + 12 + 16
)

// cost is the cost of one derivation.
type cost struct {
	passes    uint8
	mebibytes uint16
	lanes     uint8
}

var (
	// currentCost is the cost of the documents that this release writes:
	// the second recommended option of RFC 9106, section 4.
	currentCost = cost{passes: 3, mebibytes: 64, lanes: 4}
	// minCost is the lowest cost that any release has written. A document
	// with a lower one was not written by this package.
	minCost = currentCost
	// maxCost bounds the cost that a document may ask for, so that a
	// hostile document cannot exhaust the memory or the time of a node.
	maxCost = cost{passes: 10, mebibytes: 256, lanes: 16}
)

func (c cost) check() error {
	if c.passes < minCost.passes || c.passes > maxCost.passes || c.mebibytes < minCost.mebibytes || c.mebibytes > maxCost.mebibytes || c.lanes < minCost.lanes || c.lanes > maxCost.lanes {
		return fmt.Errorf("passphrase: the key set asks for %d passes, %d MiB and %d lanes of Argon2id: want %d to %d, %d to %d, %d to %d",
			c.passes, c.mebibytes, c.lanes, minCost.passes, maxCost.passes, minCost.mebibytes, maxCost.mebibytes, minCost.lanes, maxCost.lanes)
	}
	return nil
}

type head struct {
	cost
	salt [saltSize]byte
}

// marshal encodes the head. The slice has no spare capacity, so appending to it
// does not overwrite anything.
func (h head) marshal() []byte {
	b := append(make([]byte, 0, headSize), magic...)
	b = append(b, h.passes)
	b = binary.BigEndian.AppendUint16(b, h.mebibytes)
	b = append(b, h.lanes)
	return append(b, h.salt[:]...)
}

// parseHead reads the head and checks its cost, before any work is done.
func parseHead(sealed []byte) (h head, err error) {
	if len(sealed) < overhead || string(sealed[:len(magic)]) != magic {
		return head{}, errors.New("passphrase: the key set is not sealed under a passphrase; is it another keeper's?")
	}
	b := sealed[len(magic):]
	h.cost = cost{passes: b[0], mebibytes: binary.BigEndian.Uint16(b[1:3]), lanes: b[3]}
	copy(h.salt[:], b[4:])
	return h, h.cost.check()
}
