package main

import (
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
)

func TestRestored(t *testing.T) {
	s := openShop(t, 0)
	anna := s.login("anna")
	args := with([]string{"restored"}, s.store()...)
	r := s.command(exitNo, "", args...)
	contains(t, r.err, "forgotten every revocation", "--yes")
	if s.state(anna) != store.Alive {
		t.Fatal("it was revoked without confirmation")
	}
	r = s.command(exitDone, "", with(args, "--yes", "--json", "--actor", "ops")...)
	contains(t, r.err, "forgotten every revocation", "keys list")
	got := parse[revokedJSON](t, r)
	if s.state(anna) != store.CutOff {
		t.Error("anna lives")
	}
	entries := entriesAbove(t, s.db, got.Position-1)
	if len(entries) != 1 {
		t.Fatal(entries)
	}
	e := entries[0]
	if e.Kind != store.KindEveryone || e.Reason != "the store was restored from a backup" || e.Actor != "ops" {
		t.Errorf("%+v", e)
	}
	// The lost entries may have been written by a clock that was ahead.
	if least := store.Position(time.Now().Add(50 * time.Second).UnixMicro()); got.Position < least {
		t.Errorf("position %d: want at least %d", got.Position, least)
	}
}
