package codec_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"

	"github.com/waferkit/wafer/codec"
)

// Rows of a store cannot be swapped: the family is authenticated.
func TestPromise2_CommittedDataBelongsToOneFamily(t *testing.T) {
	commits := newCommits(t, staticRing(t, secret(1)), instance)
	family := codec.ID{15: 1}
	sealed, err := commits.Seal(now, family, []byte("data"))
	fatal(t, err)
	for i := range 128 {
		other := family
		other[i/8] ^= 1 << (i % 8)
		if _, err := commits.Open(ctx, now, other, sealed); !errors.Is(err, codec.ErrForged) {
			t.Fatalf("opens for a family that differs in bit %d: %v", i, err)
		}
	}
}

func TestCommitLengths(t *testing.T) {
	commits := newCommits(t, staticRing(t, secret(1)), instance)
	longest := bytes.Repeat([]byte{1}, codec.MaxCommit)
	sealed, err := commits.Seal(now, codec.ID{}, longest)
	if err != nil || len(sealed) != codec.MaxCommitSealed {
		t.Fatalf("the longest: %d bytes, %v", len(sealed), err)
	}
	if got, err := commits.Open(ctx, now, codec.ID{}, sealed); err != nil || !bytes.Equal(got, longest) {
		t.Errorf("the longest does not open: %v", err)
	}
	if _, err := commits.Seal(now, codec.ID{}, append(longest, 1)); err != codec.ErrLength {
		t.Errorf("one byte more: %v: want ErrLength", err)
	}
}

// Open does not change the store's buffer.
func TestCommitOpenLeavesItsInput(t *testing.T) {
	commits := newCommits(t, staticRing(t, secret(1)), instance)
	sealed, err := commits.Seal(now, codec.ID{}, []byte("data"))
	fatal(t, err)
	room := append(slices.Clone(sealed), bytes.Repeat([]byte{9}, 100)...)
	kept := slices.Clone(room)
	for _, family := range []codec.ID{{}, {1}} {
		commits.Open(ctx, now, family, room[:len(sealed)])
		if !bytes.Equal(room, kept) {
			t.Fatal("Open changed its input, or what is behind it")
		}
	}
}
