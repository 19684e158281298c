package codec

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// registered lists the claims that have a meaning here (RFC 7519, section 4.1;
// RFC 9068, section 2.2; RFC 8693, sections 4.1 and 4.2).
var registered = [...]string{"iss", "sub", "aud", "exp", "nbf", "iat", "jti", "client_id", "sid", "auth_time", "pos", "scope", "act", "amr", "acr"}

// isRegistered reports whether name is a registered claim. It folds case as
// encoding/json does.
func isRegistered(name []byte) bool {
	for _, r := range registered {
		if bytes.EqualFold(name, []byte(r)) {
			return true
		}
	}
	return false
}

// maxSeconds is the highest time, in seconds: that of the other formats.
const maxSeconds = maxTime / 1000

// wellFormed reports whether text has 1 to longest bytes of UTF-8 without NUL,
// which all readers read alike.
func wellFormed(text string, longest int) bool {
	return text != "" && len(text) <= longest && utf8.ValidString(text) && strings.IndexByte(text, 0) < 0
}

// check returns an error if the content of a token breaks a rule. Minting and
// verifying both call it. The error names a claim, never its value.
func (t *AccessToken) check() error {
	for _, text := range [...]struct {
		claim, text string
		longest     int
	}{
		{"iss", t.Issuer, MaxClaim}, {"sub", t.Subject.Text(), MaxSubject}, {"client_id", t.ClientID, MaxClaim}, {"jti", t.ID, MaxClaim},
	} {
		if !wellFormed(text.text, text.longest) {
			return fmt.Errorf("%s has %d bytes: want 1 to %d, UTF-8 without NUL", text.claim, len(text.text), text.longest)
		}
	}
	if len(t.Audience) == 0 || len(t.Audience) > MaxAudiences {
		return fmt.Errorf("aud has %d audiences: want 1 to %d", len(t.Audience), MaxAudiences)
	}
	for _, audience := range t.Audience {
		if !wellFormed(audience, MaxClaim) {
			return fmt.Errorf("aud has an audience of %d bytes: want 1 to %d, UTF-8 without NUL", len(audience), MaxClaim)
		}
	}
	for _, optional := range [...]struct{ claim, text string }{{"act", t.Actor.Text()}, {"acr", t.Level.Text()}} {
		if optional.text != "" && !wellFormed(optional.text, MaxClaim) {
			return fmt.Errorf("%s has %d bytes: want at most %d, UTF-8 without NUL", optional.claim, len(optional.text), MaxClaim)
		}
	}
	if err := checkWords(t.Methods.Text()); err != nil {
		return fmt.Errorf("amr: %w", err)
	}
	if t.Session == (ID{}) {
		return errors.New("sid is zero: a token belongs to a session, so that it can be revoked with it")
	}
	if t.Position > MaxPosition {
		return errors.New("pos is above 53 bits")
	}
	for _, at := range [...]struct {
		claim string
		time  time.Time
	}{{"iat", t.Issued}, {"exp", t.Expires}, {"auth_time", t.Authenticated}} {
		if s := at.time.Unix(); s < 0 || s > maxSeconds {
			return fmt.Errorf("%s is no time from 1970 on", at.claim)
		}
	}
	if t.Expires.Unix() <= t.Issued.Unix() {
		return errors.New("exp is not after iat, in whole seconds")
	}
	return checkScope(t.Scope.Text())
}

// checkWords enforces the syntax of methods: words of printable ASCII, separated by
// single spaces.
func checkWords(words string) error {
	if words == "" {
		return nil
	}
	bad := len(words) > MaxClaim || words[0] == ' ' || words[len(words)-1] == ' ' || strings.Contains(words, "  ")
	for i := range len(words) {
		bad = bad || words[i] < ' ' || words[i] > '~'
	}
	if bad {
		return fmt.Errorf("methods of %d bytes: want at most %d, words of printable ASCII with one space between them", len(words), MaxClaim)
	}
	return nil
}

