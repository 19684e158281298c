package node

import (
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/waferkit/wafer/internal/sentinel"
	"github.com/waferkit/wafer/revocation"
	"github.com/waferkit/wafer/store"
)

// many returns a revocation of so many sessions and subjects.
func many(sessions, subjects int, everyone bool) store.Revocation {
	r := store.Revocation{Everyone: everyone, Reason: "many", Actor: "admin"}
	for i := range sessions {
		id := store.ID{0: 200}
		binary.BigEndian.PutUint32(id[12:], uint32(i))
		r.Sessions = append(r.Sessions, id)
	}
	for i := range subjects {
		r.Subjects = append(r.Subjects, fmt.Sprintf("subject %d", i))
	}
	return r
}

// A revocation that one call cannot hold is made in several. The last one names
// everyone: an entry for everyone that came first would not cover the sessions
// that begin between the calls.
func TestPromise1_RevokeInParts(t *testing.T) {
	const most = store.MaxEntries
	type part struct {
		sessions, subjects int
		everyone           bool
	}
	inBubbles(t, map[string]struct {
		of   part
		want []part
	}{
		"one session":              {part{1, 0, false}, []part{{1, 0, false}}},
		"everyone":                 {part{0, 0, true}, []part{{0, 0, true}}},
		"some of each":             {part{2, 3, true}, []part{{2, 3, true}}},
		"as many as one call":      {part{most - 2, 2, false}, []part{{most - 2, 2, false}}},
		"with everyone, just fits": {part{most - 1, 0, true}, []part{{most - 1, 0, true}}},
		"with everyone, too many":  {part{most, 0, true}, []part{{most, 0, false}, {0, 0, true}}},
		"one too many":             {part{most, 1, false}, []part{{most, 0, false}, {0, 1, false}}},
		"many of each": {part{most + most/2, most + most/2, true}, []part{
			{most, 0, false}, {most / 2, most / 2, false}, {0, most, false}, {0, 0, true},
		}},
	}, func(t *testing.T, row struct {
		of   part
		want []part
	}) {
		w := newWorld(t)
		before := w.db.head()
		w.Learn(before + 1000)
		r := many(row.of.sessions, row.of.subjects, row.of.everyone)
		last, err := w.Revoke(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		var got []part
		var all store.Revocation
		for _, c := range w.db.made() {
			r := c.revocation
			got = append(got, part{len(r.Sessions), len(r.Subjects), r.Everyone})
			all.Sessions, all.Subjects = append(all.Sessions, r.Sessions...), append(all.Subjects, r.Subjects...)
			if r.Reason != "many" || r.Actor != "admin" || r.Above < before+1000 {
				t.Errorf("reason %q, actor %q, above %d", r.Reason, r.Actor, r.Above)
			}
		}
		if !slices.Equal(got, row.want) {
			t.Errorf("parts %v, want %v", got, row.want)
		}
		if !slices.Equal(all.Sessions, r.Sessions) || !slices.Equal(all.Subjects, r.Subjects) {
			t.Error("the parts are not the whole")
		}
		if last != w.db.head() {
			t.Errorf("the last entry is at %d, want %d", last, w.db.head())
		}
		if got := w.reported(); len(got) != len(row.want) {
			t.Errorf("%d reports of %d parts", len(got), len(row.want))
		}
		w.wantApplied(w.db.entries(before))
	})
}

// wantApplied compares the applied entries with those of the log. A subject and
// everyone are applied at the very position, since sessions may begin right after
// it. A session is applied at its entry or above, since its end is final.
func (w *world) wantApplied(log []store.Entry) {
	w.t.Helper()
	if len(log) != len(w.applied) {
		w.t.Errorf("%d entries are in the log, and %d were applied", len(log), len(w.applied))
	}
	applied := map[string]store.Position{}
	name := func(e *store.Entry) string { return fmt.Sprint(e.Kind, e.Session, e.Subject) }
	for i := range w.applied {
		applied[name(&w.applied[i])] = w.applied[i].Position
	}
	for i := range log {
		e, at := &log[i], applied[name(&log[i])]
		if at < e.Position || at != e.Position && e.Kind != store.KindSession {
			w.t.Fatalf("entry %d of the log is at %d, and was applied at %d: %v %s", i, e.Position, at, e.Kind, e.Subject)
		}
	}
}

// A revocation of a subject does not refuse a login that begins after it returned,
// though the entry was applied before the log brought it.
func TestPromise1_LoginRightAfterARevocation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		if _, err := w.Revoke(t.Context(), store.Revocation{Sessions: []store.ID{b}, Subjects: []string{"bob", "alice", "carol"}, Everyone: true}); err != nil {
			t.Fatal(err)
		}
		for i, subject := range []string{"alice", "bob", "carol"} {
			snap, err := w.Start(t.Context(), creation(store.ID{50, byte(i)}, subject))
			if err != nil {
				t.Fatal(err)
			}
			if v := w.Check(time.Now(), snap.Family.ID, subject, snap.Family.Position); v == revocation.Revoked || v == revocation.Expired || w.Dead(&snap.Family) {
				t.Errorf("the new session of %s is %v, dead: %v", subject, v, w.Dead(&snap.Family))
			}
		}
	})
}

