package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/waferkit/wafer/codec"
)

// looksSecret reports whether an argument could be a credential. The flags have
// no values that look like one.
func looksSecret(arg string) bool {
	parts := strings.FieldsFunc(arg, func(r rune) bool { return strings.ContainsRune("=; ", r) })
	for _, text := range parts {
		text = strings.TrimLeft(text, "-")
		if format := formatOf(text); format == formatRefresh || format != "" && len(text) >= minSealed {
			return true
		}
	}
	return false
}

const (
	formatRefresh = "refresh token, version 1"
	formatAccess  = "access token (JWT)"
	formatGorilla = "gorilla cookie"
	formatSealed  = "sealed, version 1"
	formatCookie  = "sealed session cookie, version 1"
	formatValue   = "sealed value, version 1"
)

// minSealed is the length of a sealed empty value, in characters.
const minSealed = (codec.Overhead*8 + 5) / 6

// secondOfVersion1 holds the possible second characters of base64 text whose
// first byte is 1. Four bits of that character belong to the key id.
const secondOfVersion1 = "QRSTUVWXYZabcdef"

// formatOf returns the format that the text appears to have, or "".
func formatOf(text string) string {
	head, tail, dotted := strings.Cut(text, ".")
	switch {
	case len(text) > codec.MaxAccessToken:
		return ""
	case strings.HasPrefix(text, codec.RefreshPrefix):
		return formatRefresh
	case strings.HasPrefix(text, "ey") && strings.Count(text, ".") == 2:
		return formatAccess
	case dotted && len(head) == 8 && isHex(head) && tail != "":
		return formatGorilla
	case len(text) > 1 && text[0] == 'A' && strings.IndexByte(secondOfVersion1, text[1]) >= 0 && !strings.ContainsFunc(text, notBase64):
		return formatSealed
	}
	return ""
}

func isHex(text string) bool {
	_, err := hex.DecodeString(text)
	return err == nil && strings.ToLower(text) == text
}

func notBase64(r rune) bool {
	return !('a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || r == '-' || r == '_')
}

// maxInput bounds the input, in bytes: enough for a header line with other
// cookies in it.
const maxInput = 64 << 10

// read reads the credential from standard input.
func (i *inspector) read() (string, error) {
	if i.env.terminal {
		fmt.Fprintln(i.env.stderr, "Paste the cookie or token, then a line end and Ctrl-D:")
	}
	b, err := io.ReadAll(io.LimitReader(i.env.stdin, maxInput+1))
	if err != nil {
		return "", fmt.Errorf("read standard input: %w", err)
	}
	if len(b) > maxInput {
		i.report.note("only the first %d bytes were read", len(b))
		return string(b), nil
	}
	text := strings.TrimSpace(string(b))
	if text == "" {
		return "", i.usageError("standard input is empty: give it the cookie or token")
	}
	return i.pick(text)
}

// pick returns the credential in a whole header line that was pasted, or the text
// itself.
func (i *inspector) pick(text string) (string, error) {
	name, rest, found := strings.Cut(text, ":")
	pairs := false
	if found {
		switch strings.ToLower(strings.TrimSpace(name)) {
		case "cookie":
			text, pairs = rest, true
		case "set-cookie":
			text, _, _ = strings.Cut(rest, ";")
			pairs = true
		case "authorization":
			scheme, token, _ := strings.Cut(strings.TrimSpace(rest), " ")
			if strings.EqualFold(scheme, "bearer") {
				return strings.TrimSpace(token), nil
			}
		}
	}
	if !pairs && formatOf(text) != "" {
		return text, nil
	}
	var values []string
	for pair := range strings.SplitSeq(text, ";") {
		if name, value, found := strings.Cut(strings.TrimSpace(pair), "="); found && name == i.name {
			values = append(values, value)
		}
	}
	switch {
	case len(values) > 1:
		i.report.note("there are %d cookies named %s; this is the first", len(values), i.name)
		fallthrough
	case len(values) == 1:
		return values[0], nil
	case pairs:
		return "", i.usageError("the header has no cookie named %s; --name says another", i.name)
	}
	return text, nil
}
