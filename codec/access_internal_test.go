package codec

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"encoding/hex"
	"errors"
	"math/big"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/waferkit/wafer/keyring"
)

// RFC 8037, appendix A.1 and A.4: the seed signs as published.
func TestEdDSASignsAsRFC8037(t *testing.T) {
	seed, err := encoding.DecodeString("nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A")
	if err != nil {
		t.Fatal(err)
	}
	p, err := derivePair(EdDSA, func(counter byte) ([]byte, error) { return seed, nil })
	if err != nil {
		t.Fatal(err)
	}
	if got := encoding.EncodeToString(p.public.(ed25519.PublicKey)); got != "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo" {
		t.Errorf("public key %s", got)
	}
	signature, err := p.sign(EdDSA, "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc")
	if got := encoding.EncodeToString(signature); err != nil || got != "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg" {
		t.Errorf("signature %s, %v", got, err)
	}
}

// RFC 7515, appendix A.3.1: the scalar has the published point.
func TestES256KeyAsRFC7515(t *testing.T) {
	scalar, err := encoding.DecodeString("jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fCE9-E9LI")
	if err != nil {
		t.Fatal(err)
	}
	p, err := derivePair(ES256, func(counter byte) ([]byte, error) { return scalar, nil })
	if err != nil {
		t.Fatal(err)
	}
	point, err := p.public.(*ecdsa.PublicKey).Bytes()
	if err != nil || encoding.EncodeToString(point[1:33]) != "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU" || encoding.EncodeToString(point[33:]) != "x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0" {
		t.Errorf("point %x, %v", point, err)
	}
}

