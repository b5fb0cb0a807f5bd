// SPDX-License-Identifier: MIT
// An operator, an account and a user with credentials, fresh each time, as `nsc` would make them.
//
//   node credentials.mjs DIRECTORY-OF-NODE_MODULES
//
// Prints {"server": text for nats-server's configuration, "creds": the user's credentials file}.
import { createRequire } from "node:module";
import { createHash, randomBytes } from "node:crypto";

const { createOperator, createAccount, createUser } = createRequire(`${process.argv[2]}/`)("nkeys.js");
const text = (bytes) => new TextDecoder().decode(bytes);
const base64 = (data) => Buffer.from(data).toString("base64url");

// A claim of `issuer` about `subject` (version 2 of NATS's JWTs).
function claim(issuer, subject, name, type, more = {}) {
  const claims = {
    jti: createHash("sha256").update(randomBytes(16)).digest("hex").toUpperCase(),
    iat: Math.floor(Date.now() / 1000), iss: issuer.getPublicKey(), name, sub: subject.getPublicKey(),
    nats: { ...more, type, version: 2 },
  };
  const signed = `${base64(JSON.stringify({ typ: "JWT", alg: "ed25519-nkey" }))}.${base64(JSON.stringify(claims))}`;
  return `${signed}.${base64(issuer.sign(Buffer.from(signed)))}`;
}

const any = { subs: -1, data: -1, payload: -1 };
const limits = { ...any, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 };
const operator = createOperator(), account = createAccount(), user = createUser();
const operatorJwt = claim(operator, operator, "test", "operator");
const accountJwt = claim(operator, account, "calls", "account", { limits });
const userJwt = claim(account, user, "voxbus", "user", { pub: {}, sub: {}, ...any });

console.log(JSON.stringify({
  server: `operator: ${operatorJwt}\nresolver: MEMORY\n` +
    `resolver_preload: {${account.getPublicKey()}: ${accountJwt}}\n`,
  creds: `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n` +
    `-----BEGIN USER NKEY SEED-----\n${text(user.getSeed())}\n------END USER NKEY SEED------\n`,
}));
