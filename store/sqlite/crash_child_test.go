//go:build unix

package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// roleVariable names the variable that makes the test binary another process of
// the test. Its value is the process's role, and os.Args[1:] are the arguments.
const roleVariable = "WAFER_SQLITE_ROLE"

// roles are the processes that tests start.
var roles = map[string]func(args []string) error{
	"crash": crashChild,
	"peer":  peerChild,
}

func TestMain(m *testing.M) {
	role := os.Getenv(roleVariable)
	if role == "" {
		os.Exit(m.Run())
	}
	if err := roles[role](os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, role+":", err)
		os.Exit(1)
	}
	os.Exit(0)
}

// command returns a command that runs this binary in another role. The process
// ends with the test at the latest.
func command(ctx context.Context, role string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, os.Args[0], args...)
	// Under the race detector a process sleeps for a second before it exits.
	cmd.Env = append(os.Environ(), roleVariable+"="+role, "GORACE="+os.Getenv("GORACE")+" atexit_sleep_ms=0")
	return cmd
}

const (
	crashWorkers  = 6
	crashSubjects = 12
)

func crashSubject(i int) string { return fmt.Sprintf("subject%d", i) }

// report reports one acknowledged operation. A line is one write, so that the lines
// of several goroutines stay whole and a kill finds nothing in a buffer.
func report(format string, args ...any) {
	_, _ = io.WriteString(os.Stdout, fmt.Sprintf(format, args...)+"\n")
}

// crashChild works on the file at full speed until it is killed. Its arguments
// are the file, a number from 0 of this child among its siblings, how many they
// are, and whether to do housekeeping ("sweep").
func crashChild(args []string) error {
	var number, siblings int
	if _, err := fmt.Sscan(args[1]+" "+args[2], &number, &siblings); err != nil {
		return err
	}
	ctx := context.Background()
	db, err := sqlite.Open(ctx, args[0], sqlite.Options{})
	if err != nil {
		return err
	}
	failed := make(chan error, 2*crashWorkers)
	if args[3] == "sweep" {
		if _, err := db.Announce(ctx, store.Announcement{Access: 20 * time.Millisecond, Absolute: 12 * time.Hour}); err != nil {
			return err
		}
		go func() {
			for {
				if err := db.Sweep(ctx); err != nil {
					failed <- err
					return
				}
				time.Sleep(time.Millisecond)
			}
		}()
	}
	for i := range crashWorkers {
		w := &crashWorker{db: db, number: number*crashWorkers + i, of: siblings * crashWorkers}
		go func() {
			err := w.load()
			for err == nil {
				err = w.step()
			}
			failed <- err
		}()
	}
	return <-failed
}

// crashWorker works on its own families, which it recognizes by their ids. So at
// most one operation on each is under way when the process is killed. All
// workers share the subjects.
type crashWorker struct {
	db         *sqlite.Store
	number, of int
	families   []*store.Family
}

// newID returns a random id that belongs to this worker.
func (w *crashWorker) newID() (id store.ID) {
	for i := range id {
		id[i] = byte(rand.Uint32())
	}
	id[0] = byte(w.number)
	return id
}

// load finds the worker's families that are still alive.
func (w *crashWorker) load() error {
	for i := range crashSubjects {
		page, err := w.db.Families(context.Background(), store.Query{Subject: crashSubject(i), Limit: 200})
		if err != nil {
			return err
		}
		for _, f := range page.Families {
			if int(f.ID[0])%w.of == w.number && len(w.families) < 30 {
				s, err := w.db.Family(context.Background(), f.ID) // with its value
				if err != nil {
					return err
				}
				w.families = append(w.families, &s.Family)
			}
		}
	}
	return nil
}

func (w *crashWorker) drop(i int) {
	w.families[i] = w.families[len(w.families)-1]
	w.families = w.families[:len(w.families)-1]
}

// step does one operation and reports it once it is acknowledged.
func (w *crashWorker) step() error {
	dice := rand.IntN(1000)
	if len(w.families) == 0 || dice < 200 {
		return w.create()
	}
	i := rand.IntN(len(w.families))
	switch {
	case dice < 500:
		return w.advance(i)
	case dice < 600:
		return w.reissue(i)
	case dice < 850:
		return w.commit(i)
	case dice < 920:
		return w.end(i)
	case dice < 950:
		return w.restore(i, dice < 930)
	case dice < 985:
		return w.cutOff(i, dice < 960)
	case dice < 988:
		s, err := w.db.Revoke(context.Background(), store.Revocation{Everyone: true})
		if err == nil {
			report("everyone %d", s.Entry)
		}
		return err
	default:
		return w.swap()
	}
}

func (w *crashWorker) create() error {
	c := store.Creation{ID: w.newID(), Subject: crashSubject(rand.IntN(crashSubjects)), Idle: 12 * time.Hour, Absolute: 12 * time.Hour}
	replaced := -1
	if len(w.families) > 15 {
		replaced = rand.IntN(len(w.families))
		old := w.families[replaced]
		if rand.IntN(2) == 0 {
			c.Ends[0] = old.ID
		} else {
			c.Subject, c.Renews = old.Subject, &store.Renewal{ID: old.ID, Basis: old.Position}
		}
	}
	s, err := w.db.Create(context.Background(), c)
	if err != nil {
		return err
	}
	if replaced >= 0 {
		old := w.families[replaced]
		w.drop(replaced)
		if s.Entry != 0 {
			report("session %s %d", old.ID, s.Entry)
		}
	}
	if s.Outcome == store.Written {
		report("create %s %s %d", c.ID, c.Subject, s.Family.Birth)
		w.families = append(w.families, &s.Family)
	}
	return nil
}

