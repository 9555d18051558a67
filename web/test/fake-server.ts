// A server in memory that keeps the topic contract as far as this client uses it, for tests of the client's own logic. The
// browser tests run against the real one.

import type { PeoplePage, PeopleQuery } from "../src/chat/people";
import type { Caller, Closed, Dial, Hearer, Link, PublishOptions } from "../src/wire/link";

type Json = Record<string, unknown>;

interface Room {
  id: string;
  title: string | null;
  members: Map<string, { role: string; read: number; received: number }>;
  /** When whom was a member: after which message it came, and the entries with which it came and went. */
  stays: { account: string; since: string; from: number; until: string | null; seq: number }[];
  /** When a marker of whom moved last. */
  moved: Map<string, string>;
  history: "all" | "joined";
  deleted: boolean;
  entries: Json[];
  seq: number;
}

interface Session {
  caller: Caller;
  hearer: Hearer;
  dead: boolean;
}

const encoder = new TextEncoder();

export class FakeServer {
  readonly accounts = new Map<string, { display: string; token: string }>();
  readonly rooms = new Map<string, Room>();
  /** Groups that were deleted. */
  readonly #ended: Room[] = [];
  /** Topic and payload of every publish, by account. */
  readonly heard: { account: string; topic: string; payload: string }[] = [];
  /** Refuses every message with this code while it is set. */
  refusing: { error: string; detail: string } | null = null;
  /** Takes publishes without answering, as a dead connection does. */
  deaf = false;
  /** Loses the acknowledgement and echo of what it stores. */
  silent = false;
  /** How conversations are is not told on subscribing, as to those who ask too much. */
  untold = false;
  /** Called instead of a connection. */
  unreachable: (() => void) | null = null;
  /** `sync` beyond this many entries answers `reset`. */
  syncMax = 10_000;
  /** Conversations in one answer. */
  listMax = 10_000;
  /** Members in one answer. */
  membersMax = 10_000;
  /** Accounts in one page. */
  peopleMax = 10_000;
  /** Lists are long and without the newest messages. */
  headless = false;
  /** Letters of a head's text. */
  headMax = 1024;
  /** An older server, whose pages of history do not say `next` and are asked for by `seq` alone. */
  bySeqOnly = false;
  /** So many questions from here on are answered `unavailable`. */
  busy = 0;
  /** Answers to this method are worked out, and kept back until `release`. */
  holding: string | null = null;
  /** Connections that came to stand. */
  connections = 0;
  #held: (() => void)[] = [];
  readonly #sessions = new Set<Session>();
  readonly #mids = new Map<string, Json>();
  #pos = 0x9e0;

  account(name: string, display = name): void {
    this.accounts.set(name, { display, token: `mpt_${name}` });
  }

  group(slug: string, title: string, members: string[]): void {
    const room = newRoom(slug, title);
    this.rooms.set(slug, room);
    this.#join(room, members, members[0]!);
  }

  /** A page of the list of accounts; what words begin with is not looked for, only what names hold. */
  people({ search, after }: PeopleQuery): PeoplePage {
    const all = [...this.accounts]
      .map(([name, { display }]) => ({ name, display }))
      .filter(({ name, display }) => `${name} ${display}`.toLowerCase().includes(search.toLowerCase()) && name > (after ?? ""))
      .sort((a, b) => (a.name < b.name ? -1 : 1));
    const accounts = all.slice(0, this.peopleMax);
    return { accounts, next: all.length > accounts.length ? accounts.at(-1)!.name : null };
  }

