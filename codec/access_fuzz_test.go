package codec_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// signedSeeds are the headers and payloads of the vectors.
func signedSeeds(t testing.TB) (seeds [][2]string) {
	t.Helper()
	all := vectors(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name]["format"] != "access" {
			continue
		}
		parts := strings.Split(all[name].quoted(t, "input"), ".")
		if len(parts) != 3 {
			continue
		}
		header, err := specDecode(parts[0])
		payload, err2 := specDecode(parts[1])
		if err == nil && err2 == nil {
			seeds = append(seeds, [2]string{string(header), string(payload)})
		}
	}
	return seeds
}

// FuzzAccessSigned signs its inputs with the true key, so that they reach the
// readers of header and payload. Accepted inputs are read alike by
// encoding/json, and can be minted again.
func FuzzAccessSigned(f *testing.F) {
	for _, seed := range signedSeeds(f) {
		f.Add(seed[0], seed[1])
	}
	check := signedChecker(f)
	f.Fuzz(func(t *testing.T, header, payload string) { check(t, header, payload) })
}

func signedChecker(t testing.TB) func(t testing.TB, header, payload string) bool {
	t.Helper()
	access := newVectorAccess(t, fuzzRing(t), vectorRealm, "EdDSA")
	verifier := vectorVerifier(t, access, "EdDSA", vectorAudience)
	signer := newSpecSigner(vectorSecret, nil, vectorRealm, codec.EdDSA)
	return func(t testing.TB, header, payload string) bool {
		got, err := verifier.Verify(ctx, fuzzNow, signer.token(t, header, payload))
		if err != nil {
			classes := 0
			for _, class := range vectorClasses {
				if class != nil && errors.Is(err, class) {
					classes++
				}
			}
			if classes != 1 || got.Subject.Text() != "" || got.Claims.Text() != "" {
				t.Errorf("%q and %q are refused with %v, and say %q", header, payload, err, got.Subject.Text())
			}
			return false
		}
		var head struct{ Alg, Kid, Typ string }
		if err := json.Unmarshal([]byte(header), &head); err != nil || head.Alg != "EdDSA" || head.Kid != signer.kid {
			t.Errorf("the header %q is accepted: %v", header, err)
		}
		if !matchesPayload(t, &got, payload) {
			t.Errorf("%q says %q to a reader", payload, got.Subject.Text())
		}
		if !got.Expires.After(fuzzNow) || got.Issued.After(fuzzNow.Add(codec.DefaultLeeway)) || got.Issuer != vectorIssuer || got.Audience[0] != vectorAudience {
			t.Errorf("%q is accepted", payload)
		}
		if got.Expires.Before(fuzzNow.Add(keyring.DefaultLife)) {
			token, err := access.Mint(fuzzNow, got)
			fatal(t, err)
			again, err := verifier.Verify(ctx, fuzzNow, token)
			fatal(t, err)
			sameAccessToken(t, &again, &got)
		}
		return true
	}
}

// FuzzParseJWKS checks that an accepted set is the same after it is written and
// read again.
func FuzzParseJWKS(f *testing.F) {
	for _, seed := range jwksSeeds(f) {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) { parsesJWKS(t, text) })
}

func jwksSeeds(t testing.TB) (seeds []string) {
	t.Helper()
	all := vectors(t)
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name]["format"] == "jwks" {
			seeds = append(seeds, all[name].quoted(t, "input"))
		}
	}
	return seeds
}

func parsesJWKS(t testing.TB, text []byte) bool {
	set, err := codec.ParseJWKS(text)
	if err != nil {
		if set != nil || !errors.Is(err, codec.ErrLength) && !errors.Is(err, codec.ErrEncoding) {
			t.Errorf("%q: %v, %v", text, set, err)
		}
		return false
	}
	if !json.Valid(text) {
		t.Errorf("%q is accepted", text)
	}
	once, err := set.MarshalJSON()
	fatal(t, err)
	again, err := codec.ParseJWKS(once)
	fatal(t, err)
	if twice, err := again.MarshalJSON(); err != nil || !bytes.Equal(once, twice) || !slices.Equal(set.KeyIDs(), again.KeyIDs()) {
		t.Errorf("%q is written as %s, and that as %s, %v", text, once, twice, err)
	}
	for _, kid := range set.KeyIDs() {
		_, ed := set.AccessKey(ctx, time.Time{}, kid, codec.EdDSA)
		_, es := set.AccessKey(ctx, time.Time{}, kid, codec.ES256)
		if (ed == nil) == (es == nil) {
			t.Errorf("the key %q is for EdDSA: %v, for ES256: %v", kid, ed, es)
		}
	}
	return true
}

func TestFuzzSeedsOfAccessTokens(t *testing.T) {
	accepted, check := 0, signedChecker(t)
	seeds := signedSeeds(t)
	for _, seed := range seeds {
		if check(t, seed[0], seed[1]) {
			accepted++
		}
	}
	if len(seeds) < 40 || accepted < 6 {
		t.Errorf("%d seeds, %d accepted: want 40 and 6", len(seeds), accepted)
	}
	sets := 0
	for _, seed := range jwksSeeds(t) {
		if parsesJWKS(t, []byte(seed)) {
			sets++
		}
	}
	if sets < 5 {
		t.Errorf("%d key sets are accepted: want 5", sets)
	}
}
