// Reading: far up and back, the place kept, the line above what is new.
import assert from "node:assert/strict";
import { test } from "node:test";
import mqtt from "mqtt";
import { bubbles, eventually, missing, withServer } from "./browser.mjs";

/** A message above which one by the same author came in no longer begins a group, and loses the space above it. */
const GROUP_GAP_PX = 10;

const options = { skip: missing, timeout: 120_000 };

/** An ordinary MQTT client of somebody's, over WebSocket. */
async function client(world, { account, token }) {
  return mqtt.connectAsync(`${world.server.url.replace("http", "ws")}/mqtt`, { protocolVersion: 5, username: account, password: token, clientId: `e2e-${account}`, reconnectPeriod: 0 });
}

/** Scrolls up until older messages come in, and returns by how much one in sight moved then; null at the beginning. */
async function olderComesIn(it) {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const top = it.getBoundingClientRect().top;
  // A row that is not measured yet is hidden and has no text.
  const seen = () =>
    [...it.querySelectorAll("article")].map((one) => [one.querySelector(".text").innerText, one.getBoundingClientRect().top - top]).filter(([text]) => text);
  let height = it.scrollHeight;
  let before = [];
  for (let still = 0; still < 60; still = it.scrollTop > 0 ? 0 : still + 1) {
    it.scrollBy(0, -150);
    before = seen();
    height = it.scrollHeight;
    await frame();
    if (it.scrollHeight < height + 500) continue;
    const [text, y] = before.find(([, at]) => at > 0);
    // Let the rows that came in be measured.
    for (let frames = 0; frames < 10; frames += 1) await frame();
    const after = seen().find(([other]) => other === text)?.[1];
    return after === undefined ? Infinity : after - y;
  }
  return null;
}

test("older messages come in above while the place is kept, and one button leads back down", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const writer = await client(world, bob);
  for (let n = 1; n <= 180; n += 1) await writer.publishAsync("im/to/@alice", `message ${n}${"\nand more".repeat(n % 4)}`, { qos: 1 });

  const page = await world.page({ login: alice });
  const line = page.getByRole("link", { name: "Bob" });
  await line.getByText("180 unread messages").waitFor({ state: "attached" });
  await line.click();
  const log = page.getByRole("log");
  await log.getByText(/^message 180$/).waitFor();
  await eventually(() => log.evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight < 4), true);
  await line.getByText("unread").waitFor({ state: "detached" });

  // Up page by page: whatever is in sight when older messages come in stays where it is.
  for (let pages = 0; ; pages += 1) {
    assert.ok(pages < 10, "the beginning was never reached");
    const moved = await log.evaluate(olderComesIn);
    if (moved === null) break;
    assert.ok(Math.abs(moved) <= GROUP_GAP_PX, `page ${pages} moved what was in sight by ${moved} px`);
  }
  await log.evaluate((it) => it.scrollTo(0, 0));
  await log.getByText("This is where the conversation begins").waitFor();
  await eventually(async () => (await bubbles(page))[0], "other: message 1\nand more");

  await writer.publishAsync("im/to/@alice", "the newest", { qos: 1 });
  const down = page.getByRole("button", { name: "1 new message" });
  await down.waitFor();
  await down.click();
  await log.getByText("the newest").waitFor();
  await eventually(async () => (await bubbles(page)).at(-1), "other: the newest");
  await writer.endAsync();
}));

test("where one left off is a line, and one begins to read there", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const writer = await client(world, bob);
  const write = async (from, to) => {
    for (let n = from; n <= to; n += 1) await writer.publishAsync("im/to/@alice", `message ${n}`, { qos: 1 });
  };
  await write(1, 20);
  const page = await world.page({ login: alice, path: "/@bob" });
  const log = page.getByRole("log");
  await log.getByText("message 20").waitFor();
  const line = page.getByRole("link", { name: "Bob" });
  await line.getByText("unread").waitFor({ state: "detached" });
  await page.goto(world.server.url);
  await line.waitFor();
  await write(21, 50);
  await line.getByText("30 unread messages").waitFor({ state: "attached" });
  await line.click();
  await log.getByText("New messages").waitFor();
  await log.getByText("message 21").waitFor();
  const y = await log.getByText("message 21").evaluate((it) => it.getBoundingClientRect().top);
  assert.ok(y > 60 && y < 300, `the first new message stands at ${y} px`);
  await page.getByRole("button", { name: /^\d+ new messages$/ }).click();
  await log.getByText("message 50").waitFor();
  await line.getByText("unread").waitFor({ state: "detached" });
  await writer.endAsync();
}));

test("a hole that the live stream leaves is not there after coming back", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const writer = await client(world, bob);
  await writer.publishAsync("im/to/@alice", "0", { qos: 1 });
  const page = await world.page({ login: alice, path: "/@bob" });
  await eventually(() => bubbles(page), ["other: 0"]);
  await page.context().setOffline(true);
  // Offline does not cut a WebSocket that stands; the server does.
  await world.server.kill();
  await page.getByText("Reconnecting…").waitFor();
  await world.server.run();
  const again = await client(world, bob);
  for (let n = 1; n <= 12; n += 1) await again.publishAsync("im/to/@alice", String(n), { qos: 1 });
  await page.context().setOffline(false);
  await eventually(() => bubbles(page), Array.from({ length: 13 }, (_, n) => `other: ${n}`), 40_000);
  await again.endAsync();
  writer.end(true);
}));