// checkScope enforces the syntax of scope: words of printable ASCII, without
// quotation marks and backslashes, separated by single spaces.
func checkScope(scope string) error {
	if scope == "" {
		return nil
	}
	bad := len(scope) > MaxScope || scope[0] == ' ' || scope[len(scope)-1] == ' ' || strings.Contains(scope, "  ")
	for i := range len(scope) {
		c := scope[i]
		bad = bad || c < ' ' || c > '~' || c == '"' || c == '\\'
	}
	if bad {
		return fmt.Errorf("scope has %d bytes: want at most %d, words with one space between them (RFC 6749, section 3.3)", len(scope), MaxScope)
	}
	return nil
}

// append appends the payload of a token that check has accepted: the registered
// claims in a fixed order, then those of the application.
func (t *AccessToken) append(dst []byte) ([]byte, error) {
	dst = appendString(append(dst, `{"iss":`...), t.Issuer)
	dst = appendString(append(dst, `,"sub":`...), t.Subject.Text())
	dst = append(dst, `,"aud":`...)
	if len(t.Audience) == 1 {
		dst = appendString(dst, t.Audience[0])
	} else {
		for i, audience := range t.Audience {
			dst = appendString(append(dst, "[,"[min(i, 1)]), audience)
		}
		dst = append(dst, ']')
	}
	dst = appendString(append(dst, `,"client_id":`...), t.ClientID)
	dst = appendString(append(dst, `,"jti":`...), t.ID)
	dst = hex.AppendEncode(append(dst, `,"sid":"`...), t.Session[:])
	dst = strconv.AppendInt(append(dst, `","iat":`...), t.Issued.Unix(), 10)
	dst = strconv.AppendInt(append(dst, `,"exp":`...), t.Expires.Unix(), 10)
	dst = strconv.AppendInt(append(dst, `,"auth_time":`...), t.Authenticated.Unix(), 10)
	dst = strconv.AppendUint(append(dst, `,"pos":`...), t.Position, 10)
	if scope := t.Scope.Text(); scope != "" {
		dst = appendString(append(dst, `,"scope":`...), scope)
	}
	if actor := t.Actor.Text(); actor != "" {
		dst = append(appendString(append(dst, `,"act":{"sub":`...), actor), '}')
	}
	if methods := t.Methods.Text(); methods != "" {
		dst = append(dst, `,"amr":`...)
		separator := byte('[')
		for method := range strings.SplitSeq(methods, " ") {
			dst = appendString(append(dst, separator), method)
			separator = ','
		}
		dst = append(dst, ']')
	}
	if level := t.Level.Text(); level != "" {
		dst = appendString(append(dst, `,"acr":`...), level)
	}
	if claims := t.Claims.Text(); claims != "" {
		if len(claims) > MaxAccessToken {
			return nil, fmt.Errorf("codec: AccessToken.Claims has %d bytes: %w", len(claims), ErrLength)
		}
		room := maxJSONMembers - len(registered)
		err := readObject([]byte(claims), func(name, _, member []byte) error {
			if room--; room < 0 {
				return errors.New("it has too many members")
			}
			if isRegistered(name) {
				return errors.New("it has a member with the name of a registered claim; those are fields of AccessToken")
			}
			dst = append(append(dst, ','), member...)
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("codec: AccessToken.Claims: want one JSON object: %w", err)
		}
	}
	return append(dst, '}'), nil
}

// parse reads an authentic payload. It returns nbf, a claim that is never
// written; it is the zero time if the payload lacks it. The error names a
// claim, never its value.
func (t *AccessToken) parse(payload []byte) (nbf time.Time, err error) {
	position := false
	var claims []byte // of the application
	err = readObject(payload, func(name, value, member []byte) (err error) {
		switch string(name) {
		case "iss":
			t.Issuer, err = claimText("iss", value)
		case "sub":
			t.Subject, err = claimHidden("sub", value)
		case "aud":
			t.Audience, err = claimAudience(value)
		case "client_id":
			t.ClientID, err = claimText("client_id", value)
		case "jti":
			t.ID, err = claimText("jti", value)
		case "sid":
			t.Session, err = claimSession(value)
		case "iat":
			t.Issued, err = claimTime("iat", value)
		case "exp":
			t.Expires, err = claimTime("exp", value)
		case "nbf":
			nbf, err = claimTime("nbf", value)
		case "auth_time":
			t.Authenticated, err = claimTime("auth_time", value)
		case "pos":
			if t.Position, position = readInteger(value); !position {
				err = errors.New("pos is not a whole number from 0 to 2^53-1")
			}
		case "scope":
			if t.Scope, err = claimHidden("scope", value); t.Scope.Text() == "" && err == nil {
				err = errors.New("scope is empty")
			}
		case "act":
			t.Actor, err = claimActor(value)
		case "amr":
			t.Methods, err = claimMethods(value)
		case "acr":
			if t.Level, err = claimHidden("acr", value); t.Level.Text() == "" && err == nil {
				err = errors.New("acr is empty")
			}
		default:
			if isRegistered(name) {
				return errors.New("a member has the name of a registered claim, but for its case")
			}
			if claims == nil {
				claims = append(make([]byte, 0, len(payload)), '{')
			} else {
				claims = append(claims, ',')
			}
			claims = append(claims, member...)
		}
		return err
	})
	if err != nil {
		return nbf, err
	}
	if claims != nil {
		t.Claims = Hide(string(append(claims, '}')))
	}
	// Any other missing claim is zero, which check refuses.
	if !position {
		return nbf, errors.New("pos is missing")
	}
	return nbf, t.check()
}

func claimText(claim string, value []byte) (string, error) {
	text, ok := readString(value)
	if !ok {
		return "", fmt.Errorf("%s is not a string", claim)
	}
	return text, nil
}

func claimHidden(claim string, value []byte) (Hidden, error) {
	text, err := claimText(claim, value)
	return Hide(text), err
}

// claimAudience reads one string or an array of them (RFC 7519, section 4.1.3).
func claimAudience(value []byte) (audiences []string, err error) {
	if one, ok := readString(value); ok {
		return []string{one}, nil
	}
	err = readArray(value, func(value []byte) error {
		audience, ok := readString(value)
		if !ok {
			return errJSON
		}
		audiences = append(audiences, audience)
		return nil
	})
	if err != nil {
		return nil, errors.New("aud is neither a string nor an array of strings")
	}
	return audiences, nil
}

// claimActor reads the actor of a token: an object with a sub alone. Other members,
// such as the actor of an actor, are refused, since whoever ignored them would take
// the token for less than it says.
func claimActor(value []byte) (actor Hidden, err error) {
	malformed := errors.New("act is not an object with a sub alone")
	err = readObject(value, func(name, value, _ []byte) (err error) {
		if string(name) != "sub" {
			return malformed
		}
		actor, err = claimHidden("act's sub", value)
		return err
	})
	if err != nil || actor.Text() == "" {
		return Hidden{}, malformed
	}
	return actor, nil
}

// claimMethods reads an array of at least one method, none of them with a space.
func claimMethods(value []byte) (Hidden, error) {
	var methods []string
	err := readArray(value, func(value []byte) error {
		method, ok := readString(value)
		if !ok || method == "" || strings.Contains(method, " ") {
			return errJSON
		}
		methods = append(methods, method)
		return nil
	})
	if err != nil || len(methods) == 0 {
		return Hidden{}, errors.New("amr is not an array of methods")
	}
	return Hide(strings.Join(methods, " ")), nil
}

func claimSession(value []byte) (id ID, _ error) {
	var again [2 * len(ID{})]byte
	text, ok := readString(value)
	if ok && len(text) == len(again) {
		_, err := hex.Decode(id[:], []byte(text))
		if hex.Encode(again[:], id[:]); err == nil && string(again[:]) == text {
			return id, nil
		}
	}
	return ID{}, errors.New("sid is not 32 lower-case hexadecimal digits")
}

func claimTime(claim string, value []byte) (time.Time, error) {
	seconds, ok := readInteger(value)
	if !ok || seconds > maxSeconds {
		return time.Time{}, fmt.Errorf("%s is not a whole number of seconds since 1970", claim)
	}
	return time.Unix(int64(seconds), 0), nil
}
