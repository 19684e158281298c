package codec_test

import (
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
)

func formatsDoc(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile("../docs/formats.md")
	fatal(t, err)
	return string(b)
}

// fenced returns the fenced block of docs/formats.md that follows a marker.
func fenced(t *testing.T, marker string) string {
	t.Helper()
	_, after, found := strings.Cut(formatsDoc(t), "<!-- "+marker+" -->\n\n```\n")
	block, _, closed := strings.Cut(after, "```\n")
	if !found || !closed {
		t.Fatalf("docs/formats.md has no block %q", marker)
	}
	return block
}

// TestDocumentedExample computes the sealed cookie of the specification step by
// step, and compares the document with every value.
func TestDocumentedExample(t *testing.T) {
	v := vectors(t)["cookie-ok"]
	secret, err := base64.StdEncoding.DecodeString(v["secret"])
	fatal(t, err)
	sealed, err := base64.RawURLEncoding.DecodeString(v.quoted(t, "input"))
	fatal(t, err)
	head, salt, nonce := sealed[:5:5], sealed[5:17:17], sealed[17:29:29]
	ciphertext, tag := sealed[29:len(sealed)-16], sealed[len(sealed)-16:]
	subkey := specHKDF(secret, "wafer/1 cookie", 32)

	var want strings.Builder
	step := func(label string, b []byte) { fmt.Fprintf(&want, "%-12s %s\n", label, hex.EncodeToString(b)) }
	step("secret", secret)
	step("key id", specKeyID(secret))
	step("subkey", subkey)
	step("head", head)
	step("salt", salt)
	step("nonce", nonce)
	step("derived key", specXAES(subkey, salt))
	step("AAD", append(append([]byte{1}, specKeyID(secret)...), v["realm"]+"\x00"+v["name"]...))
	step("header", specHeader(v.session(t)))
	step("data", v.hex(t, "data"))
	step("ciphertext", ciphertext)
	step("tag", tag)
	fmt.Fprintf(&want, "%-12s %s\n", "value", v.quoted(t, "input"))
	if got := fenced(t, "worked example: cookie-ok"); got != want.String() {
		t.Errorf("the document has\n%s\nwant\n%s", got, want.String())
	}

	// The steps lead from the document's plaintext to its ciphertext.
	if gcm, err := specGCM(specXAES(subkey, salt)); err == nil {
		plaintext := append(specHeader(v.session(t)), v.hex(t, "data")...)
		again := gcm.Seal(nil, nonce, plaintext, append(head, v["realm"]+"\x00"+v["name"]...))
		if string(again) != string(ciphertext)+string(tag) {
			t.Errorf("the steps make %x", again)
		}
	}
	if err, same := v.open(t); err != nil || !same {
		t.Errorf("Cookies.Open: %v, the same session: %t", err, same)
	}
}

// TestDocumentedAccessToken does the same for the access token and its keys.
func TestDocumentedAccessToken(t *testing.T) {
	v := vectors(t)["access-ok"]
	secret, err := base64.StdEncoding.DecodeString(v["secret"])
	fatal(t, err)
	ed, es := newSpecSigner(secret, nil, v["realm"], codec.EdDSA), newSpecSigner(secret, nil, v["realm"], codec.ES256)
	var want strings.Builder
	step := func(label, text string) { fmt.Fprintf(&want, "%-12s %s\n", label, text) }
	step("secret", hex.EncodeToString(secret))
	step("key id", hex.EncodeToString(specKeyID(secret)))
	step("subkey", hex.EncodeToString(specHKDF(secret, "wafer/1 token", 32)))
	step("info", hex.EncodeToString([]byte("wafer/1 token EdDSA\x00\x00"+v["realm"])))
	step("seed", hex.EncodeToString(ed.derived))
	step("EdDSA key", ed.jwk(t))
	step("info", hex.EncodeToString([]byte("wafer/1 token ES256\x00\x00"+v["realm"])))
	step("scalar", hex.EncodeToString(es.derived))
	step("ES256 key", es.jwk(t))
	step("header", ed.header())
	step("payload", v.quoted(t, "payload"))
	step("token", ed.token(t, ed.header(), v.quoted(t, "payload")))
	if got := fenced(t, "worked example: access-ok"); got != want.String() {
		t.Errorf("the document has\n%s\nwant\n%s", got, want.String())
	}
	if v.quoted(t, "input") != ed.token(t, ed.header(), v.quoted(t, "payload")) {
		t.Error("the vector has another token")
	}

	// Mint writes the same token, byte for byte.
	access := newVectorAccess(t, v.ring(t), v["realm"], "EdDSA")
	says, err := vectorVerifier(t, access, "EdDSA", v["audience"]).Verify(ctx, v.now(t), v.quoted(t, "input"))
	fatal(t, err)
	if token, err := access.Mint(v.now(t), says); err != nil || token != v.quoted(t, "input") {
		t.Errorf("Mint = %s, %v", token, err)
	}
}

// TestDocumentedRingFile opens the ring file of the specification with the
// keeper's secret and compares it with the key set, both of which are beside it.
func TestDocumentedRingFile(t *testing.T) {
	secret := strings.TrimSpace(fenced(t, "ring file: keeper secret"))
	set := strings.TrimSpace(fenced(t, "ring file: key set"))
	content := fenced(t, "ring file")

	kek, err := base64.StdEncoding.DecodeString(secret)
	fatal(t, err)
	nonce := []byte("twelve nonce")
	if gcm, err := specGCM(specHKDF(kek, "wafer/1 keeper", 32)); err == nil {
		sealed := gcm.Seal([]byte(nonce), nonce, []byte(set), []byte("wafer/1 keyring"))
		if want := "wafer/1 keyring\n1\n" + base64.StdEncoding.EncodeToString(sealed) + "\n"; content != want {
			t.Errorf("the document has\n%s\nwant\n%s", content, want)
		}
	}

	path := filepath.Join(t.TempDir(), "ring")
	fatal(t, os.WriteFile(path, []byte(content), 0o600))
	keeper, err := keyring.NewKeeper(secret)
	fatal(t, err)
	ring, err := keyring.Open(ctx, keyring.File(path), keeper)
	fatal(t, err)
	first := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	keys := ring.Set().Keys()
	if len(keys) != 2 || keys[0].ID().String() != "0badc0de" || !keys[0].Activates().Equal(first) || !keys[0].Expires().Equal(first.AddDate(0, 0, 60)) {
		t.Errorf("the ring holds %v", keys)
	}
	if r, revoked := keys[1].Revocation(); revoked {
		t.Errorf("revoked: %+v", r)
	}
	// The same set in clear text is the same ring.
	clear := documentRing(t, set)
	sealed, err := newCommits(t, clear, instance).Seal(first, codec.ID{}, []byte("x"))
	fatal(t, err)
	if got, err := newCommits(t, ring, instance).Open(ctx, first, codec.ID{}, sealed); err != nil || string(got) != "x" {
		t.Errorf("Open = %q, %v", got, err)
	}
}

// The specification and the vectors have the same classes.
func TestDocumentNamesEveryClass(t *testing.T) {
	doc := formatsDoc(t)
	for class := range vectorClasses {
		if !strings.Contains(doc, "`"+class+"`") {
			t.Errorf("docs/formats.md does not name the class %q", class)
		}
	}
	for _, field := range vectorFields {
		if !strings.Contains(doc, "`"+field+"`") {
			t.Errorf("docs/formats.md does not explain the vectors' field %q", field)
		}
	}
}
