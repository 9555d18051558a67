// What the message list shows, top to bottom: days, messages grouped by author, comings and goings, the line above what is
// new, and what is on its way out. Pure: entries in, rows out.

import type { AccountName, Membership } from "../wire/contract";
import type { Conversation } from "./conversation";
import type { Outgoing } from "./outgoing";
import { tickOf, type Tick } from "./tick";

export interface Bubble {
  readonly row: "bubble";
  readonly key: string;
  readonly from: AccountName;
  readonly own: boolean;
  readonly text: string;
  readonly at: number;
  /** Null until the server has given it one. */
  readonly seq: number | null;
  /** Null on others' messages. */
  readonly tick: Tick | null;
  /** The outgoing message behind it, to try again or to discard. */
  readonly outgoing: Outgoing | null;
  /** The first and the last of a group by one author. */
  readonly first: boolean;
  readonly last: boolean;
}

export type Row =
  | { readonly row: "day"; readonly key: string; readonly at: number }
  | { readonly row: "new"; readonly key: string }
  | { readonly row: "member"; readonly key: string; readonly event: Membership }
  | Bubble;

/** Messages by one author further apart than this begin a new group. */
const GROUP_MS = 5 * 60 * 1000;

/** `newAfter`: the last message that had been read when the conversation was opened, or null for no line. */
export function rowsOf(
  conversation: Conversation,
  outgoing: readonly Outgoing[],
  me: AccountName,
  newAfter: number | null,
): Row[] {
  const rows: Row[] = [];
  let day = "";
  // Where the line belongs is known only when what stands right above it is loaded.
  const oldest = conversation.oldestSeq;
  let lineDrawn = newAfter === null || oldest === null || oldest > newAfter + 1;
  const push = (at: number, row: Row): void => {
    const itsDay = dayOf(at);
    if (itsDay !== day) {
      day = itsDay;
      rows.push({ row: "day", key: `day ${itsDay}`, at });
    }
    rows.push(row);
  };
  const standing = new Set<string>();
  for (const entry of conversation.entries) {
    if (entry.entry === "member") {
      push(entry.at, { row: "member", key: `pos ${entry.pos}`, event: entry });
      continue;
    }
    const own = entry.from === me;
    if (own && entry.mid) standing.add(entry.mid);
    if (!lineDrawn && !own && newAfter !== null && entry.seq > newAfter) {
      lineDrawn = true;
      push(entry.at, { row: "new", key: "new" });
    }
    const tick = own ? tickOf(conversation, me, entry.seq) : null;
    // The key stays when the echo takes the place of what was on its way out.
    const key = own && entry.mid ? `mid ${entry.mid}` : `seq ${entry.seq}`;
    const { from, text, at, seq } = entry;
    push(at, { row: "bubble", key, from, own, text, at, seq, tick, outgoing: null, first: true, last: true });
  }
  for (const one of outgoing) {
    if (standing.has(one.mid)) continue;
    const { text, at } = one;
    const key = `mid ${one.mid}`;
    push(at, {
      row: "bubble", key, from: me, own: true, text, at, seq: null, tick: outgoingTick(one), outgoing: one, first: true, last: true,
    });
  }
  return grouped(rows);
}

function outgoingTick({ state }: Outgoing): Tick {
  switch (state.is) {
    case "sending":
      return { is: "sending" };
    case "stored":
      return { is: "sent" };
    case "failed":
      return { is: "failed", error: state.error, detail: state.detail };
  }
}

function grouped(rows: Row[]): Row[] {
  return rows.map((row, index) => {
    if (row.row !== "bubble") return row;
    const first = !belongs(rows[index - 1], row);
    const last = !belongs(row, rows[index + 1]);
    return { ...row, first, last };
  });
}

function belongs(above: Row | undefined, below: Row | undefined): boolean {
  if (above?.row !== "bubble" || below?.row !== "bubble") return false;
  return above.from === below.from && below.at - above.at < GROUP_MS;
}

/** A day in the reader's time zone, as something to compare. */
export function dayOf(at: number): string {
  const date = new Date(at);
  return `${date.getFullYear()}-${date.getMonth() + 1}-${date.getDate()}`;
}
