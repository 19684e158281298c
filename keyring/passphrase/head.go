package passphrase

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// What a sealed key set looks like:
//
//	"wafer/1 passphrase" ‖ 0x00 ‖ passes (1) ‖ MiB (2) ‖ lanes (1) ‖ salt (16)
//	‖ nonce (12) ‖ ciphertext ‖ tag (16)
//
// The first line is the head, and the additional data of AES-256-GCM, whose key
// is Argon2id(passphrase, salt) of 32 bytes (RFC 9106, version 0x13).
const (
	magic    = "wafer/1 passphrase\x00"
	saltSize = 16
	headSize = len(magic) + 4 + saltSize
	overhead = headSize + 12 + 16
)

// cost is what one derivation takes.
type cost struct {
	passes    uint8
	mebibytes uint16
	lanes     uint8
}

var (
	// written is the cost of what this release writes: RFC 9106, section 4, the
	// second recommended option.
	written = cost{passes: 3, mebibytes: 64, lanes: 4}
	// least is what no release ever wrote less than: such a document is not
	// ours.
	least = written
	// most is what a document may ask of a node: a hostile one must not take
	// its memory, nor its time.
	most = cost{passes: 10, mebibytes: 256, lanes: 16}
)

func (c cost) check() error {
	if c.passes < least.passes || c.passes > most.passes || c.mebibytes < least.mebibytes || c.mebibytes > most.mebibytes || c.lanes < least.lanes || c.lanes > most.lanes {
		return fmt.Errorf("passphrase: the key set asks for %d passes, %d MiB and %d lanes of Argon2id: want %d to %d, %d to %d, %d to %d",
			c.passes, c.mebibytes, c.lanes, least.passes, most.passes, least.mebibytes, most.mebibytes, least.lanes, most.lanes)
	}
	return nil
}

type head struct {
	cost
	salt [saltSize]byte
}

// marshal leaves no room behind the head: what is appended to it is elsewhere.
func (h head) marshal() []byte {
	b := append(make([]byte, 0, headSize), magic...)
	b = append(b, h.passes)
	b = binary.BigEndian.AppendUint16(b, h.mebibytes)
	b = append(b, h.lanes)
	return append(b, h.salt[:]...)
}

// parseHead reads the head and checks its cost, before anything is spent.
func parseHead(sealed []byte) (h head, err error) {
	if len(sealed) < overhead || string(sealed[:len(magic)]) != magic {
		return head{}, errors.New("passphrase: the key set is not sealed under a passphrase; is it another keeper's?")
	}
	b := sealed[len(magic):]
	h.cost = cost{passes: b[0], mebibytes: binary.BigEndian.Uint16(b[1:3]), lanes: b[3]}
	copy(h.salt[:], b[4:])
	return h, h.cost.check()
}
