// How a service in Node verifies the access tokens of an application on wafer.
import { createRemoteJWKSet, jwtVerify } from 'jose'

// tokenVerifier returns a function that returns the claims of a token, and throws
// if the token is not good. It does not detect a logout: see
// docs/access-tokens.md.
export function tokenVerifier({ jwksURL, issuer, audience, algorithm }) {
  const keys = createRemoteJWKSet(new URL(jwksURL), {
    cacheMaxAge: 5 * 60 * 1000, // a revoked key is accepted here for that long
    cooldownDuration: 1000, // between fetches for unknown key ids
    timeoutDuration: 5000,
  })
  return async (token) => {
    const { payload } = await jwtVerify(token, keys, {
      issuer,
      audience,
      typ: 'at+jwt', // otherwise another kind of token of the same issuer would be accepted
      algorithms: [algorithm], // never what the token says
      clockTolerance: 0,
      requiredClaims: ['sub', 'exp', 'iat', 'jti', 'client_id', 'sid', 'auth_time'],
    })
    return payload
  }
}
