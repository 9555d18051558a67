// One conversation as this tab knows it: a gapless stretch of its newest entries, markers, typing. It applies what arrives
// and says what is missing; it asks nobody.

import {
  comparePos,
  newerPos,
  peerOf,
  type About,
  type AccountName,
  type Conv,
  type Departure,
  type Entry,
  type Gap,
  type Group,
  type Head,
  type Member,
  type Message,
  type Pos,
  type Receipt,
  type State,
} from "../wire/contract";
import { Changes } from "../changes";

/** How far a member has come. */
export interface Marker {
  readonly read: number;
  readonly received: number;
}

/** What an arriving entry did. */
export type Applied =
  | "new"
  /** Known already. */
  | "old"
  /** Messages before it are missing: ask for what comes after `upTo`. */
  | "gap";

/** A page of history. */
export interface Page {
  readonly entries: readonly Entry[];
  /** Whether there is more in the direction that was asked for. */
  readonly more: boolean;
  /** Where to go on, if the server says. */
  readonly next: Pos | null;
}

/** The stretch of entries that is loaded. */
interface Stretch {
  /** In the order of `pos`; between the first and the last no message is missing. */
  entries: Entry[];
  /** Every message up to this one, counted from the first entry, is there. */
  upTo: number;
  /** Nothing comes before the first entry. */
  fromStart: boolean;
  /** Where the server said that the page above begins. */
  above: Pos | null;
}

/** Typing lapses after this long, says the contract. */
export const TYPING_MS = 6000;
/** Entries kept ahead of a gap or of the newest page; what is beyond is asked for. */
const AHEAD_MAX = 500;

export class Conversation {
  readonly changes = new Changes();
  /** Whether it belongs in the list: a direct chat exists only from its first message on. */
  listed = false;
  /** Whether the server has said how it is; before, it is known by its entries alone. */
  described = false;
  title: string;
  kind: "direct" | "group";
  /** What a group's members may do; null for a direct chat, and before it is described. */
  group: Group | null = null;
  members = 0;
  /** Whether this account is in it. */
  joined = true;
  /** Whether it is gone, with what was said in it. */
  deleted = false;
  head: Head | null = null;
  /** The newest message that is known to exist. */
  last = 0;
  /** How far this account has read. */
  read = 0;
  /** When it last moved in the list. */
  movedAt = 0;
  /** Who belongs to the group, once asked. */
  memberList: readonly Member[] | null = null;
  readonly markers = new Map<AccountName, Marker>();
  #stretch: Stretch | null = null;
  /** Counts stretches that were thrown away: what was asked for before belongs to none of those that follow. */
  #thrownAway = 0;
  /** The newest entry that is known to exist. */
  #newest: Pos | null = null;
  /** The first and the newest message that have come, other than as a head. */
  #firstCome = 0;
  #newestCome = 0;
  #ahead: Message[] = [];
  /** While the newest page is on its way: the newest message known before, and what has overtaken the page. */
  #expected: { readonly lastThen: number; readonly early: Entry[] } | null = null;
  readonly #typing = new Map<AccountName, ReturnType<typeof setTimeout>>();

  constructor(
    readonly id: Conv,
    private readonly me: AccountName,
  ) {
    this.title = peerOf(id) ?? id;
    this.kind = peerOf(id) === null ? "group" : "direct";
  }

  get entries(): readonly Entry[] {
    return this.#stretch?.entries ?? [];
  }

  get thrownAway(): number {
    return this.#thrownAway;
  }

  get loaded(): boolean {
    return this.#stretch !== null;
  }

  get fromStart(): boolean {
    return this.#stretch?.fromStart ?? false;
  }

  get upTo(): number {
    return this.#stretch?.upTo ?? 0;
  }

  get unread(): number {
    // How far one had read before is not known until it is described.
    const before = this.described ? 0 : this.#firstCome > 0 ? this.#firstCome - 1 : this.last;
    return this.joined ? Math.max(0, this.last - Math.max(this.read, before)) : 0;
  }

  get peer(): AccountName | null {
    return peerOf(this.id);
  }

