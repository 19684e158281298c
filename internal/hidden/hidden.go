// Package hidden holds text and bytes so that printing a value that contains
// them, at any depth and by any verb, shows none of them. Package fmt cannot call
// a Format method of a value in an unexported field, and prints what it finds by
// reflection instead. So what it finds here is a pointer to one byte, which it
// never follows.
package hidden

import (
	"fmt"
	"io"
	"unsafe"
)

// Bytes is a byte slice. It shares the memory of the slice that it was made from.
// The zero value is nil.
type Bytes struct {
	_     [0]func() // not comparable: == would compare addresses
	first *byte
	size  int
}

// Hide returns b as Bytes.
func Hide(b []byte) Bytes { return Bytes{first: unsafe.SliceData(b), size: len(b)} }

// Reveal returns the slice, without spare capacity.
func (b Bytes) Reveal() []byte { return unsafe.Slice(b.first, b.size) }

// Len returns the number of bytes.
func (b Bytes) Len() int { return b.size }

// Format prints "hidden" for every verb.
func (b Bytes) Format(f fmt.State, _ rune) { io.WriteString(f, "hidden") }

// Text is a string. The zero value is "".
type Text struct {
	_     [0]func() // not comparable: == would compare addresses
	first *byte
	size  int
}

// HideText returns s as Text.
func HideText(s string) Text { return Text{first: unsafe.StringData(s), size: len(s)} }

// Reveal returns the string.
func (t Text) Reveal() string { return unsafe.String(t.first, t.size) }

// Format prints "hidden" for every verb.
func (t Text) Format(f fmt.State, _ rune) { io.WriteString(f, "hidden") }
