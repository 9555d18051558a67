// The topic contract as this client sees it: ids, topics, and what is read out of payloads. It trusts nothing it reads:
// what does not have the right shape is null, never an exception. It holds no state.

/** An account's name, as in `from`. */
export type AccountName = string & { readonly brand: "AccountName" };
/** A conversation as this account addresses it: `@bob` or a group's slug. */
export type Conv = string & { readonly brand: "Conv" };
/** The client's own id of a message. */
export type Mid = string & { readonly brand: "Mid" };
/** Where an entry stands: lower-case hexadecimal that grows from entry to entry of a conversation. */
export type Pos = string & { readonly brand: "Pos" };
/** Up to where this client knows everything: an opaque word out of a list or a `sync`, and of nothing else. */
export type Cursor = string & { readonly brand: "Cursor" };

export const accountName = (text: string): AccountName => text as AccountName;
export const convOf = (text: string): Conv => text as Conv;
export const directWith = (account: AccountName): Conv => `@${account}` as Conv;

/** The account on the other side of a direct chat, or null for a group. */
export function peerOf(conv: Conv): AccountName | null {
  return conv.startsWith("@") ? accountName(conv.slice(1)) : null;
}

/** What names of accounts and slugs of groups look like. */
const NAME = /^[a-z0-9][a-z0-9._-]{0,63}$/;

export const isName = (text: string): boolean => NAME.test(text);

export function isConv(text: string): text is Conv {
  return isName(text.startsWith("@") ? text.slice(1) : text);
}

/** Orders positions in a conversation: below zero when `a` is the older one. */
export function comparePos(a: Pos, b: Pos): number {
  return a.length - b.length || (a < b ? -1 : a > b ? 1 : 0);
}

/** The newer of two positions in a conversation. */
export function newerPos(a: Pos | null, b: Pos | null): Pos | null {
  if (a === null || b === null) return a ?? b;
  return comparePos(a, b) < 0 ? b : a;
}

export interface Message {
  readonly entry: "message";
  readonly seq: number;
  readonly pos: Pos;
  readonly from: AccountName;
  /** Milliseconds since 1970. */
  readonly at: number;
  readonly mid: Mid | null;
  readonly text: string;
}

/** The newest message, for a line in a list. It never stands for the message: a long text is cut. */
export interface Head {
  readonly seq: number;
  readonly from: AccountName;
  readonly at: number;
  readonly text: string;
  readonly cut?: boolean;
}

/** Members came into a group or left it: one event names all whom one command concerned. */
export interface Membership {
  readonly entry: "member";
  readonly pos: Pos;
  readonly action: "join" | "leave";
  /** At least one. */
  readonly accounts: readonly AccountName[];
  /** Who did it; the account itself when it came or left on its own. */
  readonly from: AccountName;
  readonly at: number;
}

/** What stands in a conversation, in the order of `pos`. */
export type Entry = Message | Membership;

/** It is told live and has no place among the entries. */
export interface Receipt {
  readonly entry: "receipt";
  readonly kind: "read" | "received";
  /** Everybody who has come to the message. */
  readonly from: readonly AccountName[];
  readonly seq: number;
}

export interface Peer {
  readonly name: AccountName;
  readonly display: string;
  readonly read: number;
  readonly received: number;
}

/** The newest entry of a conversation: where and when it stands, and the number of the newest message then. */
export interface Last {
  readonly seq: number;
  readonly pos: Pos;
  /** Milliseconds since 1970. */
  readonly at: number;
}

export interface Group {
  /** Whether anybody joins and every member invites. */
  readonly open: boolean;
  /** What whoever joins may read: all that was said, or what is said while one is a member. */
  readonly history: "all" | "joined";
}

