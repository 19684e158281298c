package gate

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// next returns a time at which the published next key of a ring seals.
func next(t *testing.T, ring *keyring.Ring) time.Time {
	t.Helper()
	for _, k := range ring.Set().Keys() {
		if k.Activates().After(begin) {
			return k.Activates()
		}
	}
	t.Fatal("no next key is published")
	return time.Time{}
}

// nextToken returns a refresh token under the published next key.
func (w *world) nextToken(id codec.ID) string {
	w.t.Helper()
	return must(w.RefreshTokens.Mint(next(w.t, w.Ring), codec.RefreshToken{Family: id, Generation: 3}))(w.t)
}

// Credentials under unknown keys cost a request one read of the ring, however
// many there are.
func TestPromise8_OneReloadForARequest(t *testing.T) {
	const unknown = " not authentic: keyring: unknown key id"
	const cookie, token = "refused 0: session cookie" + unknown, "refused 0: refresh token" + unknown
	for name, row := range map[string]struct {
		session, refresh int
		known            bool // a good cookie follows them
		want             verdict
		loads            int64
	}{
		"none":              {0, 0, true, verdict{finding: Valid, cookie: a, decided: 1}, 0},
		"one cookie":        {1, 0, false, verdict{reports: []string{cookie}}, 1},
		"one token":         {0, 1, false, verdict{reports: []string{token}}, 1},
		"all of both":       {4, 4, false, verdict{reports: []string{cookie, cookie, cookie, cookie, token, token, token, token}}, 1},
		"before a good one": {3, 0, true, verdict{finding: Valid, cookie: a, decided: 1, reports: []string{cookie, cookie, cookie}}, 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ring, _, source := rings(t)
				w, other := newWorldOver(t, ring), newWorldOver(t, staticRing(t, "a5"))
				var session, refresh []string
				for range row.session {
					session = append(session, other.cookie(a))
				}
				for range row.refresh {
					refresh = append(refresh, other.token(a))
				}
				if row.known {
					session = append(session, w.cookie(a))
				}
				began := time.Now()
				w.wantVerdict(row.want, session, refresh)
				if n, took := source.loads.Load(), time.Since(began); n != row.loads || took != 0 {
					t.Errorf("%d reads in %v, want %d at once", n, took, row.loads)
				}
			})
		})
	}
}

// A key that another node has published is read when a cookie names it. After
// that wait the cookie is judged as of a new reading of the clock, since the
// replica may have grown stale.
func TestCookieUnderANewKey(t *testing.T) {
	for name, past := range map[string]bool{"in time": false, "past its lifetime after the wait": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				ring, operator, source := rings(t)
				w, elsewhere := newWorldOver(t, ring), newWorldOver(t, operator)
				if err := operator.RevokeAll(t.Context(), begin, "moved"); err != nil {
					t.Fatal(err)
				}
				want := verdict{finding: Valid, cookie: a, decided: 1}
				if past {
					w.later = begin.Add(access)
					want = verdict{finding: Anonymous, cookie: a, reports: []string{pastAccess}}
				} else {
					w.node.then = func() {
						if got := w.node.decisions[0].now; got != w.later {
							t.Errorf("decided as of %v, want %v", got, w.later)
						}
					}
				}
				w.wantVerdict(want, []string{elsewhere.cookie(a)}, nil)
				if n := source.loads.Load(); n != 2 { // the operator's too
					t.Errorf("%d reads, want 2", n)
				}
			})
		})
	}
}

// A leaked key seals any position and any data. If the ring changes while a
// cookie is judged, the cookie must open under the new set too; else neither it
// nor its data counts, though the refresh token beside it may.
func TestPromise2_TheRingChangesWhileACookieIsJudged(t *testing.T) {
	const revoked = "refused 0: session cookie not authentic: keyring: key revoked"
	for name, row := range map[string]struct {
		verdict revocation.Verdict
		change  func(w *world, operator *keyring.Ring) error
		twin    bool // another cookie of the session, under the next key
		alone   verdict
		token   verdict // with a refresh token under the next key
	}{
		"nothing changes": {
			verdict: revocation.Good, change: func(*world, *keyring.Ring) error { return nil },
			alone: verdict{finding: Valid, cookie: a, decided: 1},
			token: verdict{finding: Valid, cookie: a, decided: 1},
		},
		"a key is published": {
			verdict: revocation.Good,
			change: func(w *world, operator *keyring.Ring) error {
				before := operator.Set()
				_, err := operator.Rotate(w.t.Context(), begin, 0)
				if err == nil && operator.Set() == before {
					err = errors.New("the set is the same")
				}
				return err
			},
			alone: verdict{finding: Valid, cookie: a, decided: 1},
			token: verdict{finding: Valid, cookie: a, decided: 1},
		},
		"its key is revoked": {
			verdict: revocation.Good, change: revokePrimary,
			alone: verdict{finding: Anonymous, decided: 1, reports: []string{revoked}},
			token: verdict{finding: Refreshable, token: a, decided: 1, reports: []string{revoked}},
		},
		"its key is revoked, with a twin": {
			verdict: revocation.Good, change: revokePrimary, twin: true,
			alone: verdict{finding: Anonymous, decided: 1, reports: []string{revoked}},
			token: verdict{finding: Refreshable, token: a, decided: 1, reports: []string{revoked}},
		},
		"its key is revoked, and everyone": {
			verdict: revocation.Revoked, change: revokePrimary,
			alone: verdict{finding: Anonymous, cookie: a, decided: 1, reports: []string{"refused 1: revoked"}},
			token: verdict{finding: Refreshable, token: a, decided: 1, reports: []string{"refused 1: revoked", revoked}},
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, token := range []bool{false, true} {
				synctest.Test(t, func(t *testing.T) {
					ring, operator, _ := rings(t)
					w := newWorldOver(t, ring)
					w.node.verdict = row.verdict
					w.node.then = func() {
						if err := row.change(w, operator); err != nil {
							t.Fatal(err)
						}
						if err := ring.Reload(t.Context()); err != nil {
							t.Fatal(err)
						}
					}
					session := []string{w.cookie(a)}
					if row.twin {
						s := header(a)
						s.Generation = 2
						session = append(session, must(w.Cookies.Seal(next(t, ring), &s, []byte("data")))(t))
					}
					if token {
						w.wantVerdict(row.token, session, []string{w.nextToken(a)})
					} else {
						w.wantVerdict(row.alone, session, nil)
					}
				})
			}
		})
	}
}

