// Who comes and goes: many at once in one line, leaving on another device, and out and in again while the page was away.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import mqtt from "mqtt";
import { bubbles, eventually, missing, withServer } from "./browser.mjs";

const options = { skip: missing, timeout: 180_000 };
const SHOTS = process.env["MAGPIE_SHOTS"];
if (SHOTS) mkdirSync(SHOTS, { recursive: true });

/** An ordinary MQTT client of somebody's, over WebSocket, that can ask. */
async function client(world, { account, token }) {
  const url = `${world.server.url.replace("http", "ws")}/mqtt`;
  const connected = await mqtt.connectAsync(url, { protocolVersion: 5, username: account, password: token, clientId: `e2e-${account}`, reconnectPeriod: 0 });
  const waiting = [];
  connected.on("message", (_, payload) => waiting.shift()?.(JSON.parse(payload)));
  await connected.subscribeAsync("im/answer/1", { qos: 1 });
  const ask = async (method, body) => {
    const answered = new Promise((resolve) => waiting.push(resolve));
    await connected.publishAsync(`im/ask/${method}/1`, JSON.stringify(body), { qos: 1 });
    const answer = await answered;
    assert.equal(answer.error, undefined, `${method}: ${answer.detail}`);
    return answer;
  };
  const say = (conv, text) => connected.publishAsync(`im/to/${conv}`, text, { qos: 1 });
  return { ask, say, end: () => connected.endAsync(true) };
}

const PEOPLE = [["alice", "Alice"], ["mina", "김미나"], ["jun", "이준"], ["sora", "Sora Lindqvist"], ["dana", "다나"], ["omar", "عمر"], ["long", "A name that goes on for as long as anybody would ever want it to"]];
const LINES = {
  "en-US": { made: "김미나 added Alice, 이준 and Sora Lindqvist", many: /^김미나 added 다나, .+ and 2 others$/, beginning: "You see only what is said while you are a member.", members: "Members", invite: "Add people" },
  "ko-KR": { made: "김미나 님이 Alice, 이준, Sora Lindqvist 님을 초대했습니다", many: /^김미나 님이 다나, .+ 님 외 2명을 초대했습니다$/, beginning: "멤버로 있는 동안 나눈 대화만 보입니다.", members: "멤버", invite: "초대하기" },
};

test("many who come at once are one line, in both languages, narrow and wide", options, withServer(async (world) => {
  const logins = await world.server.people(...PEOPLE, ["zoe", "Zoe"]);
  const mina = await client(world, logins.mina);
  await mina.ask("group.create", { slug: "eng", title: "Engine", accounts: ["alice", "jun", "sora"], history: "joined" });
  await mina.ask("group.invite", { conv: "eng", accounts: ["dana", "omar", "long", "zoe"] });
  await mina.say("eng", "welcome, all of you");
  for (const [lang, words] of Object.entries(LINES)) {
    for (const width of [360, 1280]) {
      const page = await world.page({ login: logins.alice, lang, width, height: 740 });
      const line = page.getByRole("link", { name: "Engine" });
      await line.waitFor();
      if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `members-${lang}-${width}-list.png`) });
      await line.click();
      const log = page.getByRole("log");
      await log.getByText(words.made, { exact: true }).waitFor();
      await log.getByText(words.many).waitFor();
      await log.getByText(words.beginning).waitFor();
      if (SHOTS) await page.screenshot({ path: path.join(SHOTS, `members-${lang}-${width}-talk.png`) });
      const tooWide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
      assert.equal(tooWide, 0, `${lang} ${width}: the page is too wide`);
      await page.getByRole("button", { name: words.members }).click();
      await page.getByRole("list", { name: words.members }).getByText("Zoe", { exact: true }).waitFor();
      // The group is closed, and she is no owner.
      assert.equal(await page.getByRole("button", { name: words.invite }).count(), 0);
      await page.context().close();
    }
  }
  await mina.end();
}));

test("leaving on another device, and out and in again while the page was away", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"], ["carol", "Carol"]);
  let his = await client(world, bob);
  for (const slug of ["eng", "ops"]) {
    await his.ask("group.create", { slug, title: slug.toUpperCase(), accounts: ["alice"] });
    await his.say(slug, "before");
  }
  const page = await world.page({ login: alice, path: "/g/eng/" });
  await eventually(() => bubbles(page), ["other: before"]);
  await his.ask("group.create", { slug: "now", title: "NOW", history: "joined" });
  for (const text of ["not", "for her"]) await his.say("now", text);
  await his.ask("group.invite", { conv: "now", accounts: ["alice"] });
  const now = page.getByRole("link", { name: "NOW" });
  await now.click();
  await page.getByText("You see only what is said while you are a member.").waitFor();
  await his.say("now", "hello");
  await eventually(() => bubbles(page), ["other: hello"]);
  await page.getByRole("link", { name: "ENG" }).click();
  await eventually(() => bubbles(page), ["other: before"]);
  let hers = await client(world, alice);
  await hers.ask("group.leave", { conv: "ops" });
  await page.getByRole("link", { name: "OPS" }).waitFor({ state: "detached" });

  await page.context().setOffline(true);
  // Offline does not cut a WebSocket that stands; the server does.
  await world.server.kill();
  await page.getByText("Reconnecting…").waitFor();
  await world.server.run();
  [his, hers] = [await client(world, bob), await client(world, alice)];
  for (const conv of ["eng", "now"]) await hers.ask("group.leave", { conv });
  await his.say("now", "not for her either");
  await his.ask("group.invite", { conv: "now", accounts: ["alice"] });
  await his.ask("group.invite", { conv: "eng", accounts: ["carol"] });
  for (const text of ["while", "she was out"]) await his.say("eng", text);
  await his.ask("group.invite", { conv: "eng", accounts: ["alice", "carol"] });
  await his.ask("group.invite", { conv: "ops", accounts: ["alice"] });
  await his.say("ops", "welcome back");
  await page.context().setOffline(false);
  await eventually(() => bubbles(page), ["other: before", "other: while", "other: she was out"], 40_000);
  const log = page.getByRole("log");
  for (const line of ["Alice left", "Bob added Carol"]) await log.getByText(line, { exact: true }).waitFor();
  assert.equal(await log.getByText("Bob added Alice", { exact: true }).count(), 2);
  await page.getByRole("link", { name: "OPS" }).getByText("1 unread message").waitFor({ state: "attached" });

  await now.click();
  await eventually(() => bubbles(page), ["other: hello"]);
  await his.say("now", "again");
  await eventually(() => bubbles(page), ["other: hello", "other: again"]);
  await page.getByRole("link", { name: "ENG" }).click();
  await eventually(() => bubbles(page), ["other: before", "other: while", "other: she was out"]);

  await hers.ask("group.leave", { conv: "eng" });
  await page.getByText("You are no longer in this group").waitFor();
  await page.getByRole("link", { name: "ENG" }).waitFor({ state: "detached" });
  for (const one of [his, hers]) await one.end();
}));
