// The cursor: what it moves with, and what must not move it.
import { expect, test } from "vitest";
import { CatchUp } from "../src/chat/catch-up";
import type { Fields } from "../src/wire/contract";

const entry = (seq: number, pos: string): object => ({ conv: "eng", kind: "message", seq, pos, from: "bob", at: 1, text: "x" });

const about = (conv: string): object => ({ conv, kind: "group", title: conv });

interface Got {
  asked: string[];
  lists: string[];
  /** Everything else, in the order in which it was told. */
  told: string[];
}

/** A catch-up whose questions are answered one by one, each when it is asked. */
function catchUp(answers: (() => Fields)[]): Got & { it: CatchUp } {
  const got: Got = { asked: [], lists: [], told: [] };
  const it = new CatchUp(
    async (method, body) => {
      const { since, before, states } = (body ?? {}) as { since?: string; before?: string; states?: boolean };
      got.asked.push([method, since ?? before, states && "states"].filter(Boolean).join(" "));
      const answer = answers.shift();
      if (!answer) throw new Error(`not expected: ${method}`);
      return answer();
    },
    {
      listed: (abouts, before) => got.lists.push([before, ...abouts.map(({ conv }) => conv)].join(" ")),
      entry: (conv, one) => got.told.push(one.entry === "message" ? String(one.seq) : `${conv} ${one.entry} ${one.pos}`),
      gap: ({ conv, after, before }) => got.told.push(`${conv} gap ${after} ${before}`),
      state: ({ conv, read, unread, members }) => got.told.push(`${conv} state ${read} ${unread} ${members}`),
    },
  );
  return Object.assign(got, { it });
}

test("begins with the list and goes on with the cursor of each answer", async () => {
  const run = catchUp([
    () => ({ conversations: [], cursor: "9f0-", more: false }),
    () => ({ entries: [entry(1, "9f1"), entry(2, "9f2")], cursor: "9f2-3.9f4", more: true }),
    () => ({ entries: [entry(3, "9f3")], cursor: "a00-", more: false }),
  ]);
  await run.it.run();
  expect(run.it.live).toBe(true);
  await run.it.run();
  expect(run.asked).toEqual(["conversations", "sync 9f0- states", "sync 9f2-3.9f4 states"]);
  expect(run.lists).toEqual(["untold"]);
  expect(run.told).toEqual(["1", "2", "3"]);
  expect(run.it.cursor).toBe("a00-");
});

test("entries in their order, holes before them, and then what changed without any", async () => {
  const left = { conv: "ops", kind: "left", pos: "9f4", deleted: true };
  const join = { conv: "eng", kind: "member", action: "join", accounts: ["alice"], from: "bob", pos: "9f3", at: 1 };
  const run = catchUp([
    () => ({ conversations: [], cursor: "9f0-", more: false }),
    () => ({
      entries: [entry(1, "9f1"), { conv: "eng", kind: "pin", pos: "9f2" }, join, left, { conv: "eng", kind: "member", action: "join", accounts: [] }],
      gaps: [{ conv: "eng", after_seq: 1, before_seq: 4 }, { conv: "/", after_seq: 1, before_seq: 2 }],
      states: [{ conv: "@bob", read: 12, unread_count: 1, member_count: 2 }, {}],
      cursor: "9f4-",
      more: false,
    }),
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.told).toEqual(["eng gap 1 4", "1", "eng member 9f3", "ops left 9f4", "@bob state 12 1 2"]);
});

test("a page that comes when the connection is lost already moves nothing", async () => {
  const run = catchUp([
    () => ({ conversations: [], cursor: "9f0-" }),
    () => {
      run.it.lost();
      return { entries: [entry(1, "9f1")], cursor: "9f1-", more: true };
    },
    () => ({ entries: [entry(1, "9f1")], cursor: "9f1-", more: false }),
  ]);
  await run.it.run();
  await run.it.run();
  expect([run.it.cursor, run.it.live]).toEqual(["9f0-", false]);
  await run.it.run();
  expect(run.asked).toEqual(["conversations", "sync 9f0- states", "sync 9f0- states"]);
  expect([run.it.cursor, run.told]).toEqual(["9f1-", ["1"]]);
});

test("a reset replaces the list and the cursor; a page that moves nothing ends it", async () => {
  const run = catchUp([
    () => ({ conversations: [], cursor: "9f0-" }),
    () => ({ reset: true, conversations: [], cursor: "b00-" }),
    () => ({ entries: [], cursor: "b00-", more: true }),
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.lists).toEqual(["untold", "untold"]);
  await run.it.run();
  expect(run.it.cursor).toBe("b00-");
});

test("a list in parts replaces only when it is whole, and counts from its first part", async () => {
  const run = catchUp([
    () => ({ conversations: [about("c")], cursor: "9f0-", more: true, next: "9a0" }),
    () => ({ conversations: [about("b")], cursor: "9f4-", more: true, next: "980" }),
    () => ({ conversations: [about("a")], cursor: "9f8-", more: false }),
    () => ({ reset: true, conversations: [about("c")], cursor: "b00-", more: true, next: "9a0" }),
    () => {
      run.it.lost();
      return { conversations: [about("b")], cursor: "b00-", more: false };
    },
    () => ({ entries: [], cursor: "b00-", more: false }),
  ]);
  await run.it.run();
  expect(run.lists).toEqual(["untold c b a"]);
  expect(run.it.cursor).toBe("9f0-");
  await run.it.run();
  expect(run.lists.length).toBe(1);
  expect(run.it.cursor).toBe("9f0-");
  await run.it.run();
  expect(run.it.cursor).toBe("b00-");
  expect(run.asked).toEqual([
    "conversations", "conversations 9a0", "conversations 980", "sync 9f0- states", "conversations 9a0", "sync 9f0- states",
  ]);
});

test("a list that says more and has nothing more is not asked for for ever, and moves no cursor", async () => {
  const run = catchUp([
    () => ({ conversations: [], cursor: "9f0-" }),
    () => ({ conversations: [about("c")], cursor: "b00-", more: true, next: "9a0" }),
    () => ({ conversations: [], cursor: "b00-", more: true, next: "9a0" }),
  ]);
  await run.it.run();
  await run.it.list();
  expect(run.lists).toEqual(["untold", "told c"]);
  expect(run.it.cursor).toBe("9f0-");
});

test("is refreshed only while everything is there", async () => {
  const run = catchUp([
    () => ({ conversations: [], cursor: "9f0-" }),
    () => ({ entries: [entry(1, "9f1")], cursor: "9f1-", more: true }),
    () => ({ entries: [], cursor: "9f2-", more: false }),
  ]);
  await run.it.refresh();
  await run.it.run();
  await run.it.refresh();
  expect([run.it.cursor, run.it.live]).toEqual(["9f2-", true]);
  run.it.lost();
  await run.it.refresh();
  expect(run.asked).toEqual(["conversations", "sync 9f0- states", "sync 9f1- states"]);
});
