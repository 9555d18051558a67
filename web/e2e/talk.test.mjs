// Two pages talking to each other through the real server.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bubbles, eventually, field, missing, say, withServer } from "./browser.mjs";

const options = { skip: missing, timeout: 120_000 };

test("two pages talk: messages, typing, presence, counts, and ticks from sent to read", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice Han"], ["bob", "밥"]);
  const hers = await world.page({ login: alice, path: "/@bob" });
  await hers.getByText("Nothing here yet").waitFor();
  await say(hers, "hi bob");
  await eventually(() => bubbles(hers, { ticks: true }), ["own: hi bob (sent)"]);

  const his = await world.page({ login: bob, lang: "ko-KR" });
  const line = his.getByRole("link", { name: "Alice Han" });
  await line.getByText("읽지 않은 메시지 1개").waitFor({ state: "attached" });
  assert.match(await his.title(), /^\(1\)/);
  await line.click();
  await eventually(() => bubbles(his), ["other: hi bob"]);
  await his.getByText("오늘").waitFor();
  await eventually(() => bubbles(hers, { ticks: true }), ["own: hi bob (read)"]);
  await hers.locator("header").getByText("online").waitFor();
  assert.equal(await his.title(), "Magpie");

  await field(his).pressSequentially("안녕");
  await hers.locator("p.typing").getByText("밥 is typing").waitFor();
  await field(his).press("Enter");
  await eventually(() => bubbles(hers), ["own: hi bob", "other: 안녕"]);
  await hers.locator("p.typing").getByText("is typing").waitFor({ state: "detached" });
  await hers.getByText("밥: 안녕").waitFor({ state: "attached" });

  await field(hers).fill("one");
  await field(hers).press("Shift+Enter");
  await field(hers).pressSequentially("two **bold** https://example.org");
  await field(hers).press("Enter");
  await eventually(() => bubbles(his), ["other: hi bob", "own: 안녕", "other: one\ntwo bold https://example.org"]);
  const link = his.getByRole("link", { name: "https://example.org", exact: true });
  assert.equal(await link.getAttribute("rel"), "noopener noreferrer nofollow");
  assert.equal(await his.locator(".text strong").innerText(), "bold");

  await say(hers, "<img src=x onerror=alert(1)> <b>no</b> [x](javascript:alert(1)) `code`");
  await eventually(async () => (await bubbles(his)).at(-1), "other: <img src=x onerror=alert(1)> <b>no</b> [x](javascript:alert(1)) code");
  assert.equal(await his.locator("[role=log] img, [role=log] b").count(), 0);
}));

test("a page that is not looked at is delivered to, and has read only when it is", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const hers = await world.page({ login: alice, path: "/@bob" });
  const his = await world.page({ login: bob });
  await his.getByText("No conversations yet").waitFor();
  await hers.getByText("Nothing here yet").waitFor();
  await say(hers, "are you there?");
  await eventually(() => bubbles(hers, { ticks: true }), ["own: are you there? (delivered)"]);
  await his.getByRole("link", { name: "Alice" }).click();
  await eventually(() => bubbles(hers, { ticks: true }), ["own: are you there? (read)"]);
}));

test("the server is killed and comes back: what was typed meanwhile arrives once, in order", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const hers = await world.page({ login: alice, path: "/@bob" });
  const his = await world.page({ login: bob, path: "/@alice" });
  await hers.getByText("Nothing here yet").waitFor();
  await his.getByText("Nothing here yet").waitFor();
  await say(hers, "before");
  await eventually(() => bubbles(his), ["other: before"]);

  await world.server.kill();
  await hers.getByText("Reconnecting…").waitFor();
  await say(hers, "meanwhile 1");
  await say(hers, "meanwhile 2");
  await eventually(() => bubbles(hers, { ticks: true }), ["own: before", "own: meanwhile 1 (sending)", "own: meanwhile 2 (sending)"]);
  await world.server.run();
  const all = ["before", "meanwhile 1", "meanwhile 2"];
  await eventually(() => bubbles(hers), all.map((text) => `own: ${text}`), 20_000);
  await eventually(() => bubbles(his), all.map((text) => `other: ${text}`), 40_000);
  await his.getByText("Reconnecting…").waitFor({ state: "detached" });
  await say(his, "after");
  await eventually(async () => (await bubbles(hers)).at(-1), "other: after");
}));