// A part that fails ends the call. The parts before it are in force.
func TestRevokeFailsHalfway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		n := 0
		w.db.answer(func(_ context.Context, perform func() (store.Snapshot, error)) (store.Snapshot, error) {
			if n++; n == 2 {
				return store.Snapshot{}, errors.New("down")
			}
			return perform()
		})
		r := many(3*store.MaxEntries, 0, true)
		last, err := w.Revoke(t.Context(), r)
		if !errors.Is(err, sentinel.ErrUnavailable) || last != w.db.head() || n != 2 {
			t.Errorf("%d, %v after %d calls, want %d and unavailable after 2", last, err, n, w.db.head())
		}
		if !w.Ended(r.Sessions[0]) || w.Ended(r.Sessions[store.MaxEntries]) {
			t.Error("not exactly the first part is in force")
		}
		w.wantReports("revoked 0: many", "unavailable 0")
	})
}

// A revocation that names nobody, or that the store's types forbid, is the caller's
// mistake. The store is not asked.
func TestRevokeArguments(t *testing.T) {
	inBubbles(t, map[string]store.Revocation{
		"nobody":        {Reason: "why"},
		"the zero id":   {Sessions: []store.ID{{}}},
		"empty subject": {Subjects: []string{""}},
		"long reason":   {Everyone: true, Reason: string(make([]byte, store.MaxReason+1))},
	}, func(t *testing.T, r store.Revocation) {
		w := newWorld(t)
		if _, err := w.Revoke(t.Context(), r); !errors.Is(err, store.ErrArgument) || errors.Is(err, sentinel.ErrUnavailable) {
			t.Errorf("%v, want a bad argument", err)
		}
		if made := w.db.made(); len(made) != 0 || len(w.applied) != 0 {
			t.Errorf("calls %v, applied %v", made, w.applied)
		}
		w.wantReports()
	})
}

// The ring is read before everyone is refused here. The key whose leak was the
// reason must not open a cookie that is forged above the entry.
func TestPromise1_TheRingIsReloadedBeforeEveryoneIsRefused(t *testing.T) {
	inBubbles(t, map[string]struct {
		everyone bool
		err      error
		hangs    bool
		reports  []string
	}{
		"everyone":       {everyone: true, reports: []string{"revoked 0: leaked"}},
		"it fails":       {everyone: true, err: errors.New("unreadable"), reports: []string{"alarm 0: everyone is revoked, and the ring could not be reloaded", "revoked 0: leaked"}},
		"it hangs":       {everyone: true, hangs: true, reports: []string{"alarm 0: everyone is revoked, and the ring could not be reloaded", "revoked 0: leaked"}},
		"not everyone":   {reports: []string{"revoked 0: leaked"}},
		"not, and fails": {err: errors.New("unreadable"), reports: []string{"revoked 0: leaked"}},
	}, func(t *testing.T, row struct {
		everyone bool
		err      error
		hangs    bool
		reports  []string
	}) {
		w := newWorld(t)
		reloads, before := 0, w.db.head()
		w.reload = func(ctx context.Context) error {
			reloads++
			if asked(w.db.made(), "Revoke") != 1 {
				t.Error("the ring was read before the entry was in the log")
			}
			if v := w.verdict(c, before); v == revocation.Revoked {
				t.Error("everyone was refused before the ring was read")
			}
			if row.hangs {
				<-ctx.Done()
			}
			if err := ctx.Err(); err != nil {
				return err
			}
			return row.err
		}
		began := time.Now()
		r := store.Revocation{Subjects: []string{"alice"}, Everyone: row.everyone, Reason: "leaked"}
		if _, err := w.Revoke(hungUp(t), r); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); row.hangs && took != timeout || !row.hangs && took != 0 {
			t.Errorf("it took %v", took)
		}
		if (reloads == 1) != row.everyone || reloads > 1 {
			t.Errorf("%d reloads", reloads)
		}
		if v := w.verdict(c, before); (v == revocation.Revoked) != row.everyone {
			t.Errorf("bob's cookie is %v", v)
		}
		if v := w.verdict(a, before); v != revocation.Revoked {
			t.Errorf("alice's cookie is %v", v)
		}
		w.wantReports(row.reports...)
	})
}

