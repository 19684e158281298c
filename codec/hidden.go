package codec

import (
	"fmt"

	"github.com/waferkit/wafer/internal/hidden"
)

// Hidden is text that printing never shows: by no verb of package fmt, in no log
// of package log/slog and in no JSON, also if a program's own types contain it, in
// whatever field. Only Text returns it. The zero value is the empty text.
type Hidden struct{ text hidden.Text }

// Hide returns text as Hidden.
func Hide(text string) Hidden { return Hidden{hidden.HideText(text)} }

// Text returns the text.
func (h Hidden) Text() string { return h.text.Reveal() }

// Format prints "hidden" for every verb.
func (h Hidden) Format(f fmt.State, verb rune) { h.text.Format(f, verb) }
