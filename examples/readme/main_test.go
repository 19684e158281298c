package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
)

const secret = "a8f4d8a3f3c5ad6c3e2d1f20b9c7d6e5a8f4d8a3f3c5ad6c3e2d1f20b9c7d6e5"

func serve(t *testing.T) (*httptest.Server, func(method, path, body, cookies string, header ...string) (*http.Response, string)) {
	t.Helper()
	t.Setenv("WAFER_SECRET", secret)
	handler, err := app(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server, func(method, path, body, cookies string, header ...string) (*http.Response, string) {
		t.Helper()
		r, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Cookie", cookies)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		b, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp, string(b)
	}
}

func cookies(resp *http.Response) string {
	var pairs []string
	for _, c := range resp.Cookies() {
		pairs = append(pairs, c.Name+"="+c.Value)
	}
	return strings.Join(pairs, "; ")
}

func TestLoginPageLogout(t *testing.T) {
	_, do := serve(t)
	form := url.Values{"user": {"alice"}, "password": {"wafer"}}.Encode()

	if resp, _ := do("GET", "/", "", ""); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("before the login: %s", resp.Status)
	}
	if resp, _ := do("POST", "/login", "user=alice&password=guess", ""); resp.StatusCode != http.StatusUnauthorized || cookies(resp) != "" {
		t.Errorf("a wrong password: %s, cookies %q", resp.Status, cookies(resp))
	}
	resp, _ := do("POST", "/login", form, "")
	jar := cookies(resp)
	if resp.StatusCode != http.StatusOK || !strings.Contains(jar, "__Host-session=") || !strings.Contains(jar, "__Host-refresh=") {
		t.Fatalf("login: %s, cookies %q", resp.Status, jar)
	}
	if resp, body := do("GET", "/", "", jar); resp.StatusCode != http.StatusOK || !strings.HasPrefix(body, "Hello, alice") {
		t.Errorf("logged in: %s %q", resp.Status, body)
	}
	if resp, _ := do("POST", "/logout", "", jar, "Sec-Fetch-Site", "cross-site"); resp.StatusCode != http.StatusForbidden {
		t.Errorf("a logout from another site: %s", resp.Status)
	}
	if resp, _ := do("POST", "/logout", "", jar); resp.StatusCode != http.StatusOK {
		t.Errorf("logout: %s", resp.Status)
	}
	if resp, _ := do("GET", "/", "", jar); resp.StatusCode != http.StatusUnauthorized {
		t.Errorf("a copy of the cookies after the logout: %s", resp.Status)
	}
}

func TestWithoutSecret(t *testing.T) {
	t.Setenv("WAFER_SECRET", "")
	if _, err := app(t.Context()); err == nil {
		t.Error("it starts without a secret")
	}
}