// A survivor that is dead does not keep the others alive, and a conflict revokes
// nobody.
func TestPromise1_EndOthersWhoseSurvivorIsDead(t *testing.T) {
	inBubbles(t, map[string]struct {
		prepare  func(w *world) error
		survivor store.ID // a, unless it is set
		basis    store.Position
		err      error
		revoked  bool
		reports  []string
	}{
		"alive": {revoked: true, basis: store.MaxPosition, reports: []string{"revoked 1: elsewhere"}},
		"ended": {
			prepare: func(w *world) error {
				_, err := w.db.Store.Revoke(context.Background(), store.Revocation{Sessions: []store.ID{a}})
				return err
			},
			basis: store.MaxPosition, err: sentinel.ErrEnded, revoked: true, reports: []string{"revoked 1: elsewhere"},
		},
		"past its limits": {
			prepare: func(w *world) error { // and the others are not
				time.Sleep(30 * time.Minute)
				_, err := w.db.Store.Advance(context.Background(), store.Advance{ID: b, Generation: 1})
				time.Sleep(30 * time.Minute)
				return err
			},
			basis: store.MaxPosition, err: sentinel.ErrEnded, revoked: true, reports: []string{"revoked 1: elsewhere"},
		},
		"another subject's": {
			survivor: c, basis: store.MaxPosition, err: sentinel.ErrEnded, revoked: true, reports: []string{"revoked 3: elsewhere"},
		},
		"behind": {
			prepare: func(w *world) error {
				_, err := w.db.Store.Commit(context.Background(), store.Commit{ID: a, Basis: store.MaxPosition, Value: []byte("v")})
				return err
			},
			err: sentinel.ErrConflict,
		},
	}, func(t *testing.T, row struct {
		prepare  func(w *world) error
		survivor store.ID // a, unless it is set
		basis    store.Position
		err      error
		revoked  bool
		reports  []string
	}) {
		w := newWorld(t)
		before := w.db.head()
		if row.prepare != nil {
			if err := row.prepare(w); err != nil {
				t.Fatal(err)
			}
		}
		survivor := store.Rebirth{ID: cmp.Or(row.survivor, a), Basis: row.basis}
		if row.basis == store.MaxPosition {
			survivor.Basis = w.db.head()
		}
		if _, err := w.EndOthers(t.Context(), "alice", survivor, "elsewhere"); !errors.Is(err, row.err) || (err == nil) != (row.err == nil) {
			t.Errorf("%v, want %v", err, row.err)
		}
		if v := w.verdict(b, before); (v == revocation.Revoked) != row.revoked {
			t.Errorf("the other session's cookie is %v", v)
		}
		for _, c := range w.db.made() {
			if r := c.revocation; r.Actor != "alice" || r.Reason != "elsewhere" || !slices.Equal(r.Subjects, []string{"alice"}) || *r.Except != survivor {
				t.Errorf("asked for %+v", r)
			}
		}
		w.wantReports(row.reports...)
	})
}
