package main

import (
	"bytes"
	"encoding/base64"
	"path/filepath"
	"regexp"
	"testing"

	"gocloud.dev/secrets"
	"gocloud.dev/secrets/localsecrets"

	"github.com/waferkit/wafer/keyring"
)

// A Keeper of gocloud.dev needs no wrapper.
var _ keyring.Keeper = (*secrets.Keeper)(nil)

func newURL(t *testing.T) string {
	t.Helper()
	key, err := localsecrets.NewRandomKey()
	if err != nil {
		t.Fatal(err)
	}
	return "base64key://" + base64.URLEncoding.EncodeToString(key[:])
}

func TestKeeper(t *testing.T) {
	url, file := newURL(t), filepath.Join(t.TempDir(), "ring")
	var first, second bytes.Buffer
	if err := run(t.Context(), url, file, &first); err != nil {
		t.Fatal(err)
	}
	if err := run(t.Context(), url, file, &second); err != nil {
		t.Fatal(err)
	}
	if first.String() != second.String() || !regexp.MustCompile(`^2 keys; [0-9a-f]{8} seals\n$`).MatchString(first.String()) {
		t.Errorf("first %q, then %q", &first, &second)
	}
	if err := run(t.Context(), newURL(t), file, &first); err == nil {
		t.Error("another keeper opens the ring")
	}
}