test("a group is made, people are added, one leaves, and the address bar leads there", options, withServer(async (world) => {
  const { alice, bob, carol } = await world.server.people(["alice", "Alice"], ["bob", "Bob"], ["carol", "Carol"]);
  const hers = await world.page({ login: alice });
  const his = await world.page({ login: bob });
  await his.getByText("No conversations yet").waitFor();
  await hers.locator("aside header").getByRole("button", { name: "New group" }).click();
  await hers.getByLabel("Title").fill("디자인 Team");
  await hers.getByLabel("Address").fill("design.team");
  await hers.getByRole("button", { name: "Bob" }).click();
  await hers.getByRole("button", { name: "Make group" }).click();
  await hers.getByRole("heading", { name: "디자인 Team" }).waitFor();
  assert.equal(new URL(hers.url()).pathname, "/g/design.team/");
  await hers.getByText("2 members").waitFor();
  await say(hers, "welcome");

  await his.getByRole("link", { name: "디자인 Team" }).click();
  await his.getByText("Alice added Bob").waitFor();
  await eventually(() => bubbles(his), ["other: welcome"]);
  await eventually(() => hers.locator("[data-tick=read]").getAttribute("title"), "Read by 1 of 1");

  await hers.getByRole("button", { name: "Members" }).click();
  await hers.getByRole("button", { name: "Add people" }).click();
  await hers.getByRole("dialog").getByRole("button", { name: "Carol" }).click();
  await hers.getByRole("button", { name: "Add 1 person" }).click();
  await hers.getByRole("list", { name: "Members" }).getByText("Carol", { exact: true }).waitFor();
  await hers.keyboard.press("Escape");
  await his.getByText("Alice added Carol").waitFor();
  const third = await world.page({ login: carol, path: "/g/design.team/" });
  await eventually(() => bubbles(third), ["other: welcome"]);

  await his.getByRole("button", { name: "Members" }).click();
  await his.getByRole("button", { name: "Leave group" }).click();
  await his.getByRole("button", { name: "Leave", exact: true }).click();
  await his.getByText("No conversations yet").waitFor();
  await hers.getByText("Bob left").waitFor();
  await hers.reload();
  await eventually(() => bubbles(hers), ["own: welcome"]);
}));

test("the last one in a group hears that it is kept, and an owner deletes it by typing its address", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const hers = await world.page({ login: alice });
  const make = async (title, who) => {
    await hers.locator("aside header").getByRole("button", { name: "New group" }).click();
    await hers.getByLabel("Title").fill(title);
    if (who) await hers.getByRole("button", { name: who }).click();
    await hers.getByRole("button", { name: "Make group" }).click();
    await hers.getByRole("heading", { name: title }).waitFor();
  };
  await make("Alone", null);
  await hers.getByRole("button", { name: "Members" }).click();
  await hers.getByRole("button", { name: "Leave group" }).click();
  await hers.getByText("You are the last one in “Alone”.").waitFor();
  await hers.getByRole("button", { name: "Leave", exact: true }).click();
  await hers.getByText("No conversations yet").waitFor();
  await make("Other", "Bob");
  await say(hers, "gone soon");

  const his = await world.page({ login: bob, path: "/g/other/" });
  await eventually(() => bubbles(his), ["other: gone soon"]);
  await his.getByRole("button", { name: "Members" }).click();
  await his.getByRole("list", { name: "Members" }).getByText("Alice", { exact: true }).waitFor();
  assert.equal(await his.getByRole("button", { name: "Delete group" }).count(), 0, "only owners delete");
  await his.keyboard.press("Escape");

  await hers.getByRole("button", { name: "Members" }).click();
  await hers.getByRole("button", { name: "Delete group" }).click();
  const yes = hers.getByRole("button", { name: "Delete for good" });
  await hers.getByLabel("type its address: other").fill("othe");
  assert.equal(await yes.isDisabled(), true);
  await hers.getByLabel("type its address: other").fill("other");
  await yes.click();
  await hers.getByText("No conversations yet").waitFor();
  await his.getByText("This group has been deleted").waitFor();
  // The address of the one that was only left is still taken.
  await hers.locator("aside header").getByRole("button", { name: "New group" }).click();
  await hers.getByLabel("Title").fill("Alone");
  await hers.getByLabel("Address").fill("alone");
  await hers.getByRole("button", { name: "Make group" }).click();
  await hers.getByRole("dialog").getByRole("alert").filter({ visible: true }).waitFor();
}));

