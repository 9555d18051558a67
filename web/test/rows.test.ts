// What the list of messages shows: days, groups by author, the line above what is new.
import { expect, test } from "vitest";
import { Conversation } from "../src/chat/conversation";
import type { Outgoing } from "../src/chat/outgoing";
import { rowsOf } from "../src/chat/rows";
import { accountName, convOf, type Entry, type Mid, type Pos } from "../src/wire/contract";

const me = accountName("alice");
const at = (day: number, hour: number, minute = 0): number => new Date(2026, 10, day, hour, minute).getTime();

let pos = 0x9f0;
const said = (seq: number, from: string, when: number, mid: string | null = null): Entry => ({
  entry: "message", seq, pos: (++pos).toString(16) as Pos, from: accountName(from), at: when, mid: mid as Mid | null, text: `#${seq}`,
});
const waiting = (mid: string, when: number): Outgoing => ({
  entry: "outgoing", mid: mid as Mid, conv: convOf("eng"), text: mid, at: when, state: { is: "sending" },
});

function check(entries: Entry[], outgoing: Outgoing[], newAfter: number | null, expected: string[]): void {
  const conversation = new Conversation(convOf("eng"), me);
  conversation.applyNewest({ entries, more: false, next: null });
  const rows = rowsOf(conversation, outgoing, me, newAfter).map((row) => {
    if (row.row !== "bubble") return row.row;
    return `${row.first ? "[" : " "}${row.from} ${row.text}${row.last ? "]" : ""}`;
  });
  expect(rows).toEqual(expected);
}

test("a day before its first message, one author's messages together", () => {
  check(
    [said(1, "bob", at(23, 9)), said(2, "bob", at(23, 9, 1)), said(3, "alice", at(23, 9, 2)), said(4, "bob", at(24, 0, 1))],
    [], null, ["day", "[bob #1", " bob #2]", "[alice #3]", "day", "[bob #4]"],
  );
});

test("five minutes of silence begin a new group", () => {
  check([said(1, "bob", at(23, 9)), said(2, "bob", at(23, 9, 6))], [], null, ["day", "[bob #1]", "[bob #2]"]);
});

test("the line stands above the first unread message of somebody else", () => {
  check(
    [said(1, "bob", at(23, 9)), said(2, "alice", at(23, 9, 1)), said(3, "bob", at(23, 9, 2)), said(4, "bob", at(23, 9, 3))],
    [], 1, ["day", "[bob #1]", "[alice #2]", "new", "[bob #3", " bob #4]"],
  );
});

test("no line while its place is not loaded", () => {
  check([said(5, "bob", at(23, 9)), said(6, "bob", at(23, 9, 1))], [], 1, ["day", "[bob #5", " bob #6]"]);
  check([said(5, "bob", at(23, 9)), said(6, "bob", at(23, 9, 1))], [], 4, ["day", "new", "[bob #5", " bob #6]"]);
});

test("a coming or going parts a group", () => {
  const left: Entry = { entry: "member", pos: "9fff" as Pos, action: "leave", accounts: [accountName("carol")], from: accountName("carol"), at: at(23, 9, 1) };
  check([said(1, "bob", at(23, 9)), left, said(2, "bob", at(23, 9, 2))], [], null, ["day", "[bob #1]", "member", "[bob #2]"]);
});

test("what is on its way out stands last, and only as long as its echo has not come", () => {
  check([said(1, "alice", at(24, 9), "m1")], [waiting("m1", at(24, 9)), waiting("m2", at(24, 9, 1))], null, ["day", "[alice #1", " alice m2]"]);
});

test("the echo keeps the key of what was typed", () => {
  const conversation = new Conversation(convOf("eng"), me);
  conversation.applyNewest({ entries: [], more: false, next: null });
  const before = rowsOf(conversation, [waiting("m1", at(24, 9))], me, null).at(-1)?.key;
  conversation.apply(said(1, "alice", at(24, 9), "m1"));
  expect(rowsOf(conversation, [], me, null).at(-1)?.key).toBe(before);
});
