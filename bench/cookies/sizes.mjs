// Reads a session as JSON, seals it as each library does, opens it again, and
// writes the size of the cookie: name, "=" and value.
import { readFileSync } from "node:fs";
import { deepStrictEqual } from "node:assert";
import { decode, encode } from "@auth/core/jwt";
import { sealData, unsealData } from "iron-session";

const session = JSON.parse(readFileSync(0, "utf8"));
const secret = "an example secret of more than 32 characters";
const version = (name) => {
  const lock = JSON.parse(readFileSync(new URL("package-lock.json", import.meta.url), "utf8"));
  return lock.packages["node_modules/" + name].version;
};

const iron = await sealData(session, { password: secret });
deepStrictEqual(await unsealData(iron, { password: secret }), session);

// The name is also the salt of the key, as in Auth.js. The subject is in the claim
// that Auth.js uses for it.
const salt = "__Secure-authjs.session-token";
const { subject, ...account } = session;
const auth = await encode({ secret, salt, token: { sub: subject, ...account } });
const claims = await decode({ secret, salt, token: auth });
deepStrictEqual({ sub: claims.sub, cart: claims.cart, since: claims.since }, { sub: subject, cart: session.cart, since: session.since });

process.stdout.write(JSON.stringify([
  // iron-session has no default name, so this is the shortest descriptive one.
  { library: "iron-session", version: version("iron-session"), name: "session", bytes: "session=".length + iron.length },
  { library: "Auth.js", version: version("@auth/core"), name: salt, bytes: salt.length + 1 + auth.length },
]));