func (w *crashWorker) advance(i int) error {
	f := w.families[i]
	copied := uint16(rand.IntN(int(f.Copy) + 1))
	s, err := w.db.Advance(context.Background(), store.Advance{ID: f.ID, Generation: f.Generation, Copy: copied, Basis: f.Position})
	return w.refreshed(i, s, err)
}

func (w *crashWorker) reissue(i int) error {
	f := w.families[i]
	if f.Generation == 1 {
		return w.advance(i)
	}
	s, err := w.db.Reissue(context.Background(), store.Reissue{ID: f.ID, Generation: f.Generation - 1, Copy: f.Used, Basis: f.Position})
	return w.refreshed(i, s, err)
}

// refreshed reports what an advance or a copy has written.
func (w *crashWorker) refreshed(i int, s store.Snapshot, err error) error {
	if err != nil {
		return err
	}
	if s.Outcome != store.Written {
		w.drop(i)
		return nil
	}
	w.families[i] = &s.Family
	report("refresh %s", standing(&s.Family))
	return nil
}

func (w *crashWorker) commit(i int) error {
	f := w.families[i]
	n := crashValue(f.Value) + 1
	s, err := w.db.Commit(context.Background(), store.Commit{ID: f.ID, Basis: f.Position, Value: fmt.Appendf(nil, "%d %s", n, strings.Repeat("x", rand.IntN(600)))})
	if err != nil {
		return err
	}
	if s.Outcome != store.Written {
		w.drop(i)
		return nil
	}
	w.families[i] = &s.Family
	report("commit %d %s", s.Entry, standing(&s.Family))
	return nil
}

// standing formats the state of a family that an acknowledgement shows. It
// includes the effect of earlier operations that a kill left unacknowledged.
func standing(f *store.Family) string {
	return fmt.Sprint(f.ID, " ", f.Position, " ", crashValue(f.Value), " ", uint64(f.LastCommit), " ", f.Generation, " ", f.Copy, " ", f.Used)
}

// crashValue returns the number at the start of a committed value, or 0 if there
// is no value.
func crashValue(value []byte) (n int) {
	_, _ = fmt.Sscan(string(value), &n)
	return n
}

func (w *crashWorker) end(i int) error {
	id := w.families[i].ID
	w.drop(i)
	s, err := w.db.Revoke(context.Background(), store.Revocation{Sessions: []store.ID{id}, Reason: "logout"})
	if err == nil {
		report("session %s %d", id, s.Entry)
	}
	return err
}

func (w *crashWorker) cutOff(i int, except bool) error {
	f := w.families[i]
	r := store.Revocation{Subjects: []string{f.Subject}, Reason: "admin"}
	if except {
		r.Except = &store.Rebirth{ID: f.ID, Basis: f.Position}
	}
	s, err := w.db.Revoke(context.Background(), r)
	if err != nil || s.Outcome != store.Written {
		return err
	}
	if except && s.State == store.Alive && s.Family.Birth == s.Entry {
		w.families[i] = &s.Family
		report("subject %s %d %s", f.Subject, s.Entry, standing(&s.Family)) // in one line: it was one operation
		return nil
	}
	report("subject %s %d", f.Subject, s.Entry)
	return nil
}

// restore writes back an entry as if the log had lost it, and then once more, as
// the next node does.
func (w *crashWorker) restore(i int, subject bool) error {
	f := w.families[i]
	w.drop(i)
	e := store.Entry{Kind: store.KindSession, Session: f.ID, Position: f.Position + 1, Reason: "restored"}
	if subject {
		e.Kind, e.Subject = store.KindSubject, f.Subject
	}
	r := store.Restoration{Entries: []store.Entry{e}, Above: e.Position}
	s, err := w.db.Restore(context.Background(), r)
	if err != nil {
		return err
	}
	switch {
	case s.Outcome != store.Written: // others have cut it off meanwhile
	case subject:
		report("subject %s %d", f.Subject, s.Entry)
	default:
		report("session %s %d", f.ID, s.Entry)
	}
	if s, err = w.db.Restore(context.Background(), r); err == nil && s.Outcome != store.Unwritten {
		err = fmt.Errorf("%+v was restored twice: %v at %d", e, s.Outcome, s.Entry)
	}
	return err
}

func (w *crashWorker) swap() error {
	version, _, err := w.db.LoadKeys(context.Background())
	if err != nil {
		return err
	}
	document := w.newID().String()
	swapped, err := w.db.SwapKeys(context.Background(), version, []byte(document))
	if err == nil && swapped {
		report("keys %d %s", version+1, document)
	}
	return err
}

// process is a running child process.
type process struct {
	t      *testing.T
	cmd    *exec.Cmd
	stderr strings.Builder
	lines  sync.WaitGroup // waits for the end of the child's output
}

// start starts a child, and calls handle with each line of its output in turn.
func start(t *testing.T, cmd *exec.Cmd, handle func(line string)) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd}
	cmd.Stderr = &p.stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p.lines.Go(func() {
		r := bufio.NewReaderSize(out, 1<<16)
		for {
			line, err := r.ReadString('\n')
			if err != nil {
				return // a line that was cut short was not acknowledged
			}
			handle(strings.TrimSuffix(line, "\n"))
		}
	})
	return p
}

// kill kills the child by SIGKILL and waits until its whole output was handled.
// A child that has ended by itself has failed.
func (p *process) kill() {
	p.t.Helper()
	err := p.cmd.Process.Kill()
	p.lines.Wait()
	_ = p.cmd.Wait()
	if err != nil || p.stderr.Len() > 0 {
		p.t.Errorf("the child failed by itself: %v\n%s", err, p.stderr.String())
	}
}
