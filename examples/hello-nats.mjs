#!/usr/bin/env node
// SPDX-License-Identifier: MIT
//
// hello over NATS: answers every call of an application, plays a sound, hangs up. npm install nats
//
//   NATS_URL            nats://127.0.0.1:4222
//   VOXBUS_APPLICATION  hello
//   VOXBUS_SOUND        sound:hello-world
//
// Start it as often as you like: they share a queue group, and each call goes to one of them.
import { createRequire } from "node:module";

const { connect, StringCodec } = createRequire(`${process.cwd()}/`)("nats");
const application = process.env.VOXBUS_APPLICATION ?? "hello";
const media = process.env.VOXBUS_SOUND ?? "sound:hello-world";
const text = StringCodec();
const nats = await connect({ servers: process.env.NATS_URL ?? "nats://127.0.0.1:4222", maxReconnectAttempts: -1 });

function each(subject, options, handle) {
  return nats.subscribe(subject, {
    ...options,
    callback: (error, message) => {
      if (error) console.error(subject, error.message);
      else handle(JSON.parse(text.decode(message.data)));
    },
  });
}

function call(dialog) {
  let seen = 0, id = 0;
  const command = (method, url, parameters = {}) =>
    nats.publish(`commands_${dialog}`, text.encode(JSON.stringify({
      unique_id: String(++id), url, method, body: JSON.stringify(parameters),
    })));
  const events = each(`events_${dialog}`, {}, ({ seq, type, ari_body }) => {
    if (seq <= seen) return; // again, after a lost connection: the number says so
    seen = seq;
    const event = JSON.parse(ari_body);
    console.log(dialog, seq, type);
    if (type === "StasisStart") {
      command("POST", `/channels/${event.channel.id}/answer`);
      command("POST", `/channels/${event.channel.id}/play`, { media });
    } else if (type === "PlaybackFinished") {
      command("DELETE", `/channels/${event.playback.target_uri.replace("channel:", "")}`);
    } else if (type === "StasisEnd") {
      events.unsubscribe();
      responses.unsubscribe();
    }
  });
  const responses = each(`responses_${dialog}`, {}, ({ status_code, response_body }) => {
    if (status_code >= 400) console.log(dialog, status_code, response_body);
  });
  nats.publish(`commands_${dialog}`, text.encode("DUMMY")); // we listen: nothing need wait for us any more
}

each(application, { queue: "workers" }, ({ dialog_id }) => call(dialog_id));
await nats.flush();
console.log(`waiting for calls of "${application}"`);
process.once("SIGINT", () => nats.drain());
process.once("SIGTERM", () => nats.drain());
await nats.closed();
