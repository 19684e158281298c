// Makes tokens that wafer must refuse. Reads {jwks, token, audience} from stdin:
// the application's public keys and a good token of it. Prints
//   keys    a JWK set of this program's own
//   good    tokens under these keys that are good for a verifier that trusts them
//   bad     tokens under these keys with one mistake each
//   forged  tokens that pretend to be the application's
import { createHmac, createPublicKey } from 'node:crypto'
import { text } from 'node:stream/consumers'
import * as jose from 'jose'

const input = JSON.parse(await text(process.stdin))
const encode = (value) => jose.base64url.encode(typeof value === 'string' ? value : JSON.stringify(value))
const header = jose.decodeProtectedHeader(input.token)
const claims = jose.decodeJwt(input.token)
const [head, payload, signature] = input.token.split('.')
const published = input.jwks.keys.find((key) => key.kid === header.kid)
const now = Math.floor(Date.now() / 1000)

const own = {}
for (const algorithm of ['EdDSA', 'ES256']) {
  const pair = await jose.generateKeyPair(algorithm, { extractable: true })
  own[algorithm] = { ...pair, kid: 'node-' + algorithm, jwk: await jose.exportJWK(pair.publicKey) }
}

// wafer accepts only the form of an ES256 signature with the lower s.
const order = 0xffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551n
const isLow = (token) => BigInt('0x' + Buffer.from(token.split('.')[2], 'base64url').toString('hex', 32)) <= order / 2n

async function sign(algorithm, changed = {}, changedHeader = {}, low = true) {
  const protectedHeader = { alg: algorithm, kid: own[algorithm].kid, typ: 'at+jwt', ...changedHeader }
  for (;;) {
    const token = await new jose.CompactSign(new TextEncoder().encode(JSON.stringify({ ...claims, ...changed })))
      .setProtectedHeader(protectedHeader)
      .sign(own[algorithm].privateKey, { crit: { 'urn:example:critical': true } })
    if (algorithm !== 'ES256' || isLow(token) === low) return token
  }
}

const good = {}
const bad = {}
const forged = {}
for (const algorithm of ['EdDSA', 'ES256']) {
  const named = (name) => `${algorithm}: ${name}`
  const add = async (name, changed, changedHeader, low) => {
    bad[named(name)] = await sign(algorithm, changed, changedHeader, low)
  }
  good[named('as it should be')] = await sign(algorithm)
  good[named('typ with its prefix')] = await sign(algorithm, {}, { typ: 'application/at+jwt' })
  good[named('an array of one audience')] = await sign(algorithm, { aud: [input.audience] })

  await add('typ JWT', {}, { typ: 'JWT' })
  await add('no typ', {}, { typ: undefined })
  await add('another typ', {}, { typ: 'logout+jwt' })
  await add('no kid', {}, { kid: undefined })
  await add('another kid', {}, { kid: 'node-2' })
  await add('the kid of another algorithm', {}, { kid: own[algorithm === 'EdDSA' ? 'ES256' : 'EdDSA'].kid })
  await add('an embedded key', {}, { jwk: own[algorithm].jwk })
  await add('a critical extension', {}, { crit: ['urn:example:critical'], 'urn:example:critical': 1 })
  await add('expired', { iat: now - 600, exp: now - 1 })
  await add('issued in the future', { iat: now + 600, exp: now + 900 })
  await add('not valid yet', { nbf: now + 600 })
  await add('another audience', { aud: 'https://other.example' })
  await add('one audience too many', { aud: [input.audience, 'https://other.example'] })
  await add('another issuer', { iss: 'https://other.example' })
  await add('an issuer with a slash', { iss: claims.iss + '/' })
  for (const claim of ['iss', 'sub', 'aud', 'exp', 'iat', 'jti', 'client_id', 'sid', 'auth_time', 'pos']) {
    await add('without ' + claim, { [claim]: undefined })
  }
  await add('exp as text', { exp: String(now + 300) })
  await add('exp with a fraction', { exp: now + 300.5 })
  await add('another case of a claim', { Sub: 'admin' })

  // Under keys that the application does not have.
  forged[named('its kid, another key')] = await sign(algorithm, {}, { kid: header.kid })
  forged[named('a kid of its own')] = await sign(algorithm)
  forged[named('a kid of its form')] = await sign(algorithm, {}, { kid: '00000000-' + algorithm })
  forged[named('the key embedded')] = await sign(algorithm, {}, { kid: header.kid, jwk: own[algorithm].jwk })
  forged[named('the key at an address')] = await sign(algorithm, {}, { kid: header.kid, jku: 'https://mallory.example/jwks.json' })
  forged[named('a kid that is a path')] = await sign(algorithm, {}, { kid: '../../../dev/null' })
}
bad['ES256: the other form of the signature'] = await sign('ES256', {}, {}, false)

// Without a signature.
for (const alg of ['none', 'None', 'NONE', 'nOnE', '']) {
  const first = encode({ ...header, alg })
  forged[`alg "${alg}", no signature`] = `${first}.${payload}.`
  forged[`alg "${alg}", the old signature`] = `${first}.${payload}.${signature}`
}
forged['no signature'] = `${head}.${payload}.`
forged['two segments'] = `${head}.${payload}`

// With the public key as the secret of an HMAC.
const point = createPublicKey({ key: published, format: 'jwk' })
const secrets = {
  'x of the JWK': Buffer.from(published.x, 'base64url'),
  'x in base64': published.x,
  'the JWK': JSON.stringify(published),
  'PEM': point.export({ type: 'spki', format: 'pem' }),
  'DER': point.export({ type: 'spki', format: 'der' }),
  'nothing': '',
}
for (const [name, secret] of Object.entries(secrets)) {
  const signed = encode({ ...header, alg: 'HS256' }) + '.' + payload
  forged['HS256 with ' + name] = signed + '.' + createHmac('sha256', secret).update(signed).digest('base64url')
  const same = head + '.' + payload
  forged['its own alg, an HMAC with ' + name] = same + '.' + createHmac('sha256', secret).update(same).digest('base64url')
}

// A good token, changed.
forged['another subject'] = `${head}.${encode({ ...claims, sub: 'admin' })}.${signature}`
forged['a later exp'] = `${head}.${encode({ ...claims, exp: claims.exp + 3600 })}.${signature}`
forged['another typ'] = `${encode({ ...header, typ: 'JWT' })}.${payload}.${signature}`
forged['its other algorithm'] = `${encode({ ...header, alg: header.alg === 'EdDSA' ? 'ES256' : 'EdDSA' })}.${payload}.${signature}`
forged['padded'] = `${head}.${payload}.${signature}==`
forged['a line break'] = `${head}.${payload}.${signature}\n`
forged['r and s of zero'] = `${head}.${payload}.${encode('\0'.repeat(64))}`
forged['a signature of the first two thirds'] = `${head}.${payload}.${signature.slice(0, 64)}`

const keys = { keys: Object.entries(own).map(([alg, { jwk, kid }]) => ({ ...jwk, alg, kid, use: 'sig' })) }
console.log(JSON.stringify({ keys, good, bad, forged }))
