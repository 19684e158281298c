package storetest

import (
	"bytes"
	"fmt"
	"sync/atomic"

	"github.com/waferkit/wafer/store"
)

var keeping = []property{
	{name: "NoneIsVersionZero", test: func(h *harness) {
		if version, document, err := h.LoadKeys(h.ctx); version != 0 || len(document) != 0 || err != nil {
			h.t.Errorf("version %d, %d bytes, %v: want 0, none, nil", version, len(document), err)
		}
	}},
	{name: "CreatedOnceAndSwappedFromTheNewest", test: func(h *harness) {
		h.swap(0, "first", true)
		h.wantKeys(1, "first")
		h.swap(0, "created again", false)
		h.swap(2, "ahead", false)
		h.swap(1, "second", true)
		h.wantKeys(2, "second")
		h.swap(1, "out of date", false)
		h.swap(0, "created again", false)
		h.swap(2, "second", true) // the same document again makes a new version
		h.wantKeys(3, "second")
	}},
	{name: "TheFirstMayHaveAnyVersion", test: func(h *harness) {
		h.swap(6, "moved here", true)
		h.wantKeys(7, "moved here")
		h.swap(6, "moved again", false)
		h.swap(0, "created again", false)
		h.swap(7, "changed", true)
		h.wantKeys(8, "changed")
	}},
	{name: "OneOfManyCreates", test: func(h *harness) { h.swapTogether(0) }},
	{name: "OneOfManySwaps", test: func(h *harness) {
		for version := range uint64(5) {
			h.swapTogether(version)
		}
	}},
	{name: "TheDocumentIsACopy", test: func(h *harness) {
		document := []byte("document")
		if ok, err := h.SwapKeys(h.ctx, 0, document); !ok || err != nil {
			h.t.Fatalf("SwapKeys: %v, %v", ok, err)
		}
		document[0] = 'x'
		_, loaded, err := h.LoadKeys(h.ctx)
		if err != nil || string(loaded) != "document" {
			h.t.Fatalf("writing into the argument changed the store: %q, %v", loaded, err)
		}
		loaded[0] = 'x'
		h.wantKeys(1, "document")
	}},
	{name: "AnyBytes", test: func(h *harness) {
		document := bytes.Repeat([]byte("\x00\xff\n'\\"), 1<<16/5) // some 64 KiB: 256 keys
		h.swap(0, string(document), true)
		h.wantKeys(1, string(document))
	}},
	{name: "ApartFromTheLog", test: func(h *harness) {
		f := h.family("anna")
		h.nothingWritten(func() { h.swap(0, "document", true) }, f.ID)
		h.revoke(store.Revocation{Everyone: true})
		h.wantKeys(1, "document")
	}},
}

func (h *harness) swap(version uint64, document string, want bool) {
	h.t.Helper()
	if ok, err := h.SwapKeys(h.ctx, version, []byte(document)); ok != want || err != nil {
		h.t.Errorf("SwapKeys(%d, %.20q): %v, %v: want %v", version, document, ok, err, want)
	}
}

func (h *harness) wantKeys(version uint64, document string) {
	h.t.Helper()
	if v, d, err := h.LoadKeys(h.ctx); v != version || string(d) != document || err != nil {
		h.t.Errorf("LoadKeys: %d, %.20q, %v: want %d, %.20q", v, d, err, version, document)
	}
}

// swapTogether swaps from one version 16 times at once, and checks that the
// winner's document stays.
func (h *harness) swapTogether(version uint64) {
	h.t.Helper()
	var won atomic.Int64
	won.Store(-1)
	together(16, func(i int) {
		ok, err := h.SwapKeys(h.ctx, version, fmt.Appendf(nil, "document %d", i))
		if err != nil {
			h.t.Errorf("SwapKeys: %v", err)
		}
		if ok && !won.CompareAndSwap(-1, int64(i)) {
			h.t.Errorf("version %d was swapped by %d and %d", version, won.Load(), i)
		}
	})
	h.wantKeys(version+1, fmt.Sprintf("document %d", won.Load()))
}
