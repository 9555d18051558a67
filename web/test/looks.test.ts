// Who could be taken for whom, and what the page says then.
import { expect, test, vi } from "vitest";
import { Directory } from "../src/chat/directory";
import { confusables } from "../src/chat/confusables";
import { looksOf } from "../src/chat/looks";
import { convOf } from "../src/wire/contract";
import { isolated, lastLineOf, titleOf } from "../src/words/title";
import { server, tab, open } from "./tab";

const alike = (a: string, b: string): boolean => looksOf(a, confusables).some((look) => looksOf(b, confusables).includes(look));

test("names that look alike have a look in common", () => {
  for (const [a, b] of [
    ["Bob", "bob"], ["mary", "rnary"], ["Alice", "A1ice"], ["Ivan", "lvan"], ["scope", "ѕсоре"], ["Bob", "B\u200bob"],
    ["Ｂｏｂ", "Bob"], ["김철수", "김\u3164철수"], ["한글", "\u1112\u1161\u11ab\u1100\u1173\u11af"], ["Kim  Lee", "Kim\u00a0Lee"],
    ["カ", "力"], ["口", "ロ"], ["ㅡ", "一"], ["O0", "OO"],
  ] as const) {
    expect(alike(a, b), `${a} ${b}`).toBe(true);
  }
  for (const [a, b] of [["Bob", "Rob"], ["김철수", "김철호"], ["Ann", "Anna"]] as const) expect(alike(a, b), `${a} ${b}`).toBe(false);
});

async function directory(...people: [string, string][]): Promise<Directory> {
  const made = new Directory(() => undefined, async () => confusables);
  const told = vi.fn();
  made.changes.listen(told);
  made.learn(people.map(([name, display]) => ({ name, display })));
  // Once for the names, once for what they look like.
  await vi.waitFor(() => expect(told).toHaveBeenCalledTimes(2));
  return made;
}

test("who could be taken for another is shown with the account's name, and nobody else", async () => {
  const made = await directory(["bob", "Bob"], ["bob2", "ВоЬ"], ["carol", "Carol"], ["dave", "carol"], ["erin", "Erin"], ["mallory", "Mallory @erin"]);
  const handles = ["bob", "bob2", "carol", "dave", "erin", "mallory", "nobody"].map((name) => made.handle(convOf(`@${name}`)));
  expect(handles).toEqual(["@bob", "@bob2", "@carol", "@dave", null, "@mallory", null]);
  made.learn([{ name: "dave", display: "Dave" }]);
  expect(made.handle(convOf("@carol"))).toBeNull();
});

test("somebody who calls himself by another's account name is shown with his own", async () => {
  const made = await directory(["alice", "Kim"], ["mallory", "alice"]);
  expect([made.handle(convOf("@alice")), made.handle(convOf("@mallory"))]).toEqual([null, "@mallory"]);
});

test("groups of the same title are told apart by their addresses", async () => {
  const made = await directory(["bob", "Bob"], ["carol", "Carol"]);
  made.learnTitle(convOf("eng"), "Engineering");
  made.learnTitle(convOf("eng-2"), "Engineering");
  made.learnTitle(convOf("bobs"), "Bob");
  expect(["eng", "eng-2", "bobs", "@bob"].map((conv) => made.handle(convOf(conv)))).toEqual(["eng", "eng-2", "bobs", "@bob"]);
});

test("a failed load of the lookalikes is tried again", async () => {
  const load = vi.fn<() => Promise<typeof confusables>>().mockRejectedValueOnce(new Error("offline")).mockResolvedValue(confusables);
  const made = new Directory(() => undefined, load);
  made.learn([{ name: "bob", display: "Bob" }, { name: "eve", display: "ВоЬ" }]);
  let tries = 0;
  await vi.waitFor(() => {
    made.learn([{ name: "bob", display: `Bob ${(tries += 1)}` }]);
    expect(load).toHaveBeenCalledTimes(2);
  });
});

test("within a sentence a name says who it is and turns nothing around", async () => {
  const alice = await tab("alice");
  const group = await open(alice, "@bob");
  alice.messenger.directory.learn([{ name: "bobby", display: "밥" }]);
  await vi.waitFor(() => expect(titleOf(alice.messenger, group)).toBe("밥"));
  await vi.waitFor(() => expect(alice.messenger.directory.handle(convOf("@bob"))).toBe("@bob"));
  expect(lastLineOf(alice.messenger, group)).toBe("");
  expect(isolated("Bob")).toBe("Bob");
  expect(isolated("a\u202eb")).toBe("\u2068ab\u2069");
  expect(isolated("a\u2069\u200fb")).toBe("\u2068a\u200fb\u2069");
  expect(isolated("נועה")).toBe("\u2068נועה\u2069");
});