// The second look at a cookie reloads nothing, whatever stands beside it.
func TestPromise8_OneReloadThoughTheRingChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, operator, source := rings(t)
		w, other := newWorldOver(t, ring), newWorldOver(t, staticRing(t, "a5"))
		loads := int64(0)
		w.node.then = func() {
			loads = source.loads.Load()
			if err := operator.RevokeAll(t.Context(), begin, "leaked"); err != nil {
				t.Fatal(err)
			}
			if err := ring.Reload(t.Context()); err != nil {
				t.Fatal(err)
			}
			source.loads.Store(loads)
		}
		if found, err := w.Judge(t.Context(), w.now, jar([]string{other.cookie(a), w.cookie(a)}, nil), new(Credentials)); found != Anonymous || err != nil {
			t.Errorf("%v, %v", found, err)
		}
		if n := source.loads.Load(); n != 1 || loads != 1 {
			t.Errorf("%d reads, of which %d for the first look; want 1 of 1", n, loads)
		}
	})
}

// revokePrimary revokes the key that seals at begin.
func revokePrimary(w *world, operator *keyring.Ring) error {
	key, err := operator.Primary(begin)
	if err == nil {
		_, err = operator.Revoke(w.t.Context(), begin, key.ID(), "leaked")
	}
	return err
}

// A refresh token under a key that is new here makes the ring reload after the
// session cookie was opened. The data of a cookie under a key that this revokes
// must not go on with the token.
func TestPromise2_TheTokenBringsTheEndOfTheCookiesKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ring, operator, _ := rings(t)
		w, elsewhere := newWorldOver(t, ring), newWorldOver(t, operator)
		w.now = begin.Add(access) // the token is only read if the cookie is not good
		cookie := w.cookie(a)
		if err := operator.RevokeAll(t.Context(), begin, "leaked"); err != nil {
			t.Fatal(err)
		}
		w.wantVerdict(verdict{finding: Refreshable, token: a, reports: []string{
			pastAccess, "refused 0: session cookie not authentic: keyring: key revoked",
		}}, []string{cookie}, []string{elsewhere.token(a)})
	})
}

// Read returns what is authentic, whatever its lifetime, and asks no node. So
// Start and End find what they are to end.
func TestRead(t *testing.T) {
	for name, row := range map[string]struct {
		session, refresh codec.ID
		ids              [2]store.ID
	}{
		"nothing":      {},
		"a cookie":     {a, codec.ID{}, [2]store.ID{store.ID(a)}},
		"a token":      {codec.ID{}, b, [2]store.ID{1: store.ID(b)}},
		"one family":   {a, a, [2]store.ID{store.ID(a)}},
		"two families": {a, b, [2]store.ID{store.ID(a), store.ID(b)}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			session, refresh := []string{"!"}, []string{"!"} // junk hides nothing
			want := []string{junkCookie, shortToken}
			if row.session != (codec.ID{}) {
				session = append(session, w.cookie(row.session))
			}
			if row.refresh != (codec.ID{}) {
				refresh = append(refresh, w.token(row.refresh))
			}
			c := w.Read(t.Context(), begin.Add(24*time.Hour), jar(session, refresh))
			if got := c.Families(); got != row.ids {
				t.Errorf("families %v, want %v", got, row.ids)
			}
			if len(w.node.decisions)+len(w.node.families) != 0 {
				t.Error("the node was asked")
			}
			w.wantReports(want...)
		})
	}
}

// None reports that there is neither cookie, and Add keeps the first values.
func TestCookies(t *testing.T) {
	for name, c := range map[string]*Cookies{"session": jar([]string{""}, nil), "refresh": jar(nil, []string{""})} {
		if c.None() {
			t.Errorf("with a %s cookie there is none", name)
		}
	}
	if c := jar(nil, nil); !c.None() || len(c.Session.All()) != 0 {
		t.Error("without a cookie there is one")
	}
	many := jar([]string{"1", "2", "3", "4", "5"}, nil).Session
	if got := many.All(); len(got) != MaxDuplicates || got[0] != "1" || got[3] != "4" {
		t.Errorf("kept %q, want the first %d", got, MaxDuplicates)
	}
}
