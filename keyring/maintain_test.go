package keyring

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// startMaintain calls Maintain in a goroutine. The returned function stops it and
// returns its error.
func startMaintain(t *testing.T, r *Ring, observers ...func(error)) (stop func() error) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Maintain(ctx, observers...) }()
	return func() error {
		cancel()
		return <-done
	}
}

func fail(t *testing.T) func(error) {
	return func(err error) { t.Error(err) }
}

// failures collects the errors that an observer receives, and when.
type failures struct {
	mu   sync.Mutex
	errs []error
	at   []time.Time
}

func (o *failures) observe(err error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.errs, o.at = append(o.errs, err), append(o.at, time.Now())
}

// take returns the errors since the last call.
func (o *failures) take() ([]error, []time.Time) {
	synctest.Wait()
	o.mu.Lock()
	defer o.mu.Unlock()
	errs, at := o.errs, o.at
	o.errs, o.at = nil, nil
	return errs, at
}

func TestMaintainOnAStaticRing(t *testing.T) {
	r := must(Static(keeperText))(t)
	wantError(t, r.Maintain(t.Context()), ErrStatic)
	_, err := r.MaintainOnce(t.Context(), epoch, 0)
	wantError(t, err, ErrStatic)
}

// Ten nodes are maintained for half a year. Each rotation makes one new key,
// which every node has a lead before its takeover. The old keys stay as long as
// anything sealed under them can be alive, and are pruned after that.
func TestMaintainKeepsTheScheduleOnTenNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		schedule := Schedule{Seals: 10 * oneDay, Life: 15 * oneDay}
		source := new(memorySource)
		must(Create(t.Context(), source, plainKeeper{}, begin, schedule))(t)
		var nodes []*Ring
		for range 10 {
			r := openRing(t, source)
			nodes = append(nodes, r)
			stop := startMaintain(t, r, fail(t))
			defer stop()
		}
		seen := map[ID]bool{}
		var previous ID
		for time.Since(begin) < 180*oneDay {
			time.Sleep(3 * time.Hour)
			synctest.Wait()
			now := time.Now()
			primary := mustPrimary(t, nodes[0].Set(), now)
			for _, r := range nodes {
				if k := mustPrimary(t, r.Set(), now); k.ID() != primary.ID() {
					t.Fatalf("after %v one node seals with %v, another with %v", now.Sub(begin), primary, k)
				}
			}
			seen[primary.ID()] = true
			if previous != (ID{}) && previous != primary.ID() && now.Sub(primary.Activates()) > 3*time.Hour {
				t.Fatalf("%v took over at %v and was not seen until %v", primary, primary.Activates(), now)
			}
			previous = primary.ID()
			if left := nodes[0].Set().next(now); left == nil && now.Sub(primary.Activates()) > MaintainEvery*11/10 {
				t.Fatalf("after %v no next key is published, %v after the takeover", now.Sub(begin), now.Sub(primary.Activates()))
			}
			if n := len(nodes[0].Set().Keys()); n > 4 {
				t.Fatalf("after %v there are %d keys: nobody prunes", now.Sub(begin), n)
			}
		}
		// 18 rotations: each wrote one publication and, except for the first
		// ones, one pruning.
		if len(seen) != 18 && len(seen) != 19 {
			t.Errorf("%d keys sealed in 180 days of 10-day turns", len(seen))
		}
		if v := source.version; v > 2*19+1 {
			t.Errorf("the document was written %d times: the nodes do not agree on one key", v)
		}
	})
}

// A value that was sealed a moment before a takeover opens for its whole life on
// a node that is maintained, and no longer.
func TestMaintainKeepsKeysAsLongAsTheirSealsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		source := new(memorySource)
		r := must(Create(t.Context(), source, plainKeeper{}, time.Now(), Schedule{Seals: oneDay, Life: 3 * oneDay}))(t)
		defer startMaintain(t, r, fail(t))()
		first := mustPrimary(t, r.Set(), time.Now())
		time.Sleep(oneDay - time.Second)
		synctest.Wait()
		if k := mustPrimary(t, r.Set(), time.Now()); k.ID() != first.ID() {
			t.Fatal("the takeover was early")
		}
		time.Sleep(3*oneDay - time.Millisecond) // the last seal's life, but for an instant
		synctest.Wait()
		if _, err := r.Set().Key(first.ID(), time.Now()); err != nil {
			t.Fatalf("a seal of a second before the takeover: %v", err)
		}
		time.Sleep(4 * time.Hour)
		synctest.Wait()
		if r.Set().has(first.ID()) {
			t.Error("the key was not pruned when nothing under it could live")
		}
	})
}