// A scalar of ES256 is neither 0 nor at least the order: the counter skips such
// values.
func TestES256ScalarsOutOfRangeArePassedOver(t *testing.T) {
	order := p256Order.FillBytes(make([]byte, 32))
	scalar := func(change int64) []byte {
		return new(big.Int).Add(p256Order, big.NewInt(change)).FillBytes(make([]byte, 32))
	}
	candidates := [][]byte{order, make([]byte, 32), scalar(1), bytes.Repeat([]byte{0xff}, 32), scalar(-1), big.NewInt(1).FillBytes(make([]byte, 32))}
	var asked []byte
	p, err := derivePair(ES256, func(counter byte) ([]byte, error) {
		asked = append(asked, counter)
		return candidates[counter], nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if b, err := p.private.(*ecdsa.PrivateKey).Bytes(); err != nil || !bytes.Equal(b, scalar(-1)) || !bytes.Equal(asked, []byte{0, 1, 2, 3, 4}) {
		t.Errorf("after %v the scalar is %x, %v", asked, b, err)
	}
	if p, err := derivePair(ES256, func(byte) ([]byte, error) { return order, nil }); err == nil || p != nil {
		t.Error("a scalar that is the order becomes a key")
	}
	broken := errors.New("broken")
	for _, algorithm := range []Algorithm{EdDSA, ES256} {
		if _, err := derivePair(algorithm, func(byte) ([]byte, error) { return nil, broken }); err != broken {
			t.Errorf("%s: %v", algorithm, err)
		}
	}
}

// Every signature is written with the lower s, and half the order is the
// boundary.
func TestES256HasOneSignature(t *testing.T) {
	p, err := derivePair(ES256, func(byte) ([]byte, error) { return bytes.Repeat([]byte{7}, 32), nil })
	if err != nil {
		t.Fatal(err)
	}
	lowered := 0
	half := new(big.Int).Rsh(p256Order, 1)
	for range 64 {
		signature, err := p.sign(ES256, "text")
		if err != nil {
			t.Fatal(err)
		}
		s := new(big.Int).SetBytes(signature[32:])
		if len(signature) != signatureSize || s.Cmp(half) > 0 || jwt.SigningMethodES256.Verify("text", signature, p.public) != nil {
			t.Fatalf("s is %x of %d bytes", s, len(signature))
		}
		raw, err := jwt.SigningMethodES256.Sign("text", p.private)
		if err != nil {
			t.Fatal(err)
		}
		if highS(raw) {
			lowered++
		}
	}
	if lowered == 0 {
		t.Error("no signature of 64 had a high s: the test has lost its subject")
	}
	at := func(s *big.Int) []byte { return append(make([]byte, 32), s.FillBytes(make([]byte, 32))...) }
	if highS(at(half)) || !highS(at(new(big.Int).Add(half, big.NewInt(1)))) || highS(at(new(big.Int))) {
		t.Error("the boundary is not half the order")
	}
}

// Realm, algorithm and counter cannot be shifted into each other.
func TestPairInfosAreApart(t *testing.T) {
	seen := map[string]pairID{}
	realms := []string{"a", "ab", "EdDSA", "\x01a", "\x01\x01a", "a\x01", " ", strings.Repeat("r", 255)}
	for _, algorithm := range []Algorithm{EdDSA, ES256} {
		for _, realm := range realms {
			for counter := range 256 {
				of := pairID{algorithm, realm}
				info := pairInfo(of, byte(counter))
				if other, found := seen[info]; found {
					t.Fatalf("%v and %v have one info", of, other)
				}
				seen[info] = of
			}
		}
	}
}

// A pair is derived once for each realm and algorithm, even by concurrent
// goroutines.
func TestKeyPairsAreKept(t *testing.T) {
	key, err := contentRing(t).Primary(contentNow)
	if err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	all := make([][4]*keyPair, 16)
	for i := range all {
		group.Go(func() {
			for j, of := range []pairID{{EdDSA, "a"}, {EdDSA, "b"}, {ES256, "a"}, {ES256, "b"}} {
				p, err := pair(key, of)
				if err != nil {
					t.Error(err)
				}
				all[i][j] = p
			}
		})
	}
	group.Wait()
	for i, pairs := range all {
		if pairs != all[0] {
			t.Errorf("goroutine %d got other pairs", i)
		}
	}
	public := []string{}
	for _, p := range all[0] {
		if ed, ok := p.public.(ed25519.PublicKey); ok {
			public = append(public, string(ed))
		} else if point, err := p.public.(*ecdsa.PublicKey).Bytes(); err == nil {
			public = append(public, string(point))
		}
	}
	slices.Sort(public)
	if len(slices.Compact(public)) != 4 {
		t.Error("two of four pairs are the same")
	}
}

// Mint signs only under the primary, so it fails without one.
func TestMintWithoutAPrimary(t *testing.T) {
	a, err := NewAccessTokens(contentRing(t), AccessTokensConfig{Realm: "realm", Issuer: "issuer"})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Unix(1, 0).Add(-time.Millisecond) // before the activation of a static secret
	_, err = a.Mint(at, AccessToken{Subject: Hide("s"), Audience: []string{"a"}, ClientID: "c", Session: ID{1}, Issued: at, Expires: at.Add(time.Minute), Authenticated: at})
	if !errors.Is(err, keyring.ErrNoPrimary) {
		t.Errorf("%v: want ErrNoPrimary", err)
	}
}

// Points of small order are recognized by their order and not by a list, and
// points of the large order are accepted.
func TestEdwards25519Points(t *testing.T) {
	for i := range 200 {
		seed := make([]byte, 32)
		seed[i%32] = byte(i + 1)
		public := ed25519.NewKeyFromSeed(seed).Public().(ed25519.PublicKey)
		if !onEdwards25519(public) {
			t.Fatalf("the key %x of a seed is refused", public)
		}
	}
	small := 0
	for _, text := range []string{
		"0100000000000000000000000000000000000000000000000000000000000000", "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
		"0000000000000000000000000000000000000000000000000000000000000000", "0000000000000000000000000000000000000000000000000000000000000080",
		"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05", "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
		"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a", "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
	} {
		b, err := hex.DecodeString(text)
		if err != nil {
			t.Fatal(err)
		}
		if onEdwards25519(b) {
			t.Errorf("%s, of small order, is accepted", text)
		}
		small++
	}
	if small != 8 {
		t.Errorf("%d points of small order: there are 8", small)
	}
	for n := range 40 {
		if n != 32 && onEdwards25519(bytes.Repeat([]byte{9}, n)) {
			t.Errorf("%d bytes are a point", n)
		}
	}
	// Half of all numbers are the y of a point.
	points := 0
	for i := range 1000 {
		y := make([]byte, 32)
		y[0], y[1], y[5] = byte(i), byte(i>>8), 1
		if onEdwards25519(y) {
			points++
		}
	}
	if points < 400 || points > 600 {
		t.Errorf("%d of 1000 numbers are points: want about half", points)
	}
}

func TestParameters(t *testing.T) {
	if p256Order.BitLen() != 256 || p256Order != elliptic.P256().Params().N {
		t.Error("not the order of P-256")
	}
	if got := edwardsD.Text(16); got != "52036cee2b6ffe738cc740797779e89800700a4d4141d8ab75eb4dca135978a3" {
		t.Errorf("d is %s (RFC 8032, section 5.1)", got)
	}
}
