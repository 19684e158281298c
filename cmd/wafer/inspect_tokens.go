package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/waferkit/wafer/codec"
	"github.com/waferkit/wafer/keyring"
	"github.com/waferkit/wafer/refresh"
	"github.com/waferkit/wafer/store"
)

// judgeRefresh judges a refresh token by its tag and by its family in the store.
func (i *inspector) judgeRefresh(ctx context.Context, text string) error {
	i.report.Format = formatRefresh
	opens := i.now
	if b, err := base64.RawURLEncoding.DecodeString(text[len(codec.RefreshPrefix):]); err == nil && len(b) >= len(keyring.ID{}) {
		opens = i.key(keyring.ID(b[:len(keyring.ID{})]))
	}
	tokens, err := codec.NewRefreshTokens(i.keys, codec.Instance{Realm: i.realm, SessionCookie: i.sessionCookie})
	if err != nil {
		return i.usageError("%v", err)
	}
	token, err := tokens.Parse(ctx, opens, text)
	if !i.recordOpen(err, "another realm or session cookie (see --session-cookie), or it was changed or cut off") {
		return nil
	}
	id := store.ID(token.Family)
	i.report.Session, i.report.Generation, i.report.Copy = id.String(), token.Generation, token.Copy
	if i.db == nil {
		i.report.note("whether its session lives is not judged: that takes --store")
		return nil
	}
	policy, err := i.policy()
	if err != nil {
		return i.usageError("--access and --grace: %v", err)
	}
	snap, err := i.db.Family(ctx, id)
	if err != nil {
		return err
	}
	verified, err := i.showFamily(ctx, &snap, i.sessionCookie)
	if err != nil {
		return err
	}
	i.showRow(&snap)
	if !verified && living(&snap) {
		i.report.refuse(string(refresh.ReasonSeal), "%s", refusals[refresh.ReasonSeal])
		return nil
	}
	i.judgeGeneration(policy, token, &snap)
	return nil
}

func (i *inspector) policy() (refresh.Policy, error) {
	p := refresh.Policy{Access: i.access, Grace: i.grace, Skew: defaultSkew}
	if p.Access == 0 {
		p.Access = 5 * time.Minute
	}
	if p.Grace == 0 {
		p.Grace = min(30*time.Second, p.Access/8)
	}
	return p, p.Check()
}

// defaultSkew is the default of the application's Config.Skew.
const defaultSkew = 5 * time.Second

// showRow adds to the report what a refresh token stands for in the store.
func (i *inspector) showRow(snap *store.Snapshot) {
	if snap.State == store.Absent {
		return
	}
	r, f := &i.report, &snap.Family
	r.Subject, r.Position = f.Subject, &f.Position
	r.Started, r.Authenticated, r.Issued = utc(f.Started), utc(f.Authenticated), utc(f.Issued)
	r.Idle, r.Absolute = utc(f.IdleDeadline()), utc(f.Deadline())
}

// judgeGeneration applies the policy of package refresh. The kind of client is
// unknown here, so the token is judged at the endpoint of its own family's kind.
// The session cookie beside it is unknown too, so its data is judged as current,
// and a proof by the device's key is taken as given where one is needed.
func (i *inspector) judgeGeneration(policy refresh.Policy, token codec.RefreshToken, snap *store.Snapshot) {
	f := &snap.Family
	request := refresh.Request{
		Family: f.ID, Generation: token.Generation, Copy: token.Copy, Native: f.Native, Basis: f.LastCommit,
	}
	if f.Counts {
		request.Key = f.Key
	}
	verdict, why := policy.Judge(request, *snap)
	apart := fmt.Sprintf("it is generation %d, copy %d, and the family is at generation %d, copy %d", token.Generation, token.Copy, f.Generation, f.Copy)
	switch verdict {
	case refresh.Refuse:
		i.report.refuse(string(why), "%s", refusals[why])
	case refresh.Replay:
		i.report.refuse("a successor was used", "%s: %s", apart, refusals[why])
	case refresh.Ahead:
		i.report.refuse("ahead of the store", "%s: %s", apart, refusals[why])
	default:
		if f.Counts {
			i.report.note("%s", refusals[refresh.ReasonUnproven])
		}
		if f.Counts && !f.Native {
			i.report.note("with such a proof the browser is served whichever token of the session it has")
		}
		if verdict == refresh.Reissue {
			i.report.note("the answer to its last refresh counts as lost. Under StrictRotation it would end the session")
		}
		kind := "browser"
		if f.Native {
			kind = "native client"
		}
		i.report.note("a refresh would be served (%v), at the door of a %s", verdict, kind)
	}
}

