// SPDX-License-Identifier: MIT
// The foreign client of the NATS tests: the npm package `nats`, told by lines of JSON what to do.
//
//   node client.mjs DIRECTORY-OF-NODE_MODULES OPTIONS-AS-JSON
//
//   {"op": "sub", "subject": "x", "queue": "q"}     {"op": "unsub", "subject": "x"}
//   {"op": "pub", "subject": "x", "data": "..."}    {"op": "flush"}
//   {"op": "work", "application": "hello", "queue": "q", "late_ms": 0, "silent": true}
//     a worker as the old library has it: for each AppStart a DUMMY first, then events_ and responses_
//   {"op": "stream", "stream": "S", "subject": "x", "durable": "d"}    consumes from JetStream, with acks
//   {"op": "delete", "stream": "S"}
//
// It prints {"op": "ready"}, {"op": "done", "of": ...} and {"subject": ..., "data": ..., "at": ms, "n": serial}.
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { readFileSync } from "node:fs";

const { connect, credsAuthenticator, nkeyAuthenticator, StringCodec, AckPolicy } =
  createRequire(`${process.argv[2]}/`)("nats");
const options = JSON.parse(process.argv[3]);
if (options.creds) options.authenticator = credsAuthenticator(readFileSync(options.creds));
if (options.seed) options.authenticator = nkeyAuthenticator(new TextEncoder().encode(options.seed));
const nc = await connect({ maxReconnectAttempts: -1, reconnectTimeWait: 50, ...options });
const codec = StringCodec();
const subscriptions = new Map();
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");
let serial = 0;

function heard(m) {
  say({ subject: m.subject, data: codec.decode(m.data), at: Date.now(), n: ++serial });
}

function sub({ subject, queue }, then = heard) {
  const callback = (error, m) => (error ? say({ op: "error", text: String(error) }) : then(m));
  subscriptions.set(subject, nc.subscribe(subject, { queue, callback }));
}

function work({ application, queue, late_ms = 0 }) {
  sub({ subject: application, queue }, (m) => {
    heard(m);
    const { dialog_id: id } = JSON.parse(codec.decode(m.data));
    nc.publish(`commands_${id}`, codec.encode("DUMMY"));
    const begin = () => ["events_", "responses_"].forEach((p) => sub({ subject: p + id, queue }));
    if (late_ms) setTimeout(begin, late_ms);
    else begin();
  });
}

async function stream({ stream: name, subject, durable }) {
  const manager = await nc.jetstreamManager();
  await manager.consumers.add(name, { durable_name: durable, filter_subject: subject, ack_policy: AckPolicy.Explicit });
  const consumer = await nc.jetstream().consumers.get(name, durable);
  (async () => {
    for await (const m of await consumer.consume()) {
      heard(m);
      m.ack();
    }
  })();
}

const ops = {
  sub, work, stream,
  delete: async ({ stream: name }) => (await nc.jetstreamManager()).streams.delete(name),
  unsub: ({ subject }) => subscriptions.get(subject).unsubscribe(),
  pub: ({ subject, data }) => nc.publish(subject, codec.encode(data)),
  flush: () => nc.flush(),
};

say({ op: "ready" });
for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  await ops[order.op](order);
  if (order.op !== "pub") await nc.flush();
  say({ op: "done", of: order.op });
}
await nc.close();
