// Hangul through Chromium's own composition, driven over its protocol.
import assert from "node:assert/strict";
import { test } from "node:test";
import { bubbles, eventually, field, missing, withServer } from "./browser.mjs";

const options = { skip: missing, timeout: 120_000 };

test("the Enter that ends a Hangul composition sends exactly once", options, withServer(async (world) => {
  const { alice } = await world.server.people(["alice", "Alice"], ["bob", "Bob"]);
  const page = await world.page({ login: alice, path: "/@bob" });
  await page.getByText("Nothing here yet").waitFor();
  await field(page).focus();
  const cdp = await page.context().newCDPSession(page);
  const compose = (text) => cdp.send("Input.imeSetComposition", { text, selectionStart: text.length, selectionEnd: text.length });
  const commit = (text) => cdp.send("Input.insertText", { text });
  const key = (type, windowsVirtualKeyCode, more = {}) =>
    cdp.send("Input.dispatchKeyEvent", { type, key: "Enter", code: "Enter", windowsVirtualKeyCode, ...more });
  const sent = [];

  // The method has Enter, commits, and passes it on as a key of its own (Windows, macOS).
  for (const syllable of ["ㅎ", "하", "한"]) await compose(syllable);
  await key("rawKeyDown", 229);
  await commit("한");
  await key("rawKeyDown", 13);
  await key("char", 13, { text: "\r" });
  await key("keyUp", 13);
  sent.push("own: 한");
  await eventually(() => bubbles(page), sent);
  assert.equal(await field(page).inputValue(), "");

  // The method commits and says no more of the key.
  for (const syllable of ["ㄱ", "그", "글"]) await compose(syllable);
  await key("rawKeyDown", 229);
  await commit("글");
  await key("keyUp", 13);
  sent.push("own: 글");
  await eventually(() => bubbles(page), sent);

  // The composition ends before its key is reported (Safari's order).
  for (const syllable of ["ㄴ", "나"]) await compose(syllable);
  await commit("나");
  await key("rawKeyDown", 229);
  await key("char", 13, { text: "\r" });
  await key("keyUp", 13);
  sent.push("own: 나");
  await eventually(() => bubbles(page), sent);

  // Committed by typing on, then a plain Enter.
  await compose("다");
  await commit("다");
  await compose("라");
  await commit("라");
  await field(page).press("Enter");
  sent.push("own: 다라");
  await eventually(() => bubbles(page), sent);

  // A candidate is chosen: nothing is sent until the next Enter.
  await compose("にほん");
  await key("rawKeyDown", 229);
  await commit("日本");
  await key("keyUp", 13);
  await field(page).press("End");
  assert.equal(await field(page).inputValue(), "日本");
  await field(page).press("Enter");
  sent.push("own: 日本");
  await eventually(() => bubbles(page), sent);

  // Nothing more than this has reached the server.
  await page.reload();
  await eventually(() => bubbles(page), sent);
}));
