package main

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"os"

	"github.com/waferkit/wafer"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/store/memory"
)

type account struct{ Theme string }

func app(ctx context.Context) (http.Handler, error) {
	ring, err := keyring.Static(os.Getenv("WAFER_SECRET")) // a file: keyring.Open(ctx, keyring.File("ring"), keeper)
	if err != nil {
		return nil, err
	}
	db := memory.New(memory.Options{}) // a database: sqlite.Open(ctx, "wafer.db", sqlite.Options{})
	sessions, err := wafer.New(ctx, ring, db, wafer.Config[account]{Realm: "shop.example/production"})
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.Handle("GET /{$}", sessions.Require(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		s, _ := sessions.Get(r.Context()) // no error behind Require
		fmt.Fprintf(w, "Hello, %s, here since %v.\n", s.Subject, s.Started)
	})))
	mux.HandleFunc("POST /login", func(w http.ResponseWriter, r *http.Request) {
		at, err := sessions.Position(r.Context()) // before the password is checked
		user, password := r.PostFormValue("user"), r.PostFormValue("password")
		if err == nil && !(user == "alice" && password == "wafer") { // yours: argon2id or bcrypt
			err = wafer.ErrNoSession
		}
		if err == nil {
			err = sessions.Start(w, r, user, account{Theme: "dark"}, wafer.NotBefore(at))
		}
		if err != nil {
			sessions.Error(w, r, err)
		}
	})
	mux.HandleFunc("POST /logout", func(w http.ResponseWriter, r *http.Request) {
		if err := sessions.End(w, r); err != nil {
			sessions.Error(w, r, err)
		}
	})
	return http.NewCrossOriginProtection().Handler(mux), nil // other sites cannot POST here
}

func main() {
	handler, err := app(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	log.Fatal(http.ListenAndServe("localhost:8080", handler))
}
