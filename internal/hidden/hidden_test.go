package hidden_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/waferkit/wafer/internal/hidden"
	"github.com/waferkit/wafer/internal/printed"
)

func TestRevealReturnsWhatWasHidden(t *testing.T) {
	for _, s := range []string{"", "a", "\x00", strings.Repeat("long ", 1000), "long"[1:3], "long"[4:]} {
		if got := hidden.HideText(s).Reveal(); got != s {
			t.Errorf("%q became %q", s, got)
		}
		if got := hidden.Hide([]byte(s)).Reveal(); string(got) != s || got == nil || hidden.Hide([]byte(s)).Len() != len(s) {
			t.Errorf("%q became %q", s, got)
		}
	}
	if got := hidden.Hide(nil).Reveal(); got != nil {
		t.Errorf("nil became %q", got)
	}
	if text, b := new(hidden.Text).Reveal(), new(hidden.Bytes).Reveal(); text != "" || b != nil {
		t.Errorf("the zero values are %q and %q", text, b)
	}
}

// An append to what Reveal returns must not write into the memory behind it, and
// a change must show: it is the same memory.
func TestRevealSharesMemoryWithoutSpareCapacity(t *testing.T) {
	b := []byte("secret|next")
	h := hidden.Hide(b[:6])
	_ = append(h.Reveal(), '!')
	if string(b) != "secret|next" {
		t.Errorf("an append wrote %q", b)
	}
	h.Reveal()[0] = 'S'
	if !bytes.HasPrefix(b, []byte("Secret")) {
		t.Errorf("the slice is a copy: %q", b)
	}
}

func TestPromise7_HiddenIsNeverPrinted(t *testing.T) {
	const secret = "TOP-SECRET"
	for _, text := range []string{printed.Everywhere(hidden.HideText(secret)), printed.Everywhere(hidden.Hide([]byte(secret)))} {
		if !strings.Contains(text, "hidden") {
			t.Error("nothing was printed")
		}
		// Its first byte alone, as one element of a list, is not the secret.
		for _, form := range []string{secret, "544f502d5345", "544F502D5345", "84 79 80", "84, 79", "0x54, 0x4f", "VE9QLVNF", "T'", "54 4f"} {
			if i := strings.Index(text, form); i >= 0 {
				t.Errorf("shown as %q: …%.100q", form, text[max(0, i-40):])
			}
		}
	}
	// The same search finds a secret that is not hidden.
	if text := printed.Everywhere(struct{ s string }{secret}); !strings.Contains(text, secret) || !strings.Contains(text, "544f502d5345") {
		t.Error("the search finds nothing")
	}
}

func TestHidingAllocatesNothing(t *testing.T) {
	s, b := "text", []byte("bytes")
	var n int
	if allocs := testing.AllocsPerRun(100, func() { n += len(hidden.HideText(s).Reveal()) + len(hidden.Hide(b).Reveal()) }); allocs != 0 || n == 0 {
		t.Errorf("%v allocations", allocs)
	}
}
