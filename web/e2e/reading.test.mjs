// Reading: far up and back, the place kept, the line above what is new.
import assert from "node:assert/strict";
import { test } from "node:test";
import mqtt from "mqtt";
import { bubbles, eventually, missing, withServer } from "./browser.mjs";

const options = { skip: missing, timeout: 120_000 };

/** An ordinary MQTT client of somebody's, over WebSocket. */
async function client(world, { account, token }) {
  return mqtt.connectAsync(`${world.server.url.replace("http", "ws")}/mqtt`, { protocolVersion: 5, username: account, password: token, clientId: `e2e-${account}`, reconnectPeriod: 0 });
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
  await log.getByText("message 180", { exact: false }).or(log.getByText("New messages")).first().waitFor();

  await page.getByRole("button", { name: /newest|new message/ }).click();
  await log.getByText(/^message 180/).waitFor();
  await eventually(() => log.evaluate((it) => it.scrollHeight - it.scrollTop - it.clientHeight < 4), true);
  await line.getByText("unread").waitFor({ state: "detached" });

  // Up page by page: whatever is in sight when older messages come in stays where it is.
  let jumps = 0;
  for (let turn = 0; turn < 200; turn += 1) {
    await log.hover();
    await page.mouse.wheel(0, -500);
    const jumped = await log.evaluate(async (it) => {
      const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
      const sight = () => {
        const top = it.getBoundingClientRect().top;
        return [...it.querySelectorAll("article")].map((one) => [one.querySelector(".text").innerText, one.getBoundingClientRect().top - top]);
      };
      await frame();
      let before = new Map(sight().filter(([, y]) => y > 0 && y < it.clientHeight));
      let scrolled = it.scrollTop;
      let height = it.scrollHeight;
      let worst = 0;
      for (let frames = 0; frames < 8; frames += 1) {
        await frame();
        // Scrolling moves things; content coming in above must not.
        if (it.scrollHeight !== height) {
          for (const [text, y] of sight()) if (before.has(text)) worst = Math.max(worst, Math.abs(y - before.get(text)) - Math.abs(500));
        }
        before = new Map(sight());
        scrolled = it.scrollTop;
        height = it.scrollHeight;
      }
      return worst > 40;
    });
    if (jumped) jumps += 1;
    if (await log.getByText("This is where the conversation begins").isVisible()) break;
  }
  await log.getByText(/^message 1\n|^message 1$/).first().waitFor();
  assert.equal(jumps, 0, "the page jumped while older messages came in");

  await writer.publishAsync("im/to/@alice", "the newest", { qos: 1 });
  const down = page.getByRole("button", { name: "1 new message" });
  await down.waitFor();
  await down.click();
  await log.getByText("the newest").waitFor();
  await eventually(async () => (await bubbles(page)).at(-1), "other: the newest");
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