test("people are searched by the server, page by page", options, withServer(async (world) => {
  const many = Array.from({ length: 60 }, (_, n) => [`member${String(n).padStart(2, "0")}`, `Member ${n}`]);
  const { admin } = await world.server.people(["admin", "Admin"], ...many, ["zoe", "조이 Kim"]);
  const page = await world.page({ login: admin });
  await page.locator("aside header").getByRole("button", { name: "New chat" }).click();
  const list = page.getByRole("list", { name: "Whom do you want to write to?" });
  const buttons = list.locator("li:not(.further)");
  await eventually(() => buttons.count(), 50);
  await list.getByRole("button", { name: "Show more" }).click();
  await eventually(() => buttons.count(), 62);
  const find = page.getByLabel("Find by name");
  await find.fill("kim");
  await eventually(() => buttons.count(), 1);
  await list.getByText("조이 Kim").waitFor();
  await find.fill("nobody at all");
  await page.getByText("Nobody found for “nobody at all”.").waitFor();
  await find.fill("조이");
  await find.press("Enter");
  await page.getByRole("heading", { name: "조이 Kim" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/@zoe");
}));

test("on a narrow window list and conversation take turns, and the browser's back works", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const his = await world.page({ login: bob, path: "/@alice" });
  await his.getByText("Nothing here yet").waitFor();
  await say(his, "hello");
  const page = await world.page({ login: alice, width: 360, height: 700 });
  await page.getByRole("link", { name: "Bob" }).click();
  await eventually(() => bubbles(page), ["other: hello"]);
  assert.equal(await page.locator("aside").isVisible(), false);
  await page.goBack();
  await page.getByRole("link", { name: "Bob" }).waitFor();
  assert.equal(await page.locator("main").isVisible(), false);
  assert.equal(await page.evaluate(() => document.activeElement?.getAttribute("href")), "/@bob", "the focus is where one was");
  await page.goForward();
  await page.getByRole("button", { name: "Back to the list" }).click();
  await page.getByRole("link", { name: "Bob" }).waitFor();
  assert.equal(new URL(page.url()).pathname, "/");
  const wide = await page.evaluate(() => document.documentElement.scrollWidth > document.documentElement.clientWidth);
  assert.equal(wide, false, "nothing sticks out to the side");
}));

test("a duplicated tab with the same client id takes another, and both go on", options, withServer(async (world) => {
  const { alice, bob } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const first = await world.page({ login: alice, path: "/@bob" });
  await first.getByText("Nothing here yet").waitFor();
  const device = () => sessionStorage.getItem("magpie.device");
  const id = await first.evaluate(device);
  const second = await world.page({ login: alice });
  await second.evaluate((same) => sessionStorage.setItem("magpie.device", same), id);
  await second.goto(`${world.server.url}/@bob`);
  await second.getByText("Nothing here yet").waitFor();
  await eventually(async () => (await first.evaluate(device)) !== id, true);
  const his = await world.page({ login: bob, path: "/@alice" });
  await his.getByText("Nothing here yet").waitFor();
  await say(his, "both of you?");
  for (const page of [first, second]) await eventually(() => bubbles(page), ["other: both of you?"]);
  assert.equal(await second.evaluate(device), id);
}));