// refusals says what each reason of package refresh means.
var refusals = map[refresh.Reason]string{
	refresh.ReasonAbsent:   "the store has no such session: it ended long ago, or this is another store",
	refresh.ReasonEnded:    "the session was ended; the log may say why (\"wafer revocations\")",
	refresh.ReasonCutOff:   "its subject or everyone was revoked; the log may say why (\"wafer revocations\")",
	refresh.ReasonIdle:     "nobody has refreshed it for longer than its idle limit",
	refresh.ReasonAbsolute: "its absolute limit has ended: only a login helps",
	refresh.ReasonKind:     "it is of a native client at the browsers' endpoint, or the other way round",
	refresh.ReasonSeal:     "the session's row in the store is not as it was sealed: somebody has changed it there, it is of another session cookie (see --session-cookie), or the key of its seal is not accepted any more",
	refresh.ReasonUnproven: "the session is bound to a key of its device: a refresh needs a live proof by that key, which is not judged here",
	refresh.ReasonZero:     "generations start at 1",
	refresh.ReasonReplay:   "a successor of it, or another in its place, was used since. Whoever presents it is taken for a thief, and the session is ended",
	refresh.ReasonAhead:    "the store went back in time (see \"wafer restored\")",
	refresh.ReasonBroken:   "no answer was used since 4095 copies were made for lost ones: something between client and node drops them. The session does not end for it",
}

// claimed holds the unverified claims of an access token.
type claimed struct {
	Issuer    string          `json:"iss"`
	Audience  json.RawMessage `json:"aud"`
	Issued    int64           `json:"iat"`
	NotBefore int64           `json:"nbf"`
	Kid       string          `json:"kid"`
}

// judgeAccess judges an access token. It verifies the token twice: first against
// its own claims, to show the content of any authentic token, and then as a node
// would.
func (i *inspector) judgeAccess(ctx context.Context, text string) error {
	i.report.Format = formatAccess
	var claims claimed
	for _, segment := range strings.Split(text, ".")[:2] {
		if b, err := base64.RawURLEncoding.DecodeString(segment); err == nil {
			_ = json.Unmarshal(b, &claims) // a partial result is enough: the verifier decides
		}
	}
	if head, _, _ := strings.Cut(claims.Kid, "-"); head != "" {
		if id, err := keyring.ParseID(head); err == nil {
			i.key(id)
		}
	}
	token, err := i.verify(ctx, time.Unix(max(claims.Issued, claims.NotBefore), 0), text, claims.Issuer, audiences(claims.Audience))
	if !i.recordOpen(err, "another realm, not one of ours, or it was changed or cut off") {
		return nil
	}
	i.showAccess(&token)
	issuer, audience := i.issuer, []string(i.audience)
	if issuer == "" {
		issuer = token.Issuer
		i.report.note("its issuer is not judged: that takes --issuer")
	}
	if len(audience) == 0 {
		audience = token.Audience
		i.report.note("its audience is not judged: that takes --audience")
	}
	if _, err := i.verify(ctx, i.now, text, issuer, audience); err != nil {
		i.refuseAccess(err)
	}
	return i.judgePosition(ctx, store.ID(token.Session), token.Subject.Text(), store.Position(token.Position), i.sessionCookie)
}

func audiences(raw json.RawMessage) (all []string) {
	var one string
	if json.Unmarshal(raw, &one) == nil {
		return []string{one}
	}
	_ = json.Unmarshal(raw, &all)
	return all
}

func (i *inspector) verify(ctx context.Context, now time.Time, text, issuer string, audience []string) (codec.AccessToken, error) {
	// The verifier requires both, and every token of ours has them.
	if issuer == "" {
		issuer = "-"
	}
	if len(audience) == 0 {
		audience = []string{"-"}
	}
	algorithms := []codec.Algorithm{codec.EdDSA, codec.ES256}
	keys, err := codec.NewAccessTokens(i.keys, codec.AccessTokensConfig{Realm: i.realm, Issuer: issuer, Algorithms: algorithms})
	if err != nil {
		return codec.AccessToken{}, err
	}
	verifier, err := codec.NewAccessVerifier(codec.AccessVerifierConfig{Keys: keys, Algorithms: algorithms, Issuer: issuer, Audiences: audience})
	if err != nil {
		return codec.AccessToken{}, err
	}
	return verifier.Verify(ctx, now, text)
}

// refuseAccess adds the reason why an authentic token is refused now.
func (i *inspector) refuseAccess(err error) {
	switch {
	case aboutKey(err):
		// inspector.key has reported it
	case errors.Is(err, codec.ErrExpired):
		i.report.refuse("past its lifetime", "it ended at %s", stamp(*i.report.Access))
	case errors.Is(err, codec.ErrEarly):
		i.report.refuse("issued in the future", "%v: the clocks are apart", err)
	default: // it is authentic, so this is its issuer or audience
		i.report.refuse("issuer or audience", "%v", err)
	}
}

func (i *inspector) showAccess(t *codec.AccessToken) {
	r := &i.report
	position := store.Position(t.Position)
	r.Session, r.Subject, r.Position = store.ID(t.Session).String(), t.Subject.Text(), &position
	r.Issued, r.Access, r.Authenticated = utc(t.Issued), utc(t.Expires), utc(t.Authenticated)
	r.Issuer, r.Audience, r.Client = t.Issuer, t.Audience, t.ClientID
	scope, data := t.Scope.Text(), t.Claims.Text()
	if i.reveal {
		if scope != "" {
			data = strings.TrimSpace("scope " + scope + " " + data)
		}
		r.Data = &data
	} else if n := len(scope) + len(data); n > 0 {
		r.DataBytes = &n
	}
}
