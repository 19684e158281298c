package wafer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/waferkit/wafer/codec"
)

const (
	// maxRedirects bounds the redirects that a fetch follows.
	maxRedirects = 3
	// maxKeysHeader bounds the header of the response, in bytes.
	maxKeysHeader = 64 << 10
)

// keyFetcher fetches the issuer's public keys by HTTP.
type keyFetcher struct {
	url        string
	client     *http.Client
	algorithms []codec.Algorithm
}

func newKeyFetcher(c *VerifierConfig) *keyFetcher {
	// Fetches are minutes apart, so no connection is kept open.
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true, MaxResponseHeaderBytes: maxKeysHeader,
	}}
	if c.Client != nil {
		client = *c.Client
	}
	client.CheckRedirect = checkRedirect
	return &keyFetcher{c.JWKSURL, &client, c.Algorithms}
}

// checkRedirect refuses to leave the configured origin: another host may belong
// to anybody.
func checkRedirect(r *http.Request, via []*http.Request) error {
	if from := via[0].URL; r.URL.Scheme != from.Scheme || r.URL.Host != from.Host {
		return errors.New("it redirects to another host or scheme; configure that URL itself if it is the issuer's")
	}
	if len(via) > maxRedirects {
		return fmt.Errorf("it redirects more than %d times", maxRedirects)
	}
	return nil
}

// fetch gets the key set. age is how old the response was, according to the HTTP
// caches on its way.
func (f *keyFetcher) fetch(ctx context.Context) (set *codec.JWKS, age time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, f.url, nil)
	if err != nil {
		return nil, 0, err
	}
	r.Header.Set("Accept", "application/jwk-set+json, application/json")
	r.Header.Set("Cache-Control", "no-cache") // RFC 9111 section 5.2.1.4: ask the issuer itself
	resp, err := f.client.Do(r)
	if err != nil {
		return nil, 0, err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, 0, fmt.Errorf("it answered %d, want 200", resp.StatusCode)
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, codec.MaxJWKS+1))
	if err != nil {
		return nil, 0, err
	}
	if set, err = readKeys(text, f.algorithms); err != nil {
		return nil, 0, err
	}
	seconds, err := strconv.ParseUint(resp.Header.Get("Age"), 10, 31) // RFC 9111 section 5.1
	if err != nil {
		seconds = 0
	}
	return set, time.Duration(seconds) * time.Second, nil
}
