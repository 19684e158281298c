// Reads {config, tokens: {name: token}} from stdin, verifies each token, and
// prints {name: {claims} or {code}}.
import { text } from 'node:stream/consumers'
import { tokenVerifier } from './verify.mjs'

const { config, tokens } = JSON.parse(await text(process.stdin))
const verify = tokenVerifier(config)
const answers = {}
for (const [name, token] of Object.entries(tokens)) {
  try {
    answers[name] = { claims: await verify(token) }
  } catch (error) {
    answers[name] = { code: error.code ?? String(error), claim: error.claim }
  }
}
console.log(JSON.stringify(answers))