/** One conversation in `ask conversations` and `im/about`. */
export interface About {
  readonly conv: Conv;
  readonly kind: "direct" | "group";
  readonly title: string;
  readonly last: Last | null;
  /** The newest message, where the list had room for it. */
  readonly head: Head | null;
  readonly read: number;
  readonly unread: number;
  readonly members: number;
  readonly peer: Peer | null;
  /** Null for a direct chat. */
  readonly group: Group | null;
}

/** What has changed in a conversation without an entry, in `sync`. */
export type State = Pick<About, "conv" | "read" | "unread" | "members" | "peer">;

/** A conversation that was left, in `sync`, or a group that was deleted. */
export interface Departure {
  readonly entry: "left";
  readonly pos: Pos;
  readonly deleted: boolean;
}

/** Messages between these two are not in `sync`: they were sent while one was no member. */
export interface Gap {
  readonly conv: Conv;
  readonly after: number;
  readonly before: number;
}

export interface Member {
  readonly name: AccountName;
  readonly display: string;
  readonly role: string;
  readonly read: number;
  readonly received: number;
}

export interface Ack {
  readonly ok: boolean;
  readonly seq: number | null;
  readonly error: string;
  readonly detail: string;
}

export type PresenceState = "online" | "away" | "busy" | "offline";

export interface Presence {
  readonly state: PresenceState;
  readonly text: string;
  readonly since: number | null;
}

export type Fields = Readonly<Record<string, unknown>>;

const decoder = new TextDecoder();

/** A payload's JSON object, or null. */
export function fieldsOf(payload: Uint8Array): Fields | null {
  try {
    return objectOf(JSON.parse(decoder.decode(payload)));
  } catch {
    return null;
  }
}

export function objectOf(value: unknown): Fields | null {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : null;
}

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
const countOf = (value: unknown): number => (Number.isSafeInteger(value) && (value as number) > 0 ? (value as number) : 0);
const listOf = (value: unknown): readonly unknown[] => (Array.isArray(value) ? value : []);
const present = <T>(value: T | null): value is T => value !== null;

export const posOf = (value: unknown): Pos | null =>
  typeof value === "string" && /^[0-9a-f]{1,32}$/.test(value) ? (value as Pos) : null;

export const cursorOf = (value: unknown): Cursor | null => (textOf(value) || null) as Cursor | null;

/** A message or a change of membership; null for kinds that this client does not know or does not show. */
export function entryOf(value: unknown): Entry | null {
  const fields = objectOf(value);
  return fields && (messageOf(fields) ?? membershipOf(fields));
}

export function messageOf(value: unknown): Message | null {
  const fields = objectOf(value);
  const pos = posOf(fields?.["pos"]);
  const seq = countOf(fields?.["seq"]);
  if (fields?.["kind"] !== "message" || !pos || !seq || !textOf(fields["from"])) return null;
  return {
    entry: "message",
    seq,
    pos,
    from: accountName(textOf(fields["from"])),
    at: countOf(fields["at"]),
    mid: (textOf(fields["mid"]) || null) as Mid | null,
    text: textOf(fields["text"]),
  };
}

function membershipOf(fields: Fields): Membership | null {
  const pos = posOf(fields["pos"]);
  const { kind, action } = fields;
  if (!pos || kind !== "member" || (action !== "join" && action !== "leave")) return null;
  const accounts = listOf(fields["accounts"]).map(textOf).filter(Boolean).map(accountName);
  const [first] = accounts;
  if (first === undefined) return null;
  return {
    entry: "member",
    pos,
    action,
    accounts,
    from: accountName(textOf(fields["from"]) || first),
    at: countOf(fields["at"]),
  };
}

/** What comes on `im/in/<conv>/event`. */
export function eventOf(fields: Fields): Membership | Receipt | null {
  const kind = fields["kind"];
  if (kind !== "read" && kind !== "received") return membershipOf(fields);
  const seq = countOf(fields["seq"]);
  const from = listOf(fields["from"]).map(textOf).filter(Boolean).map(accountName);
  return seq && from.length > 0 ? { entry: "receipt", kind, from, seq } : null;
}