  /** Connects at once, in a later turn as a network would. */
  readonly dial: Dial = (caller, _filters, hearer) => {
    const session: Session = { caller, hearer, dead: false };
    queueMicrotask(() => {
      if (session.dead) return;
      if (this.unreachable) {
        this.unreachable();
        return this.#close(session, { why: "lost" });
      }
      if (this.accounts.get(caller.account)?.token !== caller.token) return this.#close(session, { why: "refused", code: 0x86 });
      for (const other of [...this.#sessions]) {
        if (other.caller.account === caller.account && other.caller.device === caller.device) this.#close(other, { why: "taken" });
      }
      this.#sessions.add(session);
      this.connections += 1;
      hearer.opened();
      if (this.untold) return;
      for (const room of this.rooms.values()) this.#about(room, caller.account);
    });
    return this.#link(session);
  };

  /** Drops every connection of an account. */
  cut(account: string): void {
    for (const session of [...this.#sessions]) {
      if (session.caller.account === account) this.#close(session, { why: "lost" });
    }
  }

  /** Somebody writes, from any client. Returns the `seq`. */
  say(from: string, to: string, text: string, mid?: string): number {
    const room = this.#room(from, to)!;
    return this.#store(room, from, text, mid)["seq"] as number;
  }

  receipt(to: string, kind: "read" | "received", from: string, seq: number): void {
    const room = this.#room(from, to)!;
    const marker = room.members.get(from)!;
    marker[kind] = seq;
    room.moved.set(from, this.#next());
    for (const name of room.members.keys()) {
      if (name !== from) this.#tell(name, `im/in/${this.#name(room, name)}/event`, { kind, from: [from], seq });
    }
  }

  /** Somebody reads on another device. */
  read(account: string, conv: string, seq: number): void {
    const room = this.#room(account, conv)!;
    room.members.get(account)!.read = seq;
    room.moved.set(account, this.#next());
    this.#tell(account, `im/in/${this.#name(room, account)}/event`, { kind: "read", from: [account], seq });
  }

  invite(slug: string, ...accounts: string[]): void {
    this.#join(this.rooms.get(slug)!, accounts, accounts[0]!);
  }

  kick(slug: string, account: string): void {
    const room = this.rooms.get(slug)!;
    const entry: Json = { pos: this.#next(), kind: "member", action: "leave", accounts: [account], from: account, at: Date.now() };
    room.entries.push(entry);
    for (const name of room.members.keys()) this.#tell(name, `im/in/${slug}/event`, entry);
    this.#leave(room, account, entry["pos"] as string, {});
  }

  delete(slug: string): void {
    const room = this.rooms.get(slug)!;
    const pos = this.#next();
    room.deleted = true;
    room.entries = [];
    this.rooms.delete(slug);
    this.#ended.push(room);
    for (const name of [...room.members.keys()]) this.#leave(room, name, pos, { deleted: true });
  }

  /** So many comings and goings of somebody, which nobody is told live. */
  churn(slug: string, account: string, times: number): void {
    const entry = { kind: "member", accounts: [account], from: account, at: Date.now() };
    for (let n = 0; n < times; n += 1) {
      this.rooms.get(slug)!.entries.push({ ...entry, pos: this.#next(), action: n % 2 === 0 ? "join" : "leave" });
    }
  }

  /** Sends what was kept back. */
  release(): void {
    this.holding = null;
    for (const send of this.#held.splice(0)) send();
  }

  /** How a conversation is, as on every change. */
  about(account: string, conv: string): void {
    this.#about(this.#room(account, conv)!, account);
  }

  tell(account: string, topic: string, payload: Json | ""): void {
    this.#tell(account, topic, payload);
  }

  #link(session: Session): Link {
    const { account, device } = session.caller;
    return {
      publish: (topic, payload, _qos, options) => {
        if (session.dead || this.deaf) return;
        this.heard.push({ account, topic, payload });
        this.#published(account, device, topic, payload, options ?? {});
      },
      subscribe: () => undefined,
      unsubscribe: () => undefined,
      close: () => {
        session.dead = true;
        this.#sessions.delete(session);
      },
    };
  }

  #published(account: string, device: string, topic: string, payload: string, { responseTopic, settled }: PublishOptions): void {
    const [, table, name = "", below] = topic.split("/");
    if (table === "ask") {
      const answer = this.#answer(account, name, JSON.parse(payload) as Json);
      const send = (): void => this.#tell(account, responseTopic!, answer, device);
      if (this.holding === name) this.#held.push(send);
      else queueMicrotask(send);
    } else if (table === "to" && below === undefined) this.#message(account, name, JSON.parse(payload) as Json);
    else if (below === "read") this.read(account, name, (JSON.parse(payload) as { seq: number }).seq);
    else if (below === "typing") {
      const room = this.#room(account, name)!;
      for (const other of room.members.keys()) {
        if (other !== account) this.#tell(other, `im/in/${this.#name(room, other)}/typing`, { from: account });
      }
    }
    settled?.(null);
  }

  #message(account: string, conv: string, { mid, text }: Json): void {
    const known = this.#mids.get(`${account} ${conv} ${String(mid)}`);
    const room = this.#room(account, conv);
    const isReused = known !== undefined && known["text"] !== text;
    if (isReused) return this.#tell(account, `im/ack/${String(mid)}`, { ok: false, error: "mid_reused", detail: "it is another's" });
    if (this.refusing) return this.#tell(account, `im/ack/${String(mid)}`, { ok: false, ...this.refusing });
    if (!room) return this.#tell(account, `im/ack/${String(mid)}`, { ok: false, error: "no_such_account", detail: "" });
    const { seq, pos } = known ?? this.#store(room, account, String(text), String(mid));
    if (!this.silent) this.#tell(account, `im/ack/${String(mid)}`, { ok: true, conv, seq, pos });
  }

  #store(room: Room, from: string, text: string, mid?: string): Json {
    room.seq += 1;
    const entry: Json = { kind: "message", seq: room.seq, pos: this.#next(), from, at: Date.now(), text, ...(mid && { mid }) };
    room.entries.push(entry);
    if (mid) this.#mids.set(`${from} ${this.#name(room, from)} ${mid}`, entry);
    room.members.get(from)!.read = room.seq;
    if (this.silent) return entry;
    for (const name of room.members.keys()) this.#tell(name, `im/in/${this.#name(room, name)}`, entry);
    return entry;
  }

  #join(room: Room, accounts: string[], from: string): void {
    const pos = this.#next();
    for (const account of accounts) {
      room.members.set(account, { role: room.members.size === 0 ? "owner" : "member", read: room.seq, received: room.seq });
      room.stays.push({ account, since: pos, from: room.seq, until: null, seq: 0 });
      room.moved.set(account, pos);
      this.#tell(account, "im/me/event", { kind: "conversation", conv: room.id });
    }
    const entry: Json = { pos, kind: "member", action: "join", accounts, from, at: Date.now() };
    room.entries.push(entry);
    for (const name of room.members.keys()) this.#tell(name, `im/in/${room.id}/event`, entry);
  }

  #leave(room: Room, account: string, until: string, more: Json): void {
    room.members.delete(account);
    Object.assign(room.stays.findLast((stay) => stay.account === account)!, { until, seq: room.seq });
    this.#tell(account, "im/me/event", { kind: "left", conv: room.id, ...more });
    this.#tell(account, `im/about/${room.id}`, "");
  }

  #answer(account: string, method: string, body: Json): Json {
    const conv = String(body["conv"] ?? "");
    if (this.busy > 0) {
      this.busy -= 1;
      return { error: "unavailable", detail: "ask again in a moment" };
    }
    switch (method) {
      case "conversations":
        return this.#list(account, body["before"]);
      case "history":
        return this.#history(account, conv, body);
      case "members": {
        const room = this.#room(account, conv);
        if (!room) return { error: "no_such_conversation", detail: "" };
        const all = [...room.members].sort().filter(([name]) => name > String(body["after"] ?? ""));
        const page = all.slice(0, this.membersMax);
        const members = page.map(([name, marker]) => ({ account: name, display: this.accounts.get(name)!.display, ...marker }));
        const more = page.length < all.length;
        return { members, more, ...(more && { next: page.at(-1)![0] }) };
      }
      case "sync":
        return this.#sync(account, String(body["since"]), Number(body["limit"]), body["states"] === true);
      case "profile.get": {
        const known = this.accounts.get(String(body["account"]));
        return known ? { account: body["account"], display: known.display, text: "" } : { error: "no_such_account", detail: "" };
      }
      case "group.create":
        if (this.rooms.has(String(body["slug"]))) return { error: "exists", detail: "" };
        this.group(String(body["slug"]), String(body["title"]), [account, ...(body["accounts"] as string[])]);
        return { conv: body["slug"] };
      case "group.invite":
        this.#join(this.rooms.get(conv)!, body["accounts"] as string[], account);
        return {};
      case "group.leave":
        this.kick(conv, account);
        return {};
      case "group.delete":
        if (body["slug"] !== conv) return { error: "payload_format", detail: "" };
        this.delete(conv);
        return { conv };
      default:
        return { error: "not_supported", detail: method };
    }
  }

  #history(account: string, conv: string, body: Json): Json {
    const { limit } = body;
    const before = body["before"] ?? body["before_seq"];
    const after = body["after"] ?? body["after_seq"];
    const room = this.#room(account, conv, false);
    if (!room) return { error: "no_such_conversation", detail: "there is no such conversation" };
    if (!room.members.has(account)) return { error: "not_a_member", detail: "" };
    const at = (where: unknown): number =>
      typeof where === "string" ? index(where) : index(room.entries.find((entry) => entry["seq"] === where)?.["pos"] ?? "fffff");
    if (this.bySeqOnly && [before, after].some((where) => typeof where === "string")) return { error: "payload_format", detail: "" };
    let entries = room.history === "all" ? room.entries : room.entries.filter((entry) => isSeen(room, account, entry));
    if (before !== undefined) entries = entries.filter((entry) => index(entry["pos"]) < at(before));
    if (after !== undefined) entries = entries.filter((entry) => after === 0 || index(entry["pos"]) > at(after));
    const page = after !== undefined ? entries.slice(0, Number(limit)) : entries.slice(-Number(limit));
    const more = page.length < entries.length;
    const next = page.at(after !== undefined ? -1 : 0)?.["pos"];
    return { conv, entries: page, more, ...(!this.bySeqOnly && { next }) };
  }

  #sync(account: string, since: string, limit: number, wantsState: boolean): Json {
    // A `pos` is no cursor.
    const seen = /^[0-9a-f]+-$/.test(since) ? index(since) : null;
    const rooms = [...this.#ended, ...this.rooms.values()].filter(({ stays }) => stays.some((stay) => stay.account === account));
    const all = rooms
      .flatMap((room) => {
        const conv = this.#name(room, account);
        const entries = room.entries.filter((entry) => isSeen(room, account, entry)).map((entry) => ({ conv, ...entry }) as Json);
        const until = room.stays.findLast((stay) => stay.account === account)!.until;
        return until === null ? entries : [...entries, { conv, kind: "left", pos: until, ...(room.deleted && { deleted: true }) }];
      })
      .filter((entry) => index(entry["pos"]) > (seen ?? 0))
      .sort((a, b) => index(a["pos"]) - index(b["pos"]));
    if (seen === null || all.length > this.syncMax) return { reset: true, ...this.#list(account) };
    const page = all.slice(0, limit);
    const more = page.length < all.length;
    const upto = more ? index(page.at(-1)!["pos"]) : this.#pos;
    const isNew = (pos: string | undefined): boolean => pos !== undefined && index(pos) > seen && index(pos) <= upto;
    const gaps = rooms.flatMap((room) => gapsOf(room, account, isNew).map((gap) => ({ conv: this.#name(room, account), ...gap })));
    const states = rooms
      .filter((room) => room.members.has(account))
      .map((room) => ({ room, ...this.#aboutOf(room, account) }) as { room: Room } & Json)
      .filter(({ room, peer }) => isNew(room.moved.get(account)) || isNew(room.moved.get(String((peer as Json | undefined)?.["account"]))))
      .map(({ conv, read, unread_count, member_count, peer }) => ({ conv, read, unread_count, member_count, ...(peer !== undefined && { peer }) }));
    return { entries: page, ...(gaps.length > 0 && { gaps }), ...(wantsState && { states }), cursor: `${upto.toString(16)}-`, more };
  }

  #list(account: string, before?: unknown): Json {
    const lastOf = (room: Room): unknown => room.entries.at(-1)?.["pos"] ?? "1";
    const rooms = [...this.rooms.values()]
      .filter((room) => room.members.has(account) && (before === undefined || index(lastOf(room)) < index(before)))
      .sort((a, b) => index(lastOf(b)) - index(lastOf(a)));
    const page = rooms.slice(0, this.listMax);
    const more = page.length < rooms.length;
    const rest = { more, ...(more && { next: lastOf(page.at(-1)!) }) };
    return { conversations: page.map((room) => this.#aboutOf(room, account)), cursor: `${this.#now()}-`, ...rest };
  }

  #aboutOf(room: Room, account: string): Json {
    const conv = this.#name(room, account);
    const own = room.members.get(account)!;
    const peer = conv.startsWith("@") ? conv.slice(1) : null;
    return {
      conv,
      kind: peer ? "direct" : "group",
      title: room.title ?? this.accounts.get(peer!)!.display,
      last: { seq: room.seq, pos: room.entries.at(-1)?.["pos"] ?? "0", at: room.entries.at(-1)?.["at"] ?? 0 },
      head: this.headless ? null : this.#head(room),
      read: own.read,
      unread_count: room.seq - own.read,
      member_count: room.members.size,
      ...(!peer && { open: false, history: room.history }),
      ...(peer && { peer: { account: peer, display: this.accounts.get(peer)!.display, ...room.members.get(peer) } }),
    };
  }

  #head(room: Room): Json | null {
    const head = room.entries.findLast((entry) => "seq" in entry);
    const text = String(head?.["text"]);
    return head && text.length > this.headMax ? { ...head, text: text.slice(0, this.headMax), cut: true } : (head ?? null);
  }

  #about(room: Room, account: string): void {
    if (room.members.has(account)) this.#tell(account, `im/about/${this.#name(room, account)}`, this.#aboutOf(room, account));
  }

  /** The room of a conversation as `account` names it; a direct chat begins here, unless it is only looked for. */
  #room(account: string, conv: string, begin = true): Room | null {
    if (!conv.startsWith("@")) return this.rooms.get(conv) ?? null;
    const peer = conv.slice(1);
    if (!this.accounts.has(peer)) return null;
    const id = [account, peer].sort().join("+");
    let room = this.rooms.get(id) ?? null;
    if (!room && begin) {
      room = newRoom(id, null);
      for (const name of [account, peer]) {
        room.members.set(name, { role: "member", read: 0, received: 0 });
        room.stays.push({ account: name, since: this.#now(), from: 0, until: null, seq: 0 });
      }
      this.rooms.set(id, room);
      for (const name of [account, peer]) this.#tell(name, "im/me/event", { kind: "conversation", conv: this.#name(room, name) });
    }
    return room;
  }

  #name(room: Room, account: string): string {
    if (room.title !== null) return room.id;
    const names = [...room.members.keys()];
    return `@${names.find((name) => name !== account) ?? account}`;
  }

  #tell(account: string, topic: string, payload: Json | "", device?: string): void {
    for (const { caller, hearer } of [...this.#sessions]) {
      if (caller.account !== account || (device !== undefined && caller.device !== device)) continue;
      hearer.arrived(topic, encoder.encode(payload === "" ? "" : JSON.stringify(payload)));
    }
  }

  #close(session: Session, closed: Closed): void {
    this.#sessions.delete(session);
    if (!session.dead) session.hearer.closed(closed);
    session.dead = true;
  }

  #next(): string {
    this.#pos += 1;
    return this.#now();
  }

  #now(): string {
    return this.#pos.toString(16);
  }
}

function newRoom(id: string, title: string | null): Room {
  return { id, title, members: new Map(), stays: [], moved: new Map(), history: "all", deleted: false, entries: [], seq: 0 };
}

/** Whether somebody was a member when it came. */
function isSeen(room: Room, account: string, { pos }: Json): boolean {
  return room.stays.some(
    (stay) => stay.account === account && index(pos) >= index(stay.since) && (stay.until === null || index(pos) <= index(stay.until)),
  );
}

function gapsOf(room: Room, account: string, isNew: (pos: string) => boolean): Json[] {
  const stays = room.stays.filter((stay) => stay.account === account);
  return stays.flatMap((stay, at) => {
    const after = stays[at - 1]?.seq ?? 0;
    return isNew(stay.since) && stay.from > after ? [{ after_seq: after, before_seq: stay.from + 1 }] : [];
  });
}

const index = (pos: unknown): number => Number.parseInt(String(pos), 16) || 0;
