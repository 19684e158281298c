//go:build unix

package sqlite_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/waferkit/wafer/store"
	"github.com/waferkit/wafer/store/sqlite"
)

// peerChild opens the file and runs the commands on stdin, one a line. It answers
// each with a line on stdout.
func peerChild(args []string) error {
	in := bufio.NewScanner(os.Stdin)
	report("ready") // it opens the file at the first line
	if !in.Scan() {
		return in.Err()
	}
	ctx := context.Background()
	db, err := sqlite.Open(ctx, args[0], sqlite.Options{})
	if err != nil {
		return err
	}
	report("open")
	for in.Scan() {
		answer, err := obey(ctx, db, strings.Fields(in.Text()))
		if err != nil {
			return fmt.Errorf("%s: %w", in.Text(), err)
		}
		report("%s", answer)
	}
	return db.Close()
}

func obey(ctx context.Context, db *sqlite.Store, words []string) (string, error) {
	var id store.ID
	if len(words) > 1 {
		_ = id.UnmarshalText([]byte(words[1])) // not every command has an id
	}
	switch words[0] {
	case "log":
		c, err := db.Cutoffs(ctx, store.ID{}, "")
		return c.Log.String(), err
	case "revoke":
		s, err := db.Revoke(ctx, store.Revocation{Sessions: []store.ID{id}, Reason: "logout"})
		return fmt.Sprint(s.Entry), err
	case "state":
		s, err := db.Family(ctx, id)
		return s.State.String(), err
	case "create":
		s, err := db.Create(ctx, store.Creation{ID: id, Subject: "alice", Idle: time.Hour, Absolute: time.Hour})
		return s.Outcome.String(), err
	case "swap": // the first key set
		swapped, err := db.SwapKeys(ctx, 0, []byte(words[1]))
		return fmt.Sprint(swapped), err
	case "keys":
		version, document, err := db.LoadKeys(ctx)
		return fmt.Sprint(version, " ", string(document)), err
	case "race": // advances a family to a generation, against others
		var last uint32
		if _, err := fmt.Sscan(words[2], &last); err != nil {
			return "", err
		}
		var won []string
		for g := uint32(1); g < last; {
			s, err := db.Advance(ctx, store.Advance{ID: id, Generation: g})
			if err != nil {
				return "", err
			}
			if s.Outcome == store.Written {
				won = append(won, fmt.Sprint(g))
			}
			g = s.Family.Generation
		}
		return strings.Join(won, " "), nil
	case "copy": // makes copies of a family's generation up to a number, against others
		var last uint16
		if _, err := fmt.Sscan(words[2], &last); err != nil {
			return "", err
		}
		s, err := db.Family(ctx, id)
		if err != nil {
			return "", err
		}
		var won []string
		for n := uint16(0); s.Family.Copy < last && n < last; n++ {
			s, err = db.Reissue(ctx, store.Reissue{ID: id, Generation: s.Family.Generation - 1, Copy: s.Family.Used})
			if err != nil {
				return "", err
			}
			won = append(won, fmt.Sprint(s.Family.Copy))
		}
		return strings.Join(won, " "), nil
	}
	return "", fmt.Errorf("unknown command")
}

// peer is another process that has the file open and runs commands.
type peer struct {
	t       *testing.T
	in      io.Writer
	answers chan string
	close   func() // makes the process close the file and exit
}

// startPeer starts a process that opens the file at the first command.
func startPeer(t *testing.T, path string) *peer {
	t.Helper()
	// Not the test's context, which ends before its cleanup.
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	t.Cleanup(cancel)
	cmd := command(ctx, "peer", path)
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{t: t, in: in, answers: make(chan string, 1)}
	child := start(t, cmd, func(line string) { p.answers <- line })
	p.close = sync.OnceFunc(func() {
		in.Close()
		child.lines.Wait()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the other process: %v\n%s", err, child.stderr.String())
		}
	})
	t.Cleanup(p.close)
	p.receive()
	return p
}

func openPeer(t *testing.T, path string) *peer {
	t.Helper()
	p := startPeer(t, path)
	p.do("open")
	return p
}

func (p *peer) receive() string {
	p.t.Helper()
	select {
	case answer := <-p.answers:
		return answer
	case <-time.After(2 * time.Minute):
		p.t.Fatal("the other process does not answer")
		return ""
	}
}

func (p *peer) send(format string, args ...any) {
	p.t.Helper()
	if _, err := fmt.Fprintf(p.in, format+"\n", args...); err != nil {
		p.t.Fatal(err)
	}
}

// do runs a command in the process and returns its answer.
func (p *peer) do(format string, args ...any) string {
	p.t.Helper()
	p.send(format, args...)
	return p.receive()
}

// all runs one command in several peers at once.
func all(peers []*peer, format string, args ...any) []string {
	answers := make([]string, len(peers))
	var group sync.WaitGroup
	for _, p := range peers {
		p.send(format, args...)
	}
	for i, p := range peers {
		group.Go(func() { answers[i] = <-p.answers })
	}
	group.Wait()
	return answers
}
