package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/waferkit/wafer/codec"
)

func keysExportJWKS(ctx context.Context, e *env, args []string) (err error) {
	f := e.flags("keys export-jwks", "prints the public keys that verify access tokens, as a JWK set (RFC 7517); it holds no secret",
		"wafer keys export-jwks --ring data/ring --realm shop.example/production --issuer https://shop.example > jwks.json")
	f.withRing()
	realm := f.String("realm", "", "the application's realm, as in its Config")
	issuer := f.String("issuer", "", "the iss of its tokens")
	algorithms := f.String("alg", string(codec.EdDSA), "EdDSA, ES256, or both with a comma between")
	if err := f.parse(args); err != nil {
		return err
	}
	for name, value := range map[string]string{"realm": *realm, "issuer": *issuer} {
		if value == "" {
			return f.usageError("--%s is missing", name)
		}
	}
	config := codec.AccessTokensConfig{Realm: *realm, Issuer: *issuer}
	for name := range strings.SplitSeq(*algorithms, ",") {
		algorithm := codec.Algorithm(strings.TrimSpace(name))
		if algorithm != codec.EdDSA && algorithm != codec.ES256 {
			return f.usageError("--alg %q: want EdDSA, ES256 or EdDSA,ES256", *algorithms)
		}
		config.Algorithms = append(config.Algorithms, algorithm)
	}
	ring, done, err := f.openRing(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	tokens, err := codec.NewAccessTokens(ring, config)
	if err != nil {
		return err
	}
	set, err := tokens.JWKS(e.now())
	if err != nil {
		return err
	}
	b, err := set.MarshalJSON()
	if err != nil {
		return err
	}
	return f.output(set, func(w io.Writer) { fmt.Fprintf(w, "%s\n", b) })
}
