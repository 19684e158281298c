package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
)

func TestKeysExportJWKS(t *testing.T) {
	w := newKeysWorld(t)
	first := w.ring()
	base := []string{"keys", "export-jwks", "--ring", "@ring", "--realm", "shop/test", "--issuer", "https://shop.example"}
	a := w.want(exitDone, `{"keys":[`, base...)
	set, err := codec.ParseJWKS([]byte(a.stdout))
	if err != nil {
		t.Fatalf("%v in %s", err, a.stdout)
	}
	if len(set.KeyIDs()) != 2 {
		t.Errorf("%v: want the primary's and the next one's", set)
	}
	// A token that the ring signs verifies with the exported set, and not with
	// another realm's.
	tokens, err := codec.NewAccessTokens(w.open("ring"), codec.AccessTokensConfig{Realm: "shop/test", Issuer: "https://shop.example"})
	if err != nil {
		t.Fatal(err)
	}
	token, err := tokens.Mint(w.now, codec.AccessToken{Subject: codec.Hide("anna"), Audience: []string{"api"}, ClientID: "app", Session: codec.ID{1}, Position: 1,
		Issued: w.now, Expires: w.now.Add(time.Minute), Authenticated: w.now})
	if err != nil {
		t.Fatal(err)
	}
	verify := func(text string) error {
		set, err := codec.ParseJWKS([]byte(text))
		if err != nil {
			t.Fatal(err)
		}
		v, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: set, Algorithms: []codec.Algorithm{codec.EdDSA}, Issuer: "https://shop.example", Audiences: []string{"api"}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = v.Verify(t.Context(), w.now, token)
		return err
	}
	if err := verify(a.stdout); err != nil {
		t.Error(err)
	}
	other := w.run("keys", "export-jwks", "--ring", "@ring", "--realm", "other", "--issuer", "https://shop.example")
	if err := verify(other.stdout); err == nil {
		t.Error("verifies with another realm's keys")
	}

	indented := w.want(exitDone, "", append(base, "--json")...)
	var members map[string][]map[string]string
	if err := json.Unmarshal([]byte(indented.stdout), &members); err != nil || len(members["keys"]) != 2 {
		t.Fatalf("%v: %v", err, members)
	}
	for _, k := range members["keys"] {
		if _, private := k["d"]; private || k["alg"] != "EdDSA" {
			t.Errorf("%v", k)
		}
	}
	both := w.want(exitDone, `"ES256"`, append(base, "--alg", "ES256,EdDSA")...)
	if n := strings.Count(both.stdout, `"kid"`); n != 4 {
		t.Errorf("%d keys for two algorithms", n)
	}
	// The set no longer contains a revoked key, and contains the next one.
	w.must("keys", "revoke", first.Keys[0].ID, "--ring", "@ring", "--reason", "x", "--yes")
	a = w.run(base...)
	if err := verify(a.stdout); err == nil {
		t.Error("verifies with a revoked key")
	}
	w.usage("keys export-jwks", "", "--ring @ring --realm r", "--ring @ring --issuer i", "--ring @ring --realm r --issuer i --alg HS256", "--ring @ring --realm r --issuer i --alg none,EdDSA")
}
