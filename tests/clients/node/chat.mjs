// A chat client on MQTT.js: logs in, sends, hears, asks, goes away, and comes back to the same session.
// Prints a line for each step; crates/magpie/tests/clients.rs is the other side and reads them.
// Usage: chat.mjs URL USER PASSWORD PEER 3|4|5    (MQTT.js's numbers for 3.1, 3.1.1 and 5)

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

const modules = process.env.MAGPIE_NODE_MODULES ?? path.join(import.meta.dirname, "node_modules");
const mqtt = createRequire(path.join(modules, "here.js"))("mqtt");

const PATIENCE_MS = 30_000;
const [url, username, password, peer, level] = process.argv.slice(2);
const protocolVersion = Number(level);
const is5 = protocolVersion === 5;

/** Messages that nobody has waited for yet, and who waits. */
const messages = [];
let waiting = null;

function note(topic, payload, packet) {
  messages.push({ topic, body: JSON.parse(payload), properties: packet.properties ?? {} });
  waiting?.();
}

/** The next message whose topic begins like this. */
async function message(prefix) {
  for (;;) {
    const index = messages.findIndex(({ topic }) => topic.startsWith(prefix));
    if (index >= 0) return messages.splice(index, 1)[0];
    await new Promise((resolve, reject) => {
      const timer = setTimeout(() => reject(new Error(`nothing came on ${prefix}`)), PATIENCE_MS);
      waiting = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}

/** A connected client, and whether the server had its session. */
function connect() {
  const client = mqtt.connect(url, {
    username,
    password,
    protocolVersion,
    ...(protocolVersion === 3 && { protocolId: "MQIsdp" }),
    clientId: "script",
    clean: false,
    reconnectPeriod: 0,
    ...(is5 && { properties: { sessionExpiryInterval: 3600, topicAliasMaximum: 8 } }),
  });
  client.on("message", note);
  return new Promise((resolve, reject) => {
    client.once("connect", (connack) => resolve({ client, present: connack.sessionPresent }));
    client.once("error", reject);
    client.once("close", () => reject(new Error("closed")));
  });
}

const say = (...words) => console.log(...words);
const hear = async () => (await message("im/in/")).body.text;

async function ask(client, method, question) {
  if (!is5) {
    await client.publishAsync(`im/ask/${method}/7`, JSON.stringify(question), { qos: 1 });
    return (await message("im/answer/7")).body;
  }
  const properties = { responseTopic: "im/answer/node", correlationData: Buffer.from("seven") };
  await client.publishAsync(`im/ask/${method}`, JSON.stringify(question), { qos: 1, properties });
  const answer = await message("im/answer/node");
  assert.equal(String(answer.properties.correlationData), "seven");
  return answer.body;
}

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
let { client, present } = await connect();
assert.equal(present, false);
const granted = await client.subscribeAsync(["im/in/+", "im/ack/+", "im/answer/+"], { qos: 1 });
assert.deepEqual(granted.map(({ qos }) => qos), [1, 1, 1]);
say("ready");

await client.publishAsync(`im/to/@${peer}`, JSON.stringify({ mid: "m1", text: "hi from MQTT.js" }), { qos: 1 });
const ack = (await message("im/ack/m1")).body;
assert.equal(ack.ok, true, JSON.stringify(ack));
say("sent", ack.seq);
say("heard", await hear());
say("heard", await hear());
say("answered", (await ask(client, "profile.get", {})).account);

await client.endAsync();
say("away");
await lines.next();
({ client, present } = await connect());
say("back", present ? "present" : "unknown");
say("heard", await hear());
say("heard", await hear());
await client.endAsync();
say("done");
process.exit(0);
