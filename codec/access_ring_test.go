package codec_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

// An unknown key id makes the ring read its source once more, which finds a key
// that was added since.
func TestAccessVerifyReloadsTheRing(t *testing.T) { synctest.Test(t, testAccessVerifyReloadsTheRing) }

func testAccessVerifyReloadsTheRing(t *testing.T) {
	source := keyring.File(t.TempDir() + "/ring")
	writer, err := keyring.Create(ctx, source, clearKeeper{}, now, keyring.Schedule{})
	fatal(t, err)
	reader, err := keyring.Open(ctx, source, clearKeeper{})
	fatal(t, err)
	for range 2 { // until a key is primary that the reader has never seen
		primary, err := writer.Primary(now)
		fatal(t, err)
		_, err = writer.Revoke(ctx, now, primary.ID(), "a test")
		fatal(t, err)
	}
	token, err := newAccessTokens(t, writer, realm).Mint(now, accessToken("anna"))
	fatal(t, err)
	before := len(reader.Set().Keys())
	if got, err := newAccessVerifier(t, newAccessTokens(t, reader, realm)).Verify(ctx, now, token); err != nil || got.Subject.Text() != "anna" {
		t.Errorf("%q, %v", got.Subject.Text(), err)
	}
	if after := len(reader.Set().Keys()); before != 2 || after <= before {
		t.Errorf("%d keys before, %d after: the test has lost its subject", before, after)
	}
	// A key id of another form causes no reload, so it is refused at once.
	signer := newSpecSigner(make([]byte, 32), nil, realm, codec.EdDSA)
	began := time.Now()
	for range 20 {
		junk := signer.token(t, `{"alg":"EdDSA","kid":"junk","typ":"at+jwt"}`, specPayload())
		if _, err := newAccessVerifier(t, newAccessTokens(t, reader, realm)).Verify(ctx, now, junk); !errors.Is(err, keyring.ErrUnknown) {
			t.Fatal(err)
		}
	}
	if took := time.Since(began); took > 0 {
		t.Errorf("20 junk ids took %v: each seems to wait for a reload", took)
	}
}

// Any number of goroutines mint and verify with one of each.
func TestAccessTokensConcurrently(t *testing.T) {
	access := newAccessTokens(t, staticRing(t, secret(1)), realm, bothAlgorithms...)
	verifier := newAccessVerifier(t, access)
	errs := make(chan error)
	for i := range 8 {
		go func() {
			for j := range 20 {
				want := accessToken(fmt.Sprintf("subject %d of %d", j, i))
				token, err := access.Mint(now, want)
				if err != nil {
					errs <- err
					return
				}
				if got, err := verifier.Verify(ctx, now, token); err != nil || got.Subject.Text() != want.Subject.Text() {
					errs <- fmt.Errorf("%q, %v", got.Subject.Text(), err)
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		fatal(t, <-errs)
	}
}