  get typing(): AccountName[] {
    return [...this.#typing.keys()];
  }

  /** The oldest message of the stretch. */
  get oldestSeq(): number | null {
    const oldest = this.entries.find((entry) => entry.entry === "message");
    return oldest?.entry === "message" ? oldest.seq : null;
  }

  /** Before which older history is asked for. */
  get before(): Pos | number {
    return this.#stretch?.above ?? this.oldestSeq ?? this.last + 1;
  }

  applyAbout(about: About): void {
    this.listed = true;
    this.described = true;
    this.joined = true;
    this.deleted = false;
    this.title = about.title;
    this.kind = about.kind;
    this.group = about.group;
    if (about.last) {
      this.last = Math.max(this.last, about.last.seq);
      this.#noteEntry(about.last);
    }
    if (about.head) this.#noteHead(about.head);
    this.applyState(about);
  }

  /** What can change without an entry. */
  applyState({ read, unread, members, peer }: Omit<State, "conv">): void {
    this.members = members;
    this.read = Math.max(this.read, read);
    this.last = Math.max(this.last, read + unread);
    if (peer) this.#mark(peer.name, peer);
    this.changes.tell();
  }

  /** All of its members, not a page of them. */
  applyMembers(members: readonly Member[]): void {
    this.memberList = members;
    this.members = members.length;
    for (const member of members) this.#mark(member.name, member);
    this.changes.tell();
  }

  applyReceipt(receipt: Receipt): void {
    const { from, seq, kind } = receipt;
    for (const account of from) {
      // What is read has been received.
      if (account !== this.me) this.#mark(account, { read: kind === "read" ? seq : 0, received: seq });
      else if (kind === "read") this.read = Math.max(this.read, seq);
    }
    this.changes.tell();
  }

  /** An entry from the inbox or from `sync`. */
  apply(entry: Entry): Applied {
    // From before one left: it was still on its way.
    if (!this.joined && this.#isKnownUpTo(entry.pos)) return "old";
    const early = this.#expected?.early;
    if (early && !this.#stretch && early.length < AHEAD_MAX) early.push(entry);
    const applied = this.#place(entry);
    if (entry.entry === "member" && entry.action === "join" && entry.accounts.includes(this.me)) this.#come(applied);
    this.#noteEntry(entry);
    this.changes.tell();
    return applied;
  }

  /** Messages were sent while one was not in it: true when the stretch ended before them, and was thrown away. */
  applyGap({ before }: Omit<Gap, "conv">): boolean {
    this.last = Math.max(this.last, before - 1);
    const stretch = this.#stretch;
    const isHole = stretch !== null && stretch.upTo < before - 1;
    if (isHole) this.unload();
    else this.changes.tell();
    return isHole;
  }

  /** `sync` says that it was left. False when one has come back since. */
  applyDeparture({ pos, deleted }: Departure): boolean {
    const hasComeBack = this.joined && this.#newest !== null && comparePos(pos, this.#newest) < 0;
    if (!hasComeBack) this.leave(deleted ? "deleted" : "left");
    // Another group has the name now.
    else if (deleted) this.#forget();
    this.#newest = newerPos(this.#newest, pos);
    return !hasComeBack;
  }

  /** This account is in it from this entry on. */
  #come(applied: Applied): void {
    if (applied === "old" && this.joined) return;
    this.joined = true;
    this.deleted = false;
    this.listed = true;
    // What happened between leaving and coming back is not told.
    if (this.#stretch && applied !== "old") this.unload();
  }

  /** The newest page is being asked for: what comes in before it belongs behind it. */
  expectNewest(): void {
    this.#expected = { lastThen: this.last, early: [] };
  }

  applyNewest(page: Page): void {
    const { lastThen, early } = this.#expected ?? { lastThen: 0, early: [] };
    this.#expected = null;
    const upTo = newestSeq(page.entries) || lastThen;
    this.#stretch = { entries: [...page.entries], upTo, fromStart: !page.more, above: page.next };
    for (const entry of early) this.#place(entry);
    this.#noted(page);
  }

  /** What comes before the loaded stretch. True when it brought messages. */
  applyOlder(page: Page): boolean {
    const stretch = this.#stretch;
    if (!stretch) return false;
    const first = stretch.entries[0];
    const older = first ? page.entries.filter((entry) => comparePos(entry.pos, first.pos) < 0) : page.entries;
    stretch.entries = [...older, ...stretch.entries];
    stretch.fromStart = !page.more;
    stretch.above = page.next;
    this.changes.tell();
    return newestSeq(older) > 0;
  }

  /** What comes after `upTo` or after the page before, to close a gap: it leaves out only what this account cannot read.
   * `lastThen`: the newest message known when it was asked for. */
  applyNewer(page: Page, lastThen: number): void {
    const stretch = this.#stretch;
    if (!stretch) return;
    for (const entry of page.entries) {
      if (entry.entry === "message") stretch.upTo = Math.max(stretch.upTo, entry.seq - 1);
      this.#place(entry);
    }
    if (!page.more) stretch.upTo = Math.max(stretch.upTo, lastThen);
    this.#noted(page);
  }

  /** This account is no longer in it. What is called so later may be another group, whose numbers begin anew. */
  leave(why: "left" | "deleted"): void {
    this.joined = false;
    this.listed = false;
    this.deleted = why === "deleted";
    this.#forget();
  }

  #forget(): void {
    this.described = false;
    this.memberList = null;
    this.head = null;
    this.last = 0;
    this.read = 0;
    this.#firstCome = 0;
    this.#newestCome = 0;
    this.markers.clear();
    this.unload();
  }

  /** Throws the stretch away: too much has happened meanwhile. */
  unload(): void {
    this.#stretch = null;
    this.#ahead = [];
    this.#expected = null;
    this.#thrownAway += 1;
    this.changes.tell();
  }

  /** Whether messages are known to exist behind the stretch. */
  get lacksNewer(): boolean {
    return this.#stretch !== null && this.#stretch.upTo < this.last;
  }

  markRead(seq: number): boolean {
    if (seq <= this.read) return false;
    this.read = seq;
    this.changes.tell();
    return true;
  }

  setTyping(account: AccountName): void {
    if (account === this.me) return;
    clearTimeout(this.#typing.get(account));
    this.#typing.set(
      account,
      setTimeout(() => this.#stopTyping(account), TYPING_MS),
    );
    this.changes.tell();
  }

  #stopTyping(account: AccountName): void {
    clearTimeout(this.#typing.get(account));
    if (this.#typing.delete(account)) this.changes.tell();
  }

  #place(entry: Entry): Applied {
    return entry.entry === "message" ? this.#applyMessage(entry) : this.#insert(entry);
  }

  #applyMessage(message: Message): Applied {
    this.listed = true;
    this.#noteHead(message);
    this.#firstCome ||= message.seq;
    if (message.seq > this.#newestCome) {
      this.#newestCome = message.seq;
      this.#stopTyping(message.from);
    }
    if (message.from === this.me) this.read = Math.max(this.read, message.seq);
    // Whoever writes has read what stands above, says the server too.
    this.#mark(message.from, { read: message.seq, received: message.seq });
    const stretch = this.#stretch;
    if (!stretch) return "new";
    if (message.seq <= stretch.upTo) return "old";
    if (message.seq === stretch.upTo + 1) {
      this.#insert(message);
      stretch.upTo = message.seq;
      return this.#drainAhead();
    }
    if (this.#ahead.length < AHEAD_MAX) this.#ahead.push(message);
    return "gap";
  }

  #drainAhead(): Applied {
    const stretch = this.#stretch;
    if (!stretch || this.#ahead.length === 0) return "new";
    this.#ahead.sort((a, b) => a.seq - b.seq);
    for (const message of this.#ahead) {
      if (message.seq !== stretch.upTo + 1) continue;
      this.#insert(message);
      stretch.upTo = message.seq;
    }
    this.#ahead = this.#ahead.filter((message) => message.seq > stretch.upTo);
    return this.#ahead.length > 0 ? "gap" : "new";
  }

  /** Puts an entry where its `pos` belongs; nearly always that is the end. */
  #insert(entry: Entry): Applied {
    const stretch = this.#stretch;
    if (!stretch) return "new";
    const { entries } = stretch;
    let index = entries.length;
    while (index > 0 && comparePos(entries[index - 1]!.pos, entry.pos) > 0) index -= 1;
    if (index > 0 && entries[index - 1]!.pos === entry.pos) return "old";
    // An event from before the stretch belongs to a page that is not loaded.
    if (index === 0 && entries.length > 0 && !stretch.fromStart) return "old";
    stretch.entries = entries.toSpliced(index, 0, entry);
    return "new";
  }

  #noted(page: Page): void {
    for (const entry of page.entries) {
      if (entry.entry === "message") this.#noteHead(entry);
    }
    this.#drainAhead();
    this.changes.tell();
  }

  #noteHead(head: Head): void {
    if (head.seq > this.last) this.last = head.seq;
    const known = this.head;
    if (!known || head.seq > known.seq || (head.seq === known.seq && known.cut)) {
      this.head = head;
      this.movedAt = Math.max(this.movedAt, head.at);
    }
  }

  #noteEntry({ pos, at }: { readonly pos: Pos; readonly at: number }): void {
    this.#newest = newerPos(this.#newest, pos);
    this.movedAt = Math.max(this.movedAt, at);
  }

  #isKnownUpTo(pos: Pos): boolean {
    return this.#newest !== null && comparePos(pos, this.#newest) <= 0;
  }

  #mark(account: AccountName, marker: Marker): void {
    const known = this.markers.get(account) ?? { read: 0, received: 0 };
    this.markers.set(account, {
      read: Math.max(known.read, marker.read),
      received: Math.max(known.received, marker.received, marker.read),
    });
  }
}

function newestSeq(entries: readonly Entry[]): number {
  return entries.reduce((newest, entry) => (entry.entry === "message" ? Math.max(newest, entry.seq) : newest), 0);
}

