package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/waferkit/wafer"
)

const (
	tickEvery = time.Second
	// writeTime bounds the write of one event. The server's own limit is for
	// whole answers.
	writeTime = 10 * time.Second
)

// live answers with server-sent events until the session ends: one tick a
// second, and finally the reason for the end. It refreshes nothing: a browser
// that only listens becomes idle.
func (s *shop) live(w http.ResponseWriter, r *http.Request) {
	session := s.sessions.Live(r)
	control := http.NewResponseController(w)
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // for proxies that buffer answers
	send := func(event string) error {
		if err := control.SetWriteDeadline(time.Now().Add(writeTime)); err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event, stamp(s.now())); err != nil {
			return err
		}
		return control.Flush()
	}
	ticker := time.NewTicker(tickEvery)
	defer ticker.Stop()
	for send("tick") == nil {
		select {
		case <-ticker.C:
		case <-s.leaving.Done():
			return // the browser reconnects by itself, to the next process
		case <-session.Done():
			if r.Context().Err() == nil {
				_ = send(lastEvent(session))
			}
			return
		}
	}
}

func lastEvent(session context.Context) string {
	switch err := session.Err(); {
	case errors.Is(err, wafer.ErrEnded):
		return "revoked"
	case errors.Is(err, wafer.ErrExpired):
		return "expired"
	}
	return "unavailable"
}
