package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// client calls the demo's API for one user.
type client struct {
	url    string
	tokens *tokenFile
	http   *http.Client
	now    func() time.Time
}

func newClient(url, file string, now func() time.Time) *client {
	return &client{url, &tokenFile{path: file}, &http.Client{Timeout: 10 * time.Second}, now}
}

// errLoggedOut means that the server has ended the session, or that there never
// was one.
var errLoggedOut = errors.New("not logged in; try: client login NAME")

// refused is an unsuccessful answer of the server.
type refused struct {
	status int
	code   string
	wait   time.Duration // the server's Retry-After
}

func (r *refused) Error() string { return fmt.Sprintf("the server answered %d: %s", r.status, r.code) }

// do makes a request and decodes its answer into v, unless that is nil.
func (c *client) do(ctx context.Context, method, path, token string, form url.Values, v any) error {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	r, err := http.NewRequestWithContext(ctx, method, c.url+path, body)
	if err != nil {
		return err
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "wafer's example client")
	if form != nil {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := c.http.Do(r)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		var problem struct {
			Error string `json:"error"`
		}
		_ = json.Unmarshal(answer, &problem) // the status is enough without a code
		seconds, _ := strconv.Atoi(resp.Header.Get("Retry-After"))
		return &refused{resp.StatusCode, problem.Error, time.Duration(seconds) * time.Second}
	}
	if v == nil {
		return nil
	}
	return json.Unmarshal(answer, v)
}

// grant is the server's answer to a login and to a refresh (RFC 6749 section
// 5.1).
type grant struct {
	Access  string `json:"access_token"`
	Expires int    `json:"expires_in"` // seconds
	Refresh string `json:"refresh_token"`
}

func (c *client) keep(g grant) error {
	return c.tokens.write(tokens{g.Access, c.now().Add(time.Duration(g.Expires) * time.Second), g.Refresh})
}

func (c *client) login(ctx context.Context, user, password string) error {
	var g grant
	if err := c.do(ctx, "POST", "/api/login", "", url.Values{"user": {user}, "password": {password}}, &g); err != nil {
		return err
	}
	return c.keep(g)
}

type identity struct {
	Subject string `json:"subject"`
	ID      string `json:"id"`
	Scope   string `json:"scope"`
}

// whoami calls the API. If the server refuses a token before it expires, the
// token may be older than a revocation that the session has survived. It is
// refreshed once.
func (c *client) whoami(ctx context.Context) (me identity, err error) {
	for attempt := 0; ; attempt++ {
		access, err := c.access(ctx, attempt > 0)
		if err != nil {
			return me, err
		}
		err = c.do(ctx, "GET", "/api/whoami", access, nil, &me)
		var no *refused
		if attempt == 0 && errors.As(err, &no) && no.status == http.StatusUnauthorized {
			continue
		}
		return me, err
	}
}

// refreshEarly is how long before its expiry a token is replaced.
const refreshEarly = 5 * time.Second

// access returns an access token that does not expire within refreshEarly. If
// refresh is set, it always gets a new one.
func (c *client) access(ctx context.Context, refresh bool) (string, error) {
	t, err := c.tokens.read()
	if err != nil {
		return "", err
	}
	if !refresh && c.now().Add(refreshEarly).Before(t.Expires) {
		return t.Access, nil
	}
	g, err := c.refresh(ctx, t.Refresh)
	if err != nil {
		return "", err
	}
	return g.Access, c.keep(g)
}

// attempts is the maximum number of attempts at a refresh.
const attempts = 5

// refresh presents the refresh token until there is an answer. Presenting the
// same token again is right: the server may have performed the first attempt
// and its answer been lost. Both attempts get the same successor.
func (c *client) refresh(ctx context.Context, token string) (grant, error) {
	for attempt := 1; ; attempt++ {
		var g grant
		err := c.do(ctx, "POST", "/session/refresh", "", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {token}}, &g)
		if err == nil {
			return g, nil
		}
		wait := time.Duration(attempt) * 100 * time.Millisecond
		if no := new(refused); errors.As(err, &no) {
			if no.status == http.StatusBadRequest && no.code == "invalid_grant" {
				return grant{}, errors.Join(errLoggedOut, c.tokens.remove())
			}
			if no.status != http.StatusServiceUnavailable && no.status != http.StatusTooManyRequests {
				return grant{}, err
			}
			wait = max(wait, no.wait)
		}
		if attempt == attempts {
			return grant{}, fmt.Errorf("refresh: %w", err)
		}
		select {
		case <-time.After(wait + rand.N(wait)/2):
		case <-ctx.Done():
			return grant{}, ctx.Err()
		}
	}
}

// logout ends the session at the server first. A token that is only deleted
// here would live on in a copy.
func (c *client) logout(ctx context.Context) error {
	t, err := c.tokens.read()
	if err != nil {
		return err
	}
	if err := c.do(ctx, "POST", "/session/revoke", "", url.Values{"token": {t.Refresh}}, nil); err != nil {
		return err
	}
	return c.tokens.remove()
}
