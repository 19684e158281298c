package codec

import (
	"bytes"
	"errors"
	"unicode/utf16"
	"unicode/utf8"
)

// JSON of a token or a key set is read strictly. What two readers could take
// for two things is refused: a member that stands twice in one object, invalid
// UTF-8, half of a surrogate pair. encoding/json accepts all three, and takes
// a member for another one that differs in case.

const (
	// maxJSONDepth is how many objects and arrays may stand inside each other.
	maxJSONDepth = 32
	// maxJSONMembers bounds the members of one object, and with them the work
	// of finding one that stands twice.
	maxJSONMembers = 256
)

var errJSON = errors.New("not strict JSON")

// readObject reads text that is one object, and visits its members in their
// order: the name, unescaped; the value as it stands; and both as they stand.
// Each value has been checked whole when it is visited. It returns errJSON, or
// the first error of visit.
func readObject(text []byte, visit func(name, value, member []byte) error) error {
	r := jsonReader{text: text}
	r.space()
	if err := r.object(maxJSONDepth, visit); err != nil {
		return err
	}
	return r.end()
}

// readArray reads text that is one array, and visits its values as they stand.
func readArray(text []byte, visit func(value []byte) error) error {
	r := jsonReader{text: text}
	r.space()
	if err := r.array(maxJSONDepth, visit); err != nil {
		return err
	}
	return r.end()
}

// readString returns the text of a JSON string.
func readString(value []byte) (string, bool) {
	r := jsonReader{text: value}
	text, ok := r.string()
	return string(text), ok && r.at == len(value)
}

// readInteger returns a JSON number that is a whole one from 0 to 2^53-1 and
// written as such: without fraction, exponent or sign.
func readInteger(value []byte) (uint64, bool) {
	if len(value) == 0 || len(value) > len("9007199254740991") || value[0] == '0' && len(value) > 1 {
		return 0, false
	}
	var n uint64
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = 10*n + uint64(c-'0')
	}
	return n, n <= MaxPosition
}

type jsonReader struct {
	text []byte
	at   int
}

func (r *jsonReader) end() error {
	r.space()
	if r.at != len(r.text) {
		return errJSON
	}
	return nil
}

func (r *jsonReader) space() {
	for r.at < len(r.text) {
		switch r.text[r.at] {
		case ' ', '\t', '\n', '\r':
			r.at++
		default:
			return
		}
	}
}

// take moves over the byte c, if it is next.
func (r *jsonReader) take(c byte) bool {
	if r.at < len(r.text) && r.text[r.at] == c {
		r.at++
		return true
	}
	return false
}

// next moves over white space, the byte c and white space.
func (r *jsonReader) next(c byte) bool {
	r.space()
	found := r.take(c)
	r.space()
	return found
}

func (r *jsonReader) object(depth int, visit func(name, value, member []byte) error) error {
	if depth == 0 || !r.take('{') {
		return errJSON
	}
	if r.space(); r.take('}') {
		return nil
	}
	var room [16][]byte
	for names := room[:0]; ; {
		start := r.at
		name, ok := r.string()
		if !ok || len(names) == maxJSONMembers || !r.next(':') {
			return errJSON
		}
		for _, other := range names {
			if bytes.Equal(other, name) {
				return errJSON
			}
		}
		names = append(names, name)
		value, err := r.value(depth - 1)
		if err != nil {
			return err
		}
		if visit != nil {
			if err := visit(name, value, r.text[start:r.at]); err != nil {
				return err
			}
		}
		if r.space(); r.take('}') {
			return nil
		}
		if !r.next(',') {
			return errJSON
		}
	}
}

func (r *jsonReader) array(depth int, visit func(value []byte) error) error {
	if depth == 0 || !r.take('[') {
		return errJSON
	}
	if r.space(); r.take(']') {
		return nil
	}
	for {
		value, err := r.value(depth - 1)
		if err != nil {
			return err
		}
		if visit != nil {
			if err := visit(value); err != nil {
				return err
			}
		}
		if r.space(); r.take(']') {
			return nil
		}
		if !r.next(',') {
			return errJSON
		}
	}
}

