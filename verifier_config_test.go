package wafer

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/keyring"
)

// Keep is bounded by the lead of the keys. The comment on maxKeysKeep explains
// why.
func TestKeepIsBoundedByTheLead(t *testing.T) {
	if maxKeysKeep != keyring.Lead || keyring.Lead != time.Hour {
		t.Errorf("keys are kept for up to %v, and published %v ahead", maxKeysKeep, keyring.Lead)
	}
}
