// The cursor: what it moves with, and what must not move it.
import { expect, test } from "vitest";
import { CatchUp } from "../src/chat/catch-up";
import type { Fields, Pos } from "../src/wire/contract";

const entry = (seq: number, pos: string): object => ({ conv: "eng", seq, pos, from: "bob", at: 1, text: "x" });

/** A catch-up whose questions are answered one by one, each when it is asked. */
function catchUp(answers: (() => Fields)[]): { it: CatchUp; asked: string[]; seqs: number[]; lists: number } {
  const got = { asked: [] as string[], seqs: [] as number[], lists: 0 };
  const it = new CatchUp(
    async (method, body) => {
      got.asked.push(`${method} ${String((body as { since?: string } | undefined)?.since ?? "")}`.trim());
      const answer = answers.shift();
      if (!answer) throw new Error(`not expected: ${method}`);
      return answer();
    },
    {
      listed: () => (got.lists += 1),
      entry: (_, one) => one.entry === "message" && got.seqs.push(one.seq),
    },
  );
  return Object.assign(got, { it });
}

test("begins with the list and goes on from its cursor", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => ({ entries: [entry(1, "9f1"), entry(2, "9f2")], pos: "9f2", more: true }),
    () => ({ entries: [entry(3, "9f3")], pos: "a00", more: false }),
  ]);
  await run.it.run();
  expect(run.it.live).toBe(true);
  await run.it.run();
  expect(run.asked).toEqual(["conversations", "sync 9f0", "sync 9f2"]);
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
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.it.cursor).toBe("9f0");
  await run.it.run();
  expect(run.asked).toEqual(["conversations", "sync 9f0", "sync 9f0"]);
  expect(run.it.cursor).toBe("9f1");
});

test("and then it does count", async () => {
  const run = catchUp([
    () => {
      run.it.arrived("9f5" as Pos);
      return { conversations: [], pos: "9f0" };
    },
    () => ({ entries: [], pos: "9f7", more: false }),
  ]);
  await run.it.run();
  expect(run.it.cursor).toBe("9f5");
  run.it.arrived("9f6" as Pos);
  await run.it.run();
  expect(run.asked.at(-1)).toBe("sync 9f6");
});

test("between pages it goes on from the last entry, whatever stands beside it", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => ({ entries: [entry(1, "9f1"), { conv: "eng", kind: "pin", pos: "9f2" }], pos: "fff", more: true }),
    () => ({ entries: [], pos: "fff", more: false }),
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.asked.at(-1)).toBe("sync 9f2");
});

test("a reset replaces the list; a page that moves nothing ends it", async () => {
  const run = catchUp([
    () => ({ conversations: [], pos: "9f0" }),
    () => ({ reset: true, conversations: [], pos: "b00" }),
    () => ({ entries: [], pos: "b00", more: true }),
  ]);
  await run.it.run();
  await run.it.run();
  expect(run.lists).toBe(2);
  await run.it.run();
  expect(run.it.cursor).toBe("b00");
});

test("cursors are ordered as numbers, not as text", async () => {
  const run = catchUp([() => ({ conversations: [], pos: "fff" })]);
  await run.it.run();
  run.it.arrived("1000" as Pos);
  expect(run.it.cursor).toBe("1000");
  run.it.arrived("ffe" as Pos);
  expect(run.it.cursor).toBe("1000");
});