export function aboutOf(value: unknown): About | null {
  const fields = objectOf(value);
  const state = stateOf(fields);
  if (!fields || !state) return null;
  const isGroup = fields["kind"] === "group";
  return {
    ...state,
    kind: isGroup ? "group" : "direct",
    title: textOf(fields["title"]) || state.conv,
    last: lastOf(fields["last"]),
    head: headOf(fields["head"]),
    group: isGroup ? { open: fields["open"] === true, history: fields["history"] === "joined" ? "joined" : "all" } : null,
  };
}

function stateOf(value: unknown): State | null {
  const fields = objectOf(value);
  const conv = textOf(fields?.["conv"]);
  if (!fields || !isConv(conv)) return null;
  const peer = objectOf(fields["peer"]);
  return {
    conv,
    read: countOf(fields["read"]),
    unread: countOf(fields["unread_count"]),
    members: countOf(fields["member_count"]),
    peer: peer && {
      name: accountName(textOf(peer["account"])),
      display: textOf(peer["display"]) || textOf(peer["account"]),
      read: countOf(peer["read"]),
      received: countOf(peer["received"]),
    },
  };
}

function lastOf(value: unknown): Last | null {
  const fields = objectOf(value);
  const pos = posOf(fields?.["pos"]);
  return fields && pos && { seq: countOf(fields["seq"]), pos, at: countOf(fields["at"]) };
}

function headOf(value: unknown): Head | null {
  const message = messageOf(value);
  if (!message) return null;
  const { seq, from, at, text } = message;
  return { seq, from, at, text, cut: objectOf(value)?.["cut"] === true };
}

export const aboutsOf = (value: unknown): About[] => listOf(value).map(aboutOf).filter(present);

export const entriesOf = (value: unknown): Entry[] => listOf(value).map(entryOf).filter(present);

/** Entries of `sync`, each with the conversation it stands in. */
export function syncedOf(value: unknown): { conv: Conv; entry: Entry | Departure }[] {
  return listOf(value).flatMap((one) => {
    const conv = textOf(objectOf(one)?.["conv"]);
    const entry = entryOf(one) ?? departureOf(one);
    return entry && isConv(conv) ? [{ conv, entry }] : [];
  });
}

function departureOf(value: unknown): Departure | null {
  const fields = objectOf(value);
  const pos = posOf(fields?.["pos"]);
  if (fields?.["kind"] !== "left" || !pos) return null;
  return { entry: "left", pos, deleted: fields["deleted"] === true };
}

export function gapsOf(value: unknown): Gap[] {
  return listOf(value).flatMap((one) => {
    const fields = objectOf(one);
    const conv = textOf(fields?.["conv"]);
    return fields && isConv(conv) ? [{ conv, after: countOf(fields["after_seq"]), before: countOf(fields["before_seq"]) }] : [];
  });
}

export const statesOf = (value: unknown): State[] => listOf(value).map(stateOf).filter(present);

export function membersOf(value: unknown): Member[] {
  return listOf(value).flatMap((one) => {
    const fields = objectOf(one);
    const name = textOf(fields?.["account"]);
    if (!fields || !name) return [];
    return [
      {
        name: accountName(name),
        display: textOf(fields["display"]) || name,
        role: textOf(fields["role"]) || "member",
        read: countOf(fields["read"]),
        received: countOf(fields["received"]),
      },
    ];
  });
}

export function ackOf(fields: Fields): Ack {
  return {
    ok: fields["ok"] === true,
    seq: countOf(fields["seq"]) || null,
    error: textOf(fields["error"]),
    detail: textOf(fields["detail"]),
  };
}

export function presenceOf(fields: Fields): Presence {
  const state = fields["state"];
  return {
    state: state === "online" || state === "away" || state === "busy" ? state : "offline",
    text: textOf(fields["text"]),
    since: countOf(fields["since"]) || null,
  };
}