// value moves over any value and returns it as it stands.
func (r *jsonReader) value(depth int) ([]byte, error) {
	start := r.at
	if start == len(r.text) {
		return nil, errJSON
	}
	ok := false
	switch c := r.text[start]; c {
	case '{':
		if err := r.object(depth, nil); err != nil {
			return nil, err
		}
		ok = true
	case '[':
		if err := r.array(depth, nil); err != nil {
			return nil, err
		}
		ok = true
	case '"':
		_, ok = r.string()
	case 't':
		ok = r.word("true")
	case 'f':
		ok = r.word("false")
	case 'n':
		ok = r.word("null")
	default:
		ok = r.number()
	}
	if !ok {
		return nil, errJSON
	}
	return r.text[start:r.at], nil
}

func (r *jsonReader) word(word string) bool {
	ok := bytes.HasPrefix(r.text[r.at:], []byte(word))
	r.at += len(word)
	return ok
}

func (r *jsonReader) number() bool {
	r.take('-')
	if !r.take('0') && !r.digits() {
		return false
	}
	if r.take('.') && !r.digits() {
		return false
	}
	if r.take('e') || r.take('E') {
		if !r.take('+') {
			r.take('-')
		}
		return r.digits()
	}
	return true
}

func (r *jsonReader) digits() bool {
	start := r.at
	for r.at < len(r.text) && r.text[r.at] >= '0' && r.text[r.at] <= '9' {
		r.at++
	}
	return r.at > start
}

// string moves over a string and returns its text: of one without escapes, the
// bytes as they stand.
func (r *jsonReader) string() ([]byte, bool) {
	if !r.take('"') {
		return nil, false
	}
	start := r.at
	for r.at < len(r.text) {
		switch c := r.text[r.at]; {
		case c == '"':
			text := r.text[start:r.at]
			r.at++
			return text, utf8.Valid(text)
		case c == '\\':
			return r.escaped(start)
		case c < ' ':
			return nil, false
		}
		r.at++
	}
	return nil, false
}

// escaped goes on with a string that began at start, at its first escape.
func (r *jsonReader) escaped(start int) ([]byte, bool) {
	text := bytes.Clone(r.text[start:r.at])
	for r.at < len(r.text) {
		c := r.text[r.at]
		r.at++
		switch {
		case c == '"':
			return text, utf8.Valid(text)
		case c < ' ':
			return nil, false
		case c != '\\':
			text = append(text, c)
			continue
		}
		escape, ok := r.escape()
		if !ok {
			return nil, false
		}
		text = utf8.AppendRune(text, escape)
	}
	return nil, false
}

// escape reads what follows a backslash.
func (r *jsonReader) escape() (rune, bool) {
	if r.at == len(r.text) {
		return 0, false
	}
	c := r.text[r.at]
	r.at++
	switch c {
	case '"', '\\', '/':
		return rune(c), true
	case 'b':
		return '\b', true
	case 'f':
		return '\f', true
	case 'n':
		return '\n', true
	case 'r':
		return '\r', true
	case 't':
		return '\t', true
	case 'u':
		first, ok := r.unit()
		if !ok || !utf16.IsSurrogate(first) {
			return first, ok
		}
		if !r.take('\\') || !r.take('u') {
			return 0, false
		}
		second, ok := r.unit()
		pair := utf16.DecodeRune(first, second)
		return pair, ok && pair != utf8.RuneError
	}
	return 0, false
}

// unit reads the four hexadecimal digits of an escape.
func (r *jsonReader) unit() (rune, bool) {
	if len(r.text)-r.at < 4 {
		return 0, false
	}
	var unit rune
	for _, c := range r.text[r.at : r.at+4] {
		switch {
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		unit = unit<<4 | rune(c)
	}
	r.at += 4
	return unit, true
}

// appendString appends a JSON string. text must be valid UTF-8.
func appendString(dst []byte, text string) []byte {
	const digits = "0123456789abcdef"
	dst = append(dst, '"')
	for i := range len(text) {
		switch c := text[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ':
			dst = append(dst, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return append(dst, '"')
}
