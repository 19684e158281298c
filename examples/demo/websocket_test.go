package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/waferkit/wafer"
)

// A WebSocket behind the shop's whole middleware. With an expired cookie, the
// refresh token admits it and is not used. An upgrade's answer carries no cookie to
// the browser, so an advance there would be a lost answer.
func TestWebSocket(t *testing.T) {
	s := openShop(t, wafer.Config[basket]{})
	upgrader := websocket.Upgrader{}
	greet := s.sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		session, err := s.sessions.Get(r.Context())
		if err != nil {
			t.Error(err)
			return
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			t.Error(err)
			return
		}
		defer conn.Close()
		data, err := session.Data()
		if err != nil {
			t.Error(err)
		}
		if err := conn.WriteJSON(me{Subject: session.Subject, Data: data}); err != nil {
			t.Error(err)
		}
		for { // echo until the client closes
			kind, message, err := conn.ReadMessage()
			if err != nil {
				return
			}
			if err := conn.WriteMessage(kind, message); err != nil {
				return
			}
		}
	}))
	server := httptest.NewServer(secure(s.recovered(bounded(s.sessions.Handler(greet)))))
	defer server.Close()

	dial := func(b *browser) (*websocket.Conn, *http.Response, error) {
		header := http.Header{}
		for name, value := range b.jar {
			header.Add("Cookie", name+"="+value)
		}
		return websocket.DefaultDialer.Dial("ws"+strings.TrimPrefix(server.URL, "http"), header)
	}
	talk := func(b *browser) {
		t.Helper()
		conn, resp, err := dial(b)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if len(resp.Header["Set-Cookie"]) != 0 {
			t.Error("the upgrade sets a cookie, which a browser may lose")
		}
		var hello me
		if err := conn.ReadJSON(&hello); err != nil || hello.Subject != "alice" || hello.Data.Cart["paper"] != 1 {
			t.Fatalf("%+v, %v", hello, err)
		}
		if err := conn.WriteMessage(websocket.TextMessage, []byte("still there?")); err != nil {
			t.Fatal(err)
		}
		if _, message, err := conn.ReadMessage(); err != nil || string(message) != "still there?" {
			t.Fatalf("%q, %v", message, err)
		}
	}

	b := s.browser(t, true).login("alice")
	b.post("/cart", "item", "paper")
	talk(b)                        // with a good cookie
	s.clock.Move(10 * time.Minute) // past the access lifetime
	before := b.jar["__Host-refresh"]
	for range 3 {
		talk(b)
	}
	if v := b.me(); v.Data.Cart["paper"] != 1 {
		t.Errorf("afterwards: %+v", v)
	}
	if b.jar["__Host-refresh"] == before {
		t.Error("the next normal request was not refreshed")
	}
	s.clock.Move(10 * time.Minute)
	b.me() // and the session lives on

	thief := b.copy()
	b.post("/logout")
	s.clock.Move(10 * time.Minute)
	for _, b := range []*browser{b, thief} {
		if conn, resp, err := dial(b); err == nil || resp == nil || resp.StatusCode != http.StatusUnauthorized {
			t.Errorf("after the logout: %v, %v", conn, err)
		}
	}
}
