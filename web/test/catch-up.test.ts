// The cursor: what it moves with, and what must not move it.
import { expect, test } from "vitest";
import { CatchUp } from "../src/chat/catch-up";
import type { Fields, Pos } from "../src/wire/contract";

const entry = (seq: number, pos: string): object => ({ conv: "eng", seq, pos, from: "bob", at: 1, text: "x" });

const about = (conv: string): object => ({ conv, kind: "group", title: conv });
/** The list that is compared at the end. */
const same = (): Fields => ({ conversations: [], pos: "fff" });

/** A catch-up whose questions are answered one by one, each when it is asked. */
function catchUp(answers: (() => Fields)[]): { it: CatchUp; asked: string[]; seqs: number[]; lists: string[] } {
  const got = { asked: [] as string[], seqs: [] as number[], lists: [] as string[] };
  const it = new CatchUp(
    async (method, body) => {
      const { since, before } = (body ?? {}) as { since?: string; before?: string };
      got.asked.push(`${method} ${since ?? before ?? ""}`.trim());
      const answer = answers.shift();
      if (!answer) throw new Error(`not expected: ${method}`);
      return answer();
    },
    {
      listed: (abouts, before) => got.lists.push([before, ...abouts.map(({ conv }) => conv)].join(" ")),
      entry: (_, one) => one.entry === "message" && got.seqs.push(one.seq),
    },
  );
  return Object.assign(got, { it });
}

test("begins with the list, goes on from its cursor and ends with the list", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => ({ entries: [entry(1, "9f1"), entry(2, "9f2")], pos: "9f2", more: true }),
    () => ({ entries: [entry(3, "9f3")], pos: "a00", more: false }),
    same,
  ]);
  await run.it.run();
  expect(run.it.live).toBe(true);
  await run.it.run();
  expect(run.asked).toEqual(["conversations", "sync 9f0", "sync 9f2", "conversations"]);
  expect(run.lists).toEqual(["untold", "told"]);
  expect(run.seqs).toEqual([1, 2, 3]);
  expect(run.it.cursor).toBe("a00");
});

test("what comes live between two pages counts only when the last page is there", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => {
      run.it.arrived("aff" as Pos);
      run.it.lost();
      return { entries: [entry(1, "9f1")], pos: "9f1", more: true };
    },
    () => ({ entries: [entry(1, "9f1")], pos: "9f1", more: false }),
    same,
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.it.cursor).toBe("9f0");
  await run.it.run();
  expect(run.asked).toEqual(["conversations", "sync 9f0", "sync 9f0", "conversations"]);
  expect(run.it.cursor).toBe("9f1");
});

test("and then it does count", async () => {
  const run = catchUp([
    () => {
      run.it.arrived("9f5" as Pos);
      return { conversations: [], pos: "9f0" };
    },
    () => ({ entries: [], pos: "9f7", more: false }),
    same,
  ]);
  await run.it.run();
  expect(run.it.cursor).toBe("9f5");
  run.it.arrived("9f6" as Pos);
  await run.it.run();
  expect(run.asked).toContain("sync 9f6");
});

test("between pages it goes on from the last entry, whatever stands beside it", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => ({ entries: [entry(1, "9f1"), { conv: "eng", kind: "pin", pos: "9f2" }], pos: "fff", more: true }),
    () => ({ entries: [], pos: "fff", more: false }),
    same,
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.asked).toContain("sync 9f2");
});

test("a reset replaces the list; a page that moves nothing ends it", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => ({ reset: true, conversations: [], pos: "b00" }),
    () => ({ entries: [], pos: "b00", more: true }),
    same,
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.lists).toEqual(["untold", "untold"]);
  await run.it.run();
  expect(run.it.cursor).toBe("b00");
});

test("a list in parts replaces only when it is whole, and counts from its first part", async () => {
  const run = catchUp([
    () => ({ conversations: [about("c")], pos: "9f0", more: true, before: "9a0" }),
    () => ({ conversations: [about("b")], pos: "9f4", more: true, before: "980" }),
    () => ({ conversations: [about("a")], pos: "9f8" }),
    () => ({ reset: true, conversations: [about("c")], pos: "b00", more: true, before: "9a0" }),
    () => {
      run.it.lost();
      return { conversations: [about("b")], pos: "b00" };
    },
    () => ({ entries: [], pos: "b00", more: false }),
    () => ({ conversations: [about("c")], pos: "b00", more: true, before: "9a0" }),
    () => ({ conversations: [], pos: "b00", more: true, before: "9a0" }),
  ]);
  await run.it.run();
  expect(run.lists).toEqual(["untold c b a"]);
  expect(run.it.cursor).toBe("9f0");
  await run.it.run();
  expect(run.lists.length).toBe(1);
  expect(run.it.cursor).toBe("9f0");
  await run.it.run();
  expect(run.lists).toEqual(["untold c b a", "told c"]);
  expect(run.asked).toEqual([
    "conversations", "conversations 9a0", "conversations 980", "sync 9f0", "conversations 9a0", "sync 9f0", "conversations", "conversations 9a0",
  ]);
});

test("cursors are ordered as numbers, not as text", async () => {
  const run = catchUp([() => ({ conversations: [], pos: "fff" })]);
  await run.it.run();
  run.it.arrived("1000" as Pos);
  expect(run.it.cursor).toBe("1000");
  run.it.arrived("ffe" as Pos);
  expect(run.it.cursor).toBe("1000");
});
