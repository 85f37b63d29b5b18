package auth

import (
	"context"
	"encoding/json"
	"errors"
	"strings"

	"github.com/golang-jwt/jwt/v5"
	"github.com/vmihailenco/msgpack/v5"

	"skerry/shared/hub"
	"skerry/shared/wire"
)

// algorithms are those that a token may be signed by. What a token says of itself chooses among them and nothing else; each
// takes keys of its own kind only.
var algorithms = []string{"RS256", "ES256", "EdDSA"}

// token checks a JWT.
func (a *authenticator) token(ctx context.Context, proof *wire.Proof) (hub.Proven, error) {
	if len(proof.Proof) > maxToken {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "a token of %d bytes, more than %d", len(proof.Proof), maxToken)
	}
	text := string(proof.Proof)
	named, err := a.issuerOf(text)
	if err != nil {
		return hub.Proven{}, err
	}
	parser := jwt.NewParser(
		jwt.WithValidMethods(algorithms), jwt.WithIssuer(named.Name), jwt.WithAudience(named.Audience...),
		jwt.WithExpirationRequired(), jwt.WithLeeway(a.config.Leeway), jwt.WithTimeFunc(a.config.Now),
		jwt.WithJSONNumber(), jwt.WithStrictDecoding(),
	)
	claims := jwt.MapClaims{}
	_, err = parser.ParseWithClaims(text, claims, func(t *jwt.Token) (any, error) { return named.keysFor(ctx, t) })
	if err != nil {
		return hub.Proven{}, refusal(err)
	}
	subject, err := claims.GetSubject()
	if err != nil || subject == "" {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "the token has no subject")
	}
	of := SubjectIdentity(named.Name, subject)
	if proof.Identity != of {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "the token is of another identity than the one it comes with")
	}
	expires, err := claims.GetExpirationTime()
	if err != nil {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "the token's exp cannot be read")
	}
	packed, err := packClaims(claims)
	if err != nil {
		return hub.Proven{}, wire.Errorf(wire.CodeBadCredentials, "the token's claims cannot be read")
	}
	ends := expires.Add(a.config.Leeway).UnixMilli()
	return hub.Proven{Identity: of, Claims: packed, Expires: uint64(max(ends, 1))}, nil
}

// issuerOf returns the issuer that a token names, if its tokens count. Nothing else is believed of the token yet.
func (a *authenticator) issuerOf(text string) (*issuer, error) {
	claims := jwt.RegisteredClaims{}
	if _, _, err := jwt.NewParser(jwt.WithStrictDecoding()).ParseUnverified(text, &claims); err != nil {
		return nil, wire.Errorf(wire.CodeBadCredentials, "the proof is no token that can be read")
	}
	if claims.Issuer == "" {
		return nil, wire.Errorf(wire.CodeBadCredentials, "the token has no issuer")
	}
	named := a.issuers[claims.Issuer]
	if named == nil {
		return nil, wire.Errorf(wire.CodeBadCredentials, "tokens of that issuer do not count here")
	}
	return named, nil
}

// refusal says what is wrong with a token, and nothing of what is in it.
func refusal(err error) error {
	if wire.CodeOf(err) != wire.CodeUnknown {
		var coded *wire.CodeError
		errors.As(err, &coded)
		return coded
	}
	code, reason := wire.CodeBadCredentials, "the token cannot be read"
	switch {
	case errors.Is(err, jwt.ErrTokenSignatureInvalid) && strings.Contains(err.Error(), "signing method"):
		reason = "the token is not signed by " + strings.Join(algorithms, ", ")
	case errors.Is(err, jwt.ErrTokenSignatureInvalid):
		reason = "the token's signature is not its issuer's"
	case errors.Is(err, jwt.ErrTokenUnverifiable):
		reason = "the token's signature cannot be checked"
	case errors.Is(err, jwt.ErrTokenRequiredClaimMissing):
		reason = "the token lacks exp or aud"
	case errors.Is(err, jwt.ErrTokenInvalidIssuer):
		reason = "tokens of that issuer do not count here"
	case errors.Is(err, jwt.ErrTokenInvalidAudience):
		reason = "the token is for another audience"
	case errors.Is(err, jwt.ErrTokenNotValidYet):
		reason = "the token is not valid yet"
	case errors.Is(err, jwt.ErrTokenExpired):
		code, reason = wire.CodeAuthExpired, "the token has expired"
	case errors.Is(err, jwt.ErrTokenInvalidClaims):
		reason = "a claim of the token is not what it must be"
	}
	return wire.Errorf(code, "%s", reason)
}

// packClaims returns claims as msgpack, whole numbers as integers.
func packClaims(claims jwt.MapClaims) ([]byte, error) {
	return msgpack.Marshal(whole(map[string]any(claims)))
}

func whole(value any) any {
	switch v := value.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for name, value := range v {
			out[name] = whole(value)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i := range v {
			out[i] = whole(v[i])
		}
		return out
	case json.Number:
		if n, err := v.Int64(); err == nil {
			return n
		}
		n, err := v.Float64()
		if err != nil {
			return v.String()
		}
		return n
	}
	return value
}
