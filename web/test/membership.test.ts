// Who came and went, in words: one line, however many there are.
import { expect, test } from "vitest";
import { overwriteGetLocale } from "../src/paraglide/runtime.js";
import { accountName, entryOf } from "../src/wire/contract";
import { membershipWords } from "../src/words/membership";
import { tab } from "./tab";

const NAMES = { mina: "미나", jun: "준", sora: "Sora", dana: "다나", hana: "하나" };

async function check(action: string, from: string, accounts: string[], ko: string, en: string): Promise<void> {
  const { messenger } = await tab("alice");
  messenger.directory.learn(Object.entries(NAMES).map(([name, display]) => ({ name, display })));
  const event = entryOf({ kind: "member", action, accounts, from, pos: "9e1", at: 1 });
  if (event?.entry !== "member") throw new Error("no event");
  for (const [locale, words] of [["ko", ko], ["en", en]] as const) {
    overwriteGetLocale(() => locale);
    expect(membershipWords(messenger, event)).toBe(words);
  }
}

test("one, two and three are named", async () => {
  await check("join", "mina", ["jun"], "미나 님이 준 님을 초대했습니다", "미나 added 준");
  await check("join", "mina", ["jun", "sora"], "미나 님이 준, Sora 님을 초대했습니다", "미나 added 준 and Sora");
  await check("join", "mina", ["jun", "sora", "dana"], "미나 님이 준, Sora, 다나 님을 초대했습니다", "미나 added 준, Sora and 다나");
});

test("of more, two, and how many others", async () => {
  await check("join", "mina", ["jun", "sora", "dana", "hana"], "미나 님이 준, Sora 님 외 2명을 초대했습니다", "미나 added 준, Sora and 2 others");
});

test("whoever reads it is among those who are named", async () => {
  const accounts = ["jun", "sora", "dana", "hana", "alice"];
  await check("join", "mina", accounts, "미나 님이 alice, 준 님 외 3명을 초대했습니다", "미나 added alice, 준 and 3 others");
});

test("whoever makes a group does not add themselves", async () => {
  await check("join", "mina", ["mina", "jun"], "미나 님이 준 님을 초대했습니다", "미나 added 준");
  await check("join", "mina", ["mina"], "미나 님이 들어왔습니다", "미나 joined");
  await check("leave", "mina", ["mina"], "미나 님이 나갔습니다", "미나 left");
});

test("an event that names nobody is none", () => {
  for (const accounts of [undefined, [], ["", 1], "bob"]) {
    expect(entryOf({ kind: "member", action: "join", accounts, from: accountName("bob"), pos: "9e1", at: 1 })).toBeNull();
  }
});