// The passes are an hour apart, give or take a tenth, and not in step.
func TestMaintainPaces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		var passes []time.Time
		last := time.Time{}
		source.beforeLoad = func(context.Context) error {
			if now := time.Now(); now != last { // a pass reads several times at one instant
				passes, last = append(passes, now), now
			}
			return nil
		}
		begin := time.Now()
		stop := startMaintain(t, r, fail(t))
		time.Sleep(100 * time.Hour)
		if err := stop(); !errors.Is(err, context.Canceled) {
			t.Errorf("Maintain returned %v", err)
		}
		if passes[0] != begin {
			t.Errorf("the first pass came %v after the start", passes[0].Sub(begin))
		}
		gaps := map[time.Duration]bool{}
		for i, at := range passes[1:] {
			gap := at.Sub(passes[i])
			if gap < 54*time.Minute || gap > 66*time.Minute {
				t.Errorf("pass %d came after %v", i+1, gap)
			}
			gaps[gap] = true
		}
		if len(passes) < 90 || len(gaps) < 50 {
			t.Errorf("%d passes with %d different gaps in 100 hours", len(passes), len(gaps))
		}
	})
}

// A source that fails is tried again at growing intervals, and each failure is
// reported. Once it works again, the interval is MaintainEvery again.
func TestMaintainRetriesWithBackoff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		source := new(memorySource)
		r := must(Create(t.Context(), source, plainKeeper{}, begin, Schedule{Seals: oneDay, Life: oneDay}))(t)
		away := errors.New("the disk is away")
		var isAway atomic.Bool
		source.beforeLoad = func(context.Context) error {
			if isAway.Load() {
				return away
			}
			return nil
		}
		var failures failures
		stop := startMaintain(t, r, failures.observe)
		time.Sleep(23*time.Hour + 30*time.Minute)
		isAway.Store(true)
		time.Sleep(6 * time.Hour)
		if mustPrimary(t, r.Set(), time.Now()).ID() == r.Set().Keys()[0].ID() {
			t.Error("the published key did not take over while the source is away")
		}
		isAway.Store(false)
		time.Sleep(11 * time.Minute)
		if synctest.Wait(); r.Set().next(time.Now()) == nil {
			t.Error("the next key was not published within 11 minutes of the source's return")
		}
		errs, at := failures.take()
		time.Sleep(10 * time.Hour)
		if more, _ := failures.take(); len(more) != 0 || len(at) < 40 || len(at) > 120 {
			t.Fatalf("reported %d failures in 6 hours, and %d after them", len(at), len(more))
		}
		stop()
		for _, err := range errs {
			wantError(t, err, away)
		}
		if first := at[1].Sub(at[0]); first < 2*time.Second || first > 4*time.Second {
			t.Errorf("the first retry came after %v", first)
		}
		for i := 20; i < len(at); i++ {
			if gap := at[i].Sub(at[i-1]); gap < 5*time.Minute || gap > 10*time.Minute {
				t.Errorf("retry %d came after %v", i, gap)
			}
		}
	})
}

func TestMaintainBacksOffFromTheStartAfterSuccess(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		var failing atomic.Bool
		source.beforeLoad = func(context.Context) error {
			if failing.Load() {
				return errors.New("away")
			}
			return nil
		}
		var failures failures
		defer startMaintain(t, r, failures.observe)()
		for range 2 {
			failing.Store(true)
			time.Sleep(3 * time.Hour)
			if _, at := failures.take(); at[1].Sub(at[0]) > 4*time.Second {
				t.Errorf("the first retry came after %v", at[1].Sub(at[0]))
			}
			failing.Store(false)
			time.Sleep(3 * time.Hour)
			failures.take()
		}
	})
}

// A source that hangs costs a minute, not the maintenance.
func TestMaintainGivesUpAPassThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		var hangs atomic.Bool
		hangs.Store(true)
		source.beforeLoad = func(ctx context.Context) error {
			if hangs.Load() {
				<-ctx.Done()
				return context.Cause(ctx)
			}
			return nil
		}
		var failures failures
		stop := startMaintain(t, r, failures.observe)
		time.Sleep(61 * time.Second)
		if errs, _ := failures.take(); len(errs) != 1 {
			t.Fatalf("reported %v in the first minute", errs)
		}
		hangs.Store(false)
		time.Sleep(time.Hour)
		if errs, _ := failures.take(); len(errs) != 0 {
			t.Errorf("reported %v after it", errs)
		}
		stop()
	})
}

// Maintain ends with its context wherever it is, and reports no failure then.
func TestMaintainEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, source := newMemoryRing(t, Schedule{})
		stop := startMaintain(t, r, fail(t))
		time.Sleep(10 * time.Minute) // between two passes
		begin := time.Now()
		wantError(t, stop(), context.Canceled)
		source.beforeLoad = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
		stop = startMaintain(t, r, fail(t))
		time.Sleep(time.Second) // within a pass
		wantError(t, stop(), context.Canceled)
		if took := time.Since(begin); took != time.Second {
			t.Errorf("the ends took %v", took-time.Second)
		}
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		wantError(t, r.Maintain(ended, fail(t)), context.Canceled)
	})
}

