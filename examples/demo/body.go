package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	maxBody  = 64 << 10 // of a request's body, in bytes
	maxField = 1 << 10  // of one field, in bytes
)

// fields are the fields of a POST body: a form, or a flat JSON object.
type fields map[string]string

// parseBody reads the fields of a request. Every error is a [problem].
func parseBody(r *http.Request) (fields, error) {
	kind := r.Header.Get("Content-Type")
	if kind == "" {
		// A client without a body sends no type. A body without a type is not
		// guessed at.
		if n, err := io.ReadFull(r.Body, make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
			return nil, badRequest("the body has no Content-Type")
		}
		return fields{}, nil
	}
	media, _, err := mime.ParseMediaType(kind)
	if err != nil {
		return nil, badRequest("the Content-Type is malformed")
	}
	var f fields
	switch media {
	case "application/x-www-form-urlencoded":
		f, err = parseForm(r)
	case "application/json":
		f, err = parseJSON(r.Body)
	default:
		return nil, badRequest("the Content-Type is neither a form's nor JSON's")
	}
	if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
		return nil, errTooLarge
	}
	if err != nil {
		return nil, err
	}
	for name, value := range f {
		if len(value) > maxField || len(name) > maxField {
			return nil, badRequest(fmt.Sprintf("a field is longer than %d bytes", maxField))
		}
		if !utf8.ValidString(value) || strings.ContainsFunc(value, unicode.IsControl) {
			return nil, badRequest("a field is not plain text")
		}
	}
	return f, nil
}

func parseForm(r *http.Request) (fields, error) {
	if err := r.ParseForm(); err != nil {
		if tooLong := new(http.MaxBytesError); errors.As(err, &tooLong) {
			return nil, err
		}
		return nil, badRequest("the form is malformed")
	}
	f := make(fields, len(r.PostForm))
	for name, values := range r.PostForm { // without the query's fields, which end up in logs
		if len(values) != 1 {
			return nil, badRequest("a field is given twice")
		}
		f[name] = values[0]
	}
	return f, nil
}

// parseJSON decodes an object of strings, numbers and booleans.
func parseJSON(body io.Reader) (fields, error) {
	f := make(fields)
	d := json.NewDecoder(body)
	d.UseNumber()
	var failed error
	next := func() json.Token {
		token, err := d.Token()
		if failed == nil {
			failed = err
		}
		return token
	}
	switch start := next(); {
	case errors.Is(failed, io.EOF): // an empty body
		return f, nil
	case failed == nil && start != json.Delim('{'):
		return nil, badRequest("the JSON is not an object")
	}
	for failed == nil && d.More() {
		name, _ := next().(string)
		var value string
		switch v := next().(type) {
		case string:
			value = v
		case json.Number:
			value = v.String()
		case bool:
			value = map[bool]string{true: "1", false: "0"}[v]
		default:
			if failed == nil {
				return nil, badRequest("a field of the JSON is not a string, number or boolean")
			}
		}
		if _, twice := f[name]; twice {
			return nil, badRequest("a field is given twice")
		}
		f[name] = value
	}
	next() // the closing brace
	if failed == nil {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return f, nil
		}
	}
	if tooLong := new(http.MaxBytesError); errors.As(failed, &tooLong) {
		return nil, failed
	}
	return nil, badRequest("the JSON is malformed")
}

// need returns a field, which must not be empty.
func (f fields) need(name string) (string, error) {
	if f[name] == "" {
		return "", badRequest(name + " is missing")
	}
	return f[name], nil
}

// flag returns a field that is 1, or 0 or absent.
func (f fields) flag(name string) (bool, error) {
	switch f[name] {
	case "", "0":
		return false, nil
	case "1":
		return true, nil
	}
	return false, badRequest(name + " is neither 1 nor 0")
}
