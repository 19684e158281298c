package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestFlags(t *testing.T) {
	f, err := parseFlags(nil, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	if f.addr != "localhost:8080" || f.data != "demo-data" || f.store != "" || f.tls || f.config.MaxSessions != 0 {
		t.Errorf("%+v", f)
	}
	if f.config.Access != 5*time.Minute || f.config.Idle != 30*time.Minute || f.config.Absolute != 12*time.Hour || f.config.MaxAbsolute != rememberFor {
		t.Errorf("%+v", f.config)
	}
	for _, args := range [][]string{{"-nothing"}, {"-access", "5"}, {"-max-sessions", "many"}, {"serve"}} {
		if _, err := parseFlags(args, io.Discard); err != errUsage {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := parseFlags([]string{"-help"}, io.Discard); err != flag.ErrHelp {
		t.Errorf("-help: %v", err)
	}
}

// An invalid combination of flags is an error at the start, with the reason.
func TestWrongStarts(t *testing.T) {
	original := safeCost
	t.Cleanup(func() { safeCost = original })
	safeCost = cheap
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"-store", "carrier-pigeon:loft"}, "memory:"},
		{[]string{"-access", "1h"}, "Config.Idle"},
		{[]string{"-access", "-1s"}, "Config.Access"},
		{[]string{"-grace", "4m"}, "Grace"},
		{[]string{"-max-sessions", "-1"}, "MaxSessions"},
		{[]string{"-end-oldest"}, "MaxSessions"},
		{[]string{"-absolute", "10000h"}, "ring's Life"},
		{[]string{"-addr", "localhost:notaport"}, "notaport"},
	} {
		var out bytes.Buffer
		err := run(t.Context(), append([]string{"-addr", "localhost:0", "-data", t.TempDir()}, c.args...), &out, io.Discard)
		if err == nil || !strings.Contains(err.Error(), c.want) || out.Len() != 0 {
			t.Errorf("%v: %v, and printed %q", c.args, err, &out)
		}
	}
}

func TestOpenRing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "data")
	now := time.Now()
	first, err := openRing(t.Context(), dir, now)
	if err != nil {
		t.Fatal(err)
	}
	again, err := openRing(t.Context(), dir, now)
	if err != nil {
		t.Fatal(err)
	}
	a, _ := first.Primary(now)
	if b, err := again.Primary(now); err != nil || b.ID() != a.ID() {
		t.Errorf("the second start has the key %v, %v, want %v", b, err, a)
	}
	info, err := os.Stat(filepath.Join(dir, "ring.key"))
	if err != nil || info.Mode().Perm()&0o077 != 0 {
		t.Errorf("ring.key: %v, %v", info.Mode(), err)
	}
	// A lost key is not replaced silently.
	if err := os.Remove(filepath.Join(dir, "ring.key")); err != nil {
		t.Fatal(err)
	}
	if _, err := openRing(t.Context(), dir, now); err == nil || !strings.Contains(err.Error(), "ring.key") {
		t.Errorf("without its key: %v", err)
	}
	if _, err := os.Stat(filepath.Join(dir, "ring.key")); err == nil {
		t.Error("a new key was made beside the old ring")
	}
}

func TestPublicHost(t *testing.T) {
	for addr, want := range map[string]string{
		"localhost:8080": "localhost", ":8080": "localhost", "0.0.0.0:80": "localhost", "[::]:80": "localhost",
		"127.0.0.1:0": "127.0.0.1", "[::1]:80": "::1", "shop.example:443": "shop.example",
	} {
		if got := publicHost(addr); got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

func TestCertificate(t *testing.T) {
	now := time.Now()
	certificate, err := selfSigned(now, "shop.test")
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(certificate.Certificate[0])
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AddCert(leaf)
	for _, host := range []string{"localhost", "127.0.0.1", "::1", "shop.test"} {
		if _, err := leaf.Verify(x509.VerifyOptions{DNSName: host, Roots: roots, CurrentTime: now}); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	listener, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{certificate}})
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.NotFoundHandler(), ReadHeaderTimeout: time.Second}
	go server.Serve(listener)
	defer server.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}
	defer client.CloseIdleConnections()
	resp, err := client.Get("https://127.0.0.1:" + port)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
}