// Without an observer a failure is logged, and holds no secret.
func TestMaintainLogsWithoutAnObserver(t *testing.T) {
	path := newRingFile(t)
	r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
	content := readFile(t, path)
	writeFile(t, path, content[:len(content)/2])
	var text bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&text, nil)))
	defer slog.SetDefault(before)
	synctest.Test(t, func(t *testing.T) {
		stop := startMaintain(t, r)
		time.Sleep(time.Second)
		wantError(t, stop(), context.Canceled)
	})
	if got := text.String(); !strings.Contains(got, "level=ERROR") || !strings.Contains(got, "not a whole ring file") {
		t.Errorf("logged %q", got)
	}
}

// A document that another node sealed under a new keeper, or one that was rolled
// back, is reported at every pass, and the node keeps its keys.
func TestMaintainTellsOfADocumentThatItCannotTake(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(path string)
		want  string
	}{
		{"another keeper", func(path string) {
			version, sealed, _ := File(path).LoadKeys(context.Background())
			plain, _ := testKeeper(t).Decrypt(context.Background(), sealed)
			other := must(NewKeeper(strings.Repeat("ab", 32)))(t)
			sealed = must(other.Encrypt(context.Background(), plain))(t)
			writeFile(t, path, formatFile(version+1, sealed))
		}, "does not open"},
		{"half written", func(path string) { writeFile(t, path, readFile(t, path)[:200]) }, "not a whole ring file"},
		{"gone", func(path string) { writeFile(t, path, nil) }, "not a whole ring file"},
	} {
		t.Run(c.name, func(t *testing.T) {
			path := newRingFile(t)
			r := must(Open(t.Context(), File(path), testKeeper(t)))(t)
			before := r.Set()
			c.spoil(path)
			spoilt := readFile(t, path)
			synctest.Test(t, func(t *testing.T) {
				var failures failures
				stop := startMaintain(t, r, failures.observe)
				time.Sleep(time.Hour)
				stop()
				if errs, _ := failures.take(); len(errs) < 5 || !strings.Contains(errs[0].Error(), c.want) {
					t.Errorf("reported %v", errs)
				}
			})
			if r.Set() != before || !bytes.Equal(readFile(t, path), spoilt) {
				t.Error("the ring or the file was changed")
			}
		})
	}
}

// A node whose clock is an hour off, either way, makes no surplus keys, and
// none too early for another node: every node opens what any node seals.
func TestMaintainWithAClockThatIsAnHourOff(t *testing.T) {
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		t.Run(off.String(), func(t *testing.T) {
			r, source := newMemoryRing(t, Schedule{Seals: oneDay, Life: oneDay})
			other := openRing(t, source)
			for now := epoch.Add(time.Minute); now.Before(day(10)); now = now.Add(30 * time.Minute) {
				must(r.MaintainOnce(t.Context(), now, oneDay))(t)
				must(other.MaintainOnce(t.Context(), now.Add(off), oneDay))(t)
				for _, pair := range []struct {
					from, to *Ring
					at, then time.Time
				}{{r, other, now, now.Add(off)}, {other, r, now.Add(off), now}} {
					if err := pair.from.Reload(t.Context()); err != nil {
						t.Fatal(err)
					}
					k, err := pair.from.Primary(pair.at)
					if err == ErrNoPrimary && now.Sub(epoch) < 2*time.Hour {
						continue // its clock is before the first activation
					}
					if err != nil {
						t.Fatal(err)
					}
					if _, err := pair.to.Key(t.Context(), k.ID(), pair.then); err != nil {
						t.Fatalf("at %v: %v", now.Sub(epoch), err)
					}
				}
			}
			if n := len(r.Set().Keys()); n > 4 || r.Set().Version() > 30 {
				t.Errorf("%d keys in version %d after 10 days", n, r.Set().Version())
			}
		})
	}
}

// A node that publishes the next key and crashes before the takeover leaves
// nothing to do: the key is there, and takes over on time.
func TestCrashBetweenPublishAndTakeover(t *testing.T) {
	path := filepath.Join(t.TempDir(), "ring")
	r := must(Create(t.Context(), File(path), testKeeper(t), epoch, Schedule{}))(t)
	must(r.Rotate(t.Context(), day(31), 0))(t) // publishes key 3, and hands over to it in a lead
	r = nil                                    // the node is gone
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			node, err := Open(t.Context(), File(path), testKeeper(t))
			if err != nil {
				t.Error(err)
				return
			}
			if changed, err := node.MaintainOnce(t.Context(), day(31).Add(time.Minute), 30*oneDay); changed || err != nil {
				t.Errorf("changed %v, %v", changed, err)
			}
			if k := mustPrimary(t, node.Set(), day(31).Add(Lead)); !k.Activates().Equal(day(31).Add(Lead)) {
				t.Errorf("%v seals, from %v", k, k.Activates())
			}
		})
	}
	group.Wait()
}
