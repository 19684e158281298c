package wafer

import (
	"context"
	"crypto"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

// countedKeys counts the signatures that are verified.
type countedKeys struct {
	codec.AccessKeys
	asked atomic.Int64
}

func (k *countedKeys) AccessKey(ctx context.Context, now time.Time, kid string, algorithm codec.Algorithm) (crypto.PublicKey, error) {
	k.asked.Add(1)
	return k.AccessKeys.AccessKey(ctx, now, kid, algorithm)
}

// verifiedWorld is one node whose verifications are counted.
type verifiedWorld struct {
	*Sessions[string]
	t     *testing.T
	ring  *keyring.Ring
	keys  *countedKeys
	moved atomic.Int64
}

func (w *verifiedWorld) now() time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(w.moved.Load()))
}

func newVerifiedWorld(t *testing.T, cached int) *verifiedWorld {
	t.Helper()
	w := &verifiedWorld{t: t}
	db := memory.New(memory.Options{Now: w.now})
	keeper, err := keyring.NewKeeper(strings.Repeat("5a", keyring.SecretSize))
	if err != nil {
		t.Fatal(err)
	}
	if w.ring, err = keyring.Create(t.Context(), db, keeper, w.now(), keyring.Schedule{}); err != nil {
		t.Fatal(err)
	}
	w.Sessions, err = New(t.Context(), w.ring, db, Config[string]{
		Realm: "shop.example/test", Now: w.now, Observe: func(Event) {},
		Tokens: &TokenConfig[string]{Issuer: "https://shop.example", Audience: "api", Audiences: []string{"billing"}, CachedTokens: cached},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.Close)
	w.keys = &countedKeys{AccessKeys: w.access}
	w.bearer.verifier, err = codec.NewAccessVerifier(codec.AccessVerifierConfig{
		Keys: w.keys, Algorithms: w.config.Tokens.Algorithms, Issuer: w.config.Tokens.Issuer, Audiences: []string{"api"}, Leeway: w.config.leeway(),
	})
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *verifiedWorld) issue(subject string) string {
	w.t.Helper()
	p, err := w.Issue(w.t.Context(), subject)
	if err != nil {
		w.t.Fatal(err)
	}
	return p.AccessToken
}

// who is whom Bearer takes a request for, and how many signatures that took.
func (w *verifiedWorld) who(token string) (subject string, verified int64) {
	before := w.keys.asked.Load()
	r, rec := httptest.NewRequest(http.MethodGet, "/", nil), httptest.NewRecorder()
	r.Header.Set("Authorization", "Bearer "+token)
	w.Bearer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if s, err := w.Get(r.Context()); err == nil {
			fmt.Fprint(rw, s.Subject)
		}
	})).ServeHTTP(rec, r)
	w.bearer.verified.cache.Wait()
	if rec.Code != http.StatusOK {
		return fmt.Sprint(rec.Code), w.keys.asked.Load() - before
	}
	return rec.Body.String(), w.keys.asked.Load() - before
}

func (w *verifiedWorld) want(what, token, subject string, verified int64) {
	w.t.Helper()
	if who, took := w.who(token); who != subject || took != verified {
		w.t.Errorf("%s: %q after %d verifications, want %q after %d", what, who, took, subject, verified)
	}
}

// A token is verified once, and judged every time.
func TestVerifiedTokens(t *testing.T) {
	w := newVerifiedWorld(t, 0)
	token := w.issue("alice")
	w.want("seen first", token, "alice", 1)
	for range 3 {
		w.want("seen again", token, "alice", 0)
	}
	w.want("another", w.issue("bob"), "bob", 1)
	signature := strings.LastIndexByte(token, '.') + 1
	other := token[:signature] + map[bool]string{true: "B", false: "A"}[token[signature] == 'A'] + token[signature+1:]
	for range 3 {
		w.want("with another signature: what is refused is not kept", other, "401", 1)
	}
	w.want("still", token, "alice", 0)

	// A change of the key set: verified anew, and kept again.
	if _, err := w.ring.Rotate(t.Context(), w.now(), 0); err != nil {
		t.Fatal(err)
	}
	w.want("after a rotation", token, "alice", 1)
	w.want("after a rotation, again", token, "alice", 0)

	// The revocation of its session is judged after the hit.
	if _, err := w.Revoke(t.Context(), Revocation{Subjects: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	w.want("revoked", token, "401", 0)

	// Its expiry, too: to the second, whatever the cache believes.
	token = w.issue("alice")
	w.want("another login", token, "alice", 1)
	w.moved.Add(int64(5*time.Minute - time.Nanosecond))
	w.want("just before its expiry", token, "alice", 0)
	w.moved.Add(1)
	if who, _ := w.who(token); who != "401" {
		t.Errorf("at its expiry: %q", who)
	}
	// The revocation of its key.
	token = w.issue("alice")
	w.want("another login", token, "alice", 1)
	w.want("another login", token, "alice", 0)
	key, err := w.ring.Primary(w.now())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.ring.Revoke(t.Context(), w.now(), key.ID(), "leaked"); err != nil {
		t.Fatal(err)
	}
	w.want("its key was revoked", token, "401", 1)
	w.want("its key was revoked, again", token, "401", 1)
}

// An entry found by a short hash counts only if the whole hash is the token's.
func TestVerifiedTokensCompareTheWholeHash(t *testing.T) {
	w := newVerifiedWorld(t, 0)
	alice, mallory := hashToken(w.issue("alice")), hashToken("mallory's")
	keys := w.bearer.keys()
	v := w.bearer.verified
	v.cache.Set(string(mallory[:]), &verifiedToken{alice, keys, &codec.AccessToken{Subject: "alice"}}, 1)
	v.cache.Wait()
	if _, found := v.cache.Get(string(mallory[:])); !found {
		t.Fatal("the cache lost the entry; the test shows nothing")
	}
	if got := v.get(mallory, keys); got != nil {
		t.Errorf("another token's entry is taken for it: %v", got.Subject)
	}
	v.put(mallory, keys, &codec.AccessToken{Subject: "mallory"}, time.Hour)
	v.cache.Wait()
	if got := v.get(mallory, keys); got == nil || got.Subject != "mallory" {
		t.Errorf("its own entry: %v", got)
	}
	if got := v.get(mallory, new(int)); got != nil {
		t.Error("an entry of other keys is taken")
	}
	for _, life := range []time.Duration{0, -time.Second} {
		late := hashToken(fmt.Sprint(life))
		v.put(late, keys, &codec.AccessToken{}, life)
		v.cache.Wait()
		if v.get(late, keys) != nil {
			t.Errorf("a token with %v to live is kept", life)
		}
	}
	// No longer than the token lives.
	if ttl, found := v.cache.GetTTL(string(mallory[:])); !found || ttl <= 0 || ttl > time.Hour {
		t.Errorf("an entry lives for %v, %v; its token for an hour", ttl, found)
	}
}

// Promise 8: the cache is as large as it was told, whoever asks.
func TestPromise8_VerifiedTokensAreBounded(t *testing.T) {
	const limit = 64
	w := newVerifiedWorld(t, limit)
	for i := range 4 * limit {
		if who, _ := w.who(w.issue(fmt.Sprint("user", i))); who != fmt.Sprint("user", i) {
			t.Fatalf("user%d is %q", i, who)
		}
	}
	cache := w.bearer.verified.cache
	if used := cache.MaxCost() - cache.RemainingCost(); used > limit || used < 1 {
		t.Errorf("%d tokens are kept, of a limit of %d", used, limit)
	}
}
