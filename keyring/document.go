package keyring

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"
)

// documentFormat identifies the plaintext of a sealed key set.
const documentFormat = "wafer/1 keyring"

// document is the plaintext of a key set, which the keeper seals. The JSON is
// strict: parseSet refuses unknown fields, trailing bytes and any second
// encoding of the same set.
type document struct {
	Format  string        `json:"format"`
	ID      string        `json:"id"`
	Version uint64        `json:"version"`
	Seals   int64         `json:"seals_seconds"`
	Life    int64         `json:"life_seconds"`
	Keys    []documentKey `json:"keys"`
}

type documentKey struct {
	ID        string         `json:"id"`
	Secret    []byte         `json:"secret"`
	Created   int64          `json:"created_ms"`
	Activates int64          `json:"activates_ms"`
	Revoked   *documentEvent `json:"revoked,omitempty"`
}

type documentEvent struct {
	At     int64  `json:"at_ms"`
	Reason string `json:"reason"`
}

func marshalSet(s *Set) ([]byte, error) {
	d := document{
		Format:  documentFormat,
		ID:      s.id.String(),
		Version: s.version,
		Seals:   int64(s.schedule.Seals / time.Second),
		Life:    int64(s.schedule.Life / time.Second),
	}
	for _, k := range s.keys {
		dk := documentKey{
			ID:        k.id.String(),
			Secret:    k.material().secret[:],
			Created:   k.created.UnixMilli(),
			Activates: k.activates.UnixMilli(),
		}
		if r := k.revocation; r != nil {
			dk.Revoked = &documentEvent{At: r.At.UnixMilli(), Reason: r.Reason}
		}
		d.Keys = append(d.Keys, dk)
	}
	return json.Marshal(d)
}

// parseSet is the inverse of marshalSet. Its errors never quote the input,
// which holds secrets.
func parseSet(plain []byte) (*Set, error) {
	dec := json.NewDecoder(bytes.NewReader(plain))
	dec.DisallowUnknownFields()
	var d document
	if err := dec.Decode(&d); err != nil {
		return nil, errors.New("keyring: the key set is not the JSON it should be")
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("keyring: the key set has bytes after its end")
	}
	if d.Format != documentFormat {
		return nil, fmt.Errorf("keyring: the key set's format is not %q; is this program too old for it?", documentFormat)
	}
	if d.Version == 0 || d.Seals < 0 || d.Seals > int64(maxPeriod/time.Second) || d.Life < 0 || d.Life > int64(maxPeriod/time.Second) {
		return nil, errors.New("keyring: the key set's version or schedule is out of range")
	}
	schedule, err := Schedule{Seals: time.Duration(d.Seals) * time.Second, Life: time.Duration(d.Life) * time.Second}.withDefaults()
	if err != nil {
		return nil, err
	}
	s := &Set{version: d.Version, schedule: schedule}
	if n, err := hex.Decode(s.id[:], []byte(d.ID)[:min(len(d.ID), hex.EncodedLen(len(s.id)))]); err != nil || n != len(s.id) || s.id == (RingID{}) {
		return nil, errors.New("keyring: the key set's id is not 32 hexadecimal digits, or is zero")
	}
	for _, dk := range d.Keys {
		id, err := ParseID(dk.ID)
		if err != nil {
			return nil, errors.New("keyring: the key set has a malformed key id")
		}
		if len(dk.Secret) != SecretSize {
			return nil, fmt.Errorf("keyring: key %v has a secret of %d bytes: want %d", id, len(dk.Secret), SecretSize)
		}
		k := &Key{
			id:        id,
			created:   time.UnixMilli(dk.Created),
			activates: time.UnixMilli(dk.Activates),
			material:  newMaterial(dk.Secret),
		}
		if dk.Revoked != nil {
			k.revocation = &Revocation{At: time.UnixMilli(dk.Revoked.At), Reason: dk.Revoked.Reason}
		}
		s.keys = append(s.keys, k)
	}
	if err := s.finish(); err != nil {
		return nil, err
	}
	// A set has one encoding. Input that does not marshal back to the same
	// bytes was not written by this package.
	again, err := marshalSet(s)
	if err != nil || !bytes.Equal(again, plain) {
		return nil, errors.New("keyring: the key set is not in its one encoding")
	}
	return s, nil
}
