package bearer

import (
	"context"
	"crypto"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
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

// reports collects what a Judge reports.
type reports []string

func (r *reports) Refused(_ store.ID, reason string, _ error) { *r = append(*r, reason) }
func (r *reports) Unavailable(_ store.ID, err error)          { *r = append(*r, "unavailable") }
func (r *reports) Alarm(_ store.ID, _ store.Position, reason string, _ error) {
	*r = append(*r, reason)
}

// world is a Judge over a ring and a store in memory, whose verifications are
// counted.
type world struct {
	*Judge
	t       *testing.T
	db      *memory.Store
	ring    *keyring.Ring
	tokens  *codec.AccessTokens
	keys    *countedKeys
	reports reports
	logins  byte
	moved   atomic.Int64
}

func (w *world) now() time.Time {
	return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(w.moved.Load()))
}

func newWorld(t *testing.T, cached int) *world {
	t.Helper()
	w := &world{t: t}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	w.db = memory.New(memory.Options{Now: w.now})
	keeper, err := keyring.NewKeeper(strings.Repeat("5a", keyring.SecretSize))
	must(err)
	w.ring, err = keyring.Create(t.Context(), w.db, keeper, w.now(), keyring.Schedule{})
	must(err)
	w.tokens, err = codec.NewAccessTokens(w.ring, codec.AccessTokensConfig{Realm: "shop.example/test", Issuer: "https://shop.example"})
	must(err)
	w.keys = &countedKeys{AccessKeys: w.tokens}
	w.Judge = &Judge{Keys: func() any { return w.ring.Set() }, Now: w.now, Observer: &w.reports}
	w.Verifier, err = codec.NewAccessVerifier(codec.AccessVerifierConfig{
		Keys: w.keys, Algorithms: []codec.Algorithm{codec.EdDSA}, Issuer: "https://shop.example", Audiences: []string{"api"}, Leeway: 10 * time.Second,
	})
	must(err)
	w.Verified, err = NewCache(cached)
	must(err)
	t.Cleanup(w.Verified.Close)
	replica, err := revocation.Follow(t.Context(), w.db, revocation.Config{Now: w.now})
	must(err)
	t.Cleanup(replica.Close)
	w.Revocations = replica
	return w
}

// issue mints a token of a login at the log's head, for five minutes.
func (w *world) issue(subject string) string {
	w.t.Helper()
	c, err := w.db.Cutoffs(w.t.Context(), store.ID{}, "")
	if err != nil {
		w.t.Fatal(err)
	}
	w.logins++
	token, err := w.tokens.Mint(w.now(), codec.AccessToken{
		Subject: codec.Hide(subject), Audience: []string{"api"}, ClientID: "app", Session: codec.ID{0: w.logins, 1: 1}, Position: uint64(c.Head),
		Issued: w.now(), Expires: w.now().Add(5 * time.Minute), Authenticated: w.now(),
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return token
}

// who returns the subject that the Judge finds in a token, or the error, and how
// many signatures that took.
func (w *world) who(token string) (subject string, verified int64) {
	before := w.keys.asked.Load()
	found, err := w.Token(w.t.Context(), token)
	w.Verified.cache.Wait()
	if err != nil {
		return err.Error(), w.keys.asked.Load() - before
	}
	return found.Subject.Text(), w.keys.asked.Load() - before
}

var refused = sentinel.ErrNoSession.Error()

func (w *world) want(what, token, subject string, verified int64) {
	w.t.Helper()
	if who, took := w.who(token); who != subject || took != verified {
		w.t.Errorf("%s: %q after %d verifications, want %q after %d", what, who, took, subject, verified)
	}
}

// A token is verified once, and judged every time.
func TestVerifiedTokens(t *testing.T) {
	w := newWorld(t, 1024)
	token := w.issue("alice")
	w.want("seen first", token, "alice", 1)
	for range 3 {
		w.want("seen again", token, "alice", 0)
	}
	w.want("another", w.issue("bob"), "bob", 1)
	signature := strings.LastIndexByte(token, '.') + 1
	other := token[:signature] + map[bool]string{true: "B", false: "A"}[token[signature] == 'A'] + token[signature+1:]
	for range 3 {
		w.want("with another signature: what is refused is not kept", other, refused, 1)
	}
	w.want("still", token, "alice", 0)

	// A change of the key set: verified anew, and kept again.
	if _, err := w.ring.Rotate(t.Context(), w.now(), 0); err != nil {
		t.Fatal(err)
	}
	w.want("after a rotation", token, "alice", 1)
	w.want("after a rotation, again", token, "alice", 0)

	// The revocation of its session is judged after the hit.
	if _, err := w.db.Revoke(t.Context(), store.Revocation{Subjects: []string{"alice"}}); err != nil {
		t.Fatal(err)
	}
	if err := w.Revocations.(*revocation.Replica).CatchUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.want("revoked", token, refused, 0)

	// Its expiry, too: to the second, whatever the cache believes.
	token = w.issue("alice")
	w.want("another login", token, "alice", 1)
	w.moved.Add(int64(5*time.Minute - time.Nanosecond))
	w.want("just before its expiry", token, "alice", 0)
	w.moved.Add(1)
	if who, _ := w.who(token); who != refused {
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
	w.want("its key was revoked", token, refused, 1)
	w.want("its key was revoked, again", token, refused, 1)
}

// An entry found by a short hash counts only if the whole hash is the token's.
func TestVerifiedTokensCompareTheWholeHash(t *testing.T) {
	w := newWorld(t, 1024)
	alice, mallory := hashToken(w.issue("alice")), hashToken("mallory's")
	keys := w.Keys()
	v := w.Verified
	v.cache.Set(string(mallory[:]), &verifiedToken{alice, keys, &codec.AccessToken{Subject: codec.Hide("alice")}}, 1)
	v.cache.Wait()
	if _, found := v.cache.Get(string(mallory[:])); !found {
		t.Fatal("the cache lost the entry; the test shows nothing")
	}
	if got := v.get(mallory, keys); got != nil {
		t.Errorf("another token's entry is taken for it: %v", got.Subject.Text())
	}
	v.put(mallory, keys, &codec.AccessToken{Subject: codec.Hide("mallory")}, time.Hour)
	v.cache.Wait()
	if got := v.get(mallory, keys); got == nil || got.Subject.Text() != "mallory" {
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
	w := newWorld(t, limit)
	for i := range 4 * limit {
		if who, _ := w.who(w.issue(fmt.Sprint("user", i))); who != fmt.Sprint("user", i) {
			t.Fatalf("user%d is %q", i, who)
		}
	}
	cache := w.Verified.cache
	if used := cache.MaxCost() - cache.RemainingCost(); used > limit || used < 1 {
		t.Errorf("%d tokens are kept, of a limit of %d", used, limit)
	}
}
