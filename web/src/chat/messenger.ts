// The messenger in one tab: leads what arrives to conversations, presence and the outbox, and carries out what a person
// does. The rules of each are in their own modules; this one only joins them and shows nothing.

import {
  aboutOf,
  ackOf,
  convOf,
  eventOf,
  fieldsOf,
  messageOf,
  objectOf,
  presenceOf,
  type About,
  type AccountName,
  type Conv,
  type Departure,
  type Entry,
  type Fields,
  type Message,
  type Mid,
} from "../wire/contract";
import { AskError, Asks } from "../wire/asks";
import { Connection, type Device } from "../wire/connection";
import type { Dial } from "../wire/link";
import * as topic from "../wire/topic";
import { CatchUp, type Before } from "./catch-up";
import { Changes } from "../changes";
import { Conversation } from "./conversation";
import { Directory } from "./directory";
import { History } from "./history";
import { Lookups } from "./lookups";
import { Members } from "./members";
import { MID_REUSED, Outbox, wireOf, type Outgoing, type Shelf } from "./outgoing";
import { PeopleSearch, type PeopleParts } from "./people";
import { Presences } from "./presences";
import { ReadMarks } from "./read-marks";
import { Refresh } from "./refresh";

export interface MessengerParts {
  readonly me: AccountName;
  readonly token: string;
  readonly dial: Dial;
  readonly device: Device;
  readonly shelf: Shelf;
  /** Fetches a part of the list of accounts. */
  readonly people: PeopleParts["fetch"];
}

/** A group up to this size tells its authors who has read; in a larger one nobody asks. */
export const RECEIPT_MEMBERS_MAX = 50;
/** Groups whose members are asked for again after an absence; the others when they are shown again. */
const REFRESHED_MAX = 8;
/** An unanswered message this old means that the connection is dead. */
const ACK_TIMEOUT_MS = 20_000;
/** How often "typing" is said at most; it lapses elsewhere after six seconds. */
const TYPING_EVERY_MS = 3000;

export class Messenger {
  /** The list of conversations: its members and their order. */
  readonly changes = new Changes();
  readonly me: AccountName;
  readonly presences = new Presences();
  readonly directory: Directory;
  readonly connection: Connection;
  readonly outbox: Outbox;
  /** Whether the list of conversations has come. */
  listed = false;
  readonly #conversations = new Map<Conv, Conversation>();
  readonly #asks: Asks;
  readonly #history: History;
  readonly #members: Members;
  readonly #lookups: Lookups;
  readonly #catchUp: CatchUp;
  readonly #refresh = new Refresh(() => this.#refreshed());
  readonly #reads: ReadMarks;
  readonly #hearers = new Set<(conversation: Conversation, message: Message) => void>();
  readonly #typedAt = new Map<Conv, number>();
  /** What this connection has told about being in a conversation: it is newer than any list that comes later. */
  readonly #told = new Map<Conv, "in" | "out">();
  /** The patience with each message that the present connection has not acknowledged. */
  readonly #unanswered = new Map<Mid, ReturnType<typeof setTimeout>>();
  /** Messages that have got another `mid` by themselves; they do so once. */
  readonly #renewed = new Set<Mid>();
  #watched: AccountName[] = [];
  #active = true;

  constructor(private readonly parts: MessengerParts) {
    this.me = parts.me;
    this.outbox = new Outbox(parts.me, parts.shelf);
    this.connection = new Connection(parts.dial, { account: parts.me, token: parts.token }, parts.device, topic.INBOX, {
      opened: () => this.#opened(),
      arrived: (name, payload) => this.#arrived(name, payload),
      lost: () => this.#lost(),
    });
    this.#asks = new Asks((...what) => this.connection.publish(...what));
    const ask = (method: string, body?: object): Promise<Fields> => this.#asks.patiently(method, body);
    this.#lookups = new Lookups(ask, (people) => this.directory.learn(people));
    this.directory = new Directory((account) => this.#lookups.want(account));
    this.#history = new History(ask);
    this.#members = new Members(ask, (members) => this.directory.learn(members));
    this.#catchUp = new CatchUp(ask, {
      listed: (abouts, before) => this.#replaceList(abouts, before),
      entry: (conv, entry) => (entry.entry === "left" ? this.#departed(conv, entry) : this.#apply(conv, entry)),
      gap: ({ conv, ...gap }) => this.conversation(conv).applyGap(gap),
      state: ({ conv, ...state }) => this.conversation(conv).applyState(state),
    });
    this.#reads = new ReadMarks((conv, seq) =>
      this.connection.publish(topic.readTo(conv), JSON.stringify({ seq }), 1),
    );
    for (const { conv } of this.outbox.all()) this.conversation(conv);
  }

  start(): void {
    this.connection.start();
  }

  stop(): void {
    this.connection.stop();
    this.#lost();
  }

  /** The conversation of this name; one that does not exist yet is empty and not in the list. */
  conversation(conv: Conv): Conversation {
    let conversation = this.#conversations.get(conv);
    if (!conversation) {
      conversation = new Conversation(conv, this.me);
      conversation.changes.listen(() => this.changes.tell());
      this.#conversations.set(conv, conversation);
    }
    return conversation;
  }

  /** What the list shows, newest first. */
  list(): Conversation[] {
    const moved = (one: Conversation): number => Math.max(one.movedAt, this.outbox.in(one.id).at(-1)?.at ?? 0);
    return [...this.#conversations.values()]
      .filter((one) => one.joined && (one.listed || this.outbox.in(one.id).length > 0))
      .sort((a, b) => moved(b) - moved(a) || (a.id < b.id ? -1 : 1));
  }

  get unread(): number {
    return [...this.#conversations.values()].reduce((sum, one) => sum + one.unread, 0);
  }

  /** Calls `hearer` with every message of somebody else that comes in while connected. */
  hear(hearer: (conversation: Conversation, message: Message) => void): () => void {
    this.#hearers.add(hearer);
    return () => {
      this.#hearers.delete(hearer);
    };
  }

  /** Loads what is needed to show a conversation. Rejects with an `AskError`. */
  async open(conversation: Conversation): Promise<void> {
    await this.#history.newest(conversation);
    if (isCounted(conversation) && !conversation.memberList) await this.loadMembers(conversation);
  }

  older(conversation: Conversation): Promise<void> {
    return this.#history.older(conversation);
  }

  loadMembers(conversation: Conversation): Promise<void> {
    return this.#members.load(conversation);
  }

  send(conversation: Conversation, text: string): Outgoing {
    const outgoing = this.outbox.add(conversation.id, text);
    this.#typedAt.delete(conversation.id);
    this.#publish(outgoing);
    conversation.changes.tell();
    return outgoing;
  }

  /** Sends a refused message again. */
  retry(mid: Mid): void {
    const outgoing = this.outbox.again(mid);
    if (outgoing) this.#publish(outgoing);
    this.#toldOf(outgoing);
  }

  discard(mid: Mid): void {
    this.#toldOf(this.outbox.remove(mid));
  }

  /** A person has seen everything up to `seq`. */
  read(conversation: Conversation, seq: number): void {
    if (conversation.markRead(seq)) this.#reads.note(conversation.id, seq);
  }

  typing(conversation: Conversation): void {
    const now = Date.now();
    if (now - (this.#typedAt.get(conversation.id) ?? -Infinity) < TYPING_EVERY_MS) return;
    if (this.connection.publish(topic.typingTo(conversation.id), "", 0)) this.#typedAt.set(conversation.id, now);
  }

  /** This tab is in the foreground or not. Coming back also finds out whether the connection is still alive. */
  setActive(active: boolean): void {
    this.#reads.flush();
    if (active) this.connection.probe(topic.ACTIVE, "1");
    else if (this.#active) this.connection.publish(topic.ACTIVE, "0", 1);
    this.#active = active;
    this.#refresh.look(active);
  }

  /** Names the accounts whose presence a wildcard does not cover: the fellow members of a group that is open. */
  watch(accounts: readonly AccountName[]): void {
    const gone = this.#watched.filter((account) => !accounts.includes(account));
    const come = accounts.filter((account) => !this.#watched.includes(account));
    if (gone.length > 0) this.connection.unsubscribe(gone.map(topic.presence));
    if (come.length > 0) this.connection.subscribe(come.map(topic.presence));
    this.#watched = [...accounts];
  }

  async createGroup(slug: string, title: string, members: readonly AccountName[]): Promise<Conv> {
    const answer = await this.#asks.ask("group.create", { slug, title, accounts: members });
    const conv = typeof answer["conv"] === "string" ? convOf(answer["conv"]) : convOf(slug);
    const conversation = this.conversation(conv);
    conversation.title = title;
    this.directory.learnTitle(conv, title);
    this.#joined(conversation);
    return conv;
  }

  async invite(conversation: Conversation, accounts: readonly AccountName[]): Promise<void> {
    await this.#asks.ask("group.invite", { conv: conversation.id, accounts });
    await this.loadMembers(conversation);
  }

  async join(conversation: Conversation): Promise<void> {
    await this.#asks.ask("group.join", { conv: conversation.id });
    conversation.unload();
    this.#joined(conversation);
  }

  async leave(conversation: Conversation): Promise<void> {
    await this.#asks.ask("group.leave", { conv: conversation.id });
    conversation.leave("left");
  }

  /** Ends a group for everybody in it. `slug` is its address as a person has typed it. */
  async deleteGroup(conversation: Conversation, slug: string): Promise<void> {
    await this.#asks.ask("group.delete", { conv: conversation.id, slug });
    conversation.leave("deleted");
  }

  async setDisplay(display: string): Promise<void> {
    await this.#asks.ask("profile.set", { display });
    this.directory.learn([{ name: this.me, display }]);
  }

  /** Accounts to pick from, but those that are left out. */
  searchPeople(leftOut: PeopleParts["leftOut"]): PeopleSearch {
    const learn: PeopleParts["learn"] = (people) => this.directory.learn(people);
    return new PeopleSearch({ fetch: this.parts.people, learn, leftOut });
  }

  #opened(): void {
    this.#told.clear();
    if (!this.#active) this.connection.publish(topic.ACTIVE, "0", 1);
    if (this.#watched.length > 0) this.connection.subscribe(this.#watched.map(topic.presence));
    this.#reads.flush();
    this.#lookups.connected();
    this.#caughtUp(this.#catchUp.run());
  }

  #caughtUp(run: Promise<void>): void {
    run
      .then(() => {
        if (!this.#catchUp.live) return;
        this.connection.proved();
        this.#sendWaiting();
        this.#refresh.done();
        this.#closeGaps();
        this.#refreshMembers();
        this.#describe();
      })
      .catch((error: unknown) => {
        // A refusal leaves the tab with holes that only a new start can close.
        if (!(error instanceof AskError && error.code === "offline")) this.connection.lose();
      });
  }

  /** What came meanwhile may have shown that one of them has arrived. */
  #sendWaiting(): void {
    for (const outgoing of this.outbox.expire()) this.#toldOf(outgoing);
    for (const outgoing of this.outbox.unacknowledged()) this.#publish(outgoing);
  }

  async #refreshed(): Promise<void> {
    try {
      await this.#catchUp.refresh();
      this.#closeGaps();
      this.#describe();
    } catch {
      // Everything comes live all the same; the next time it is asked for again.
    }
    if (this.#catchUp.live) this.#refresh.done();
  }

  /** Conversations that only their entries have told of: `im/about` is late, or is not told to those who ask too much. */
  #describe(): void {
    const unknown = [...this.#conversations.values()].some((one) => one.joined && one.listed && !one.described);
    if (unknown) this.#catchUp.list().catch(() => undefined);
  }

  #closeGaps(): void {
    for (const conversation of this.#conversations.values()) {
      if (conversation.loaded && conversation.lacksNewer) this.#fill(conversation);
    }
  }

  /** Markers and members have moved without a word while there was no connection. */
  #refreshMembers(): void {
    const groups = [...this.#conversations.values()].filter(
      (one) => one.kind === "group" && one.joined && one.loaded && (one.memberList !== null || isCounted(one)),
    );
    const refreshed = groups.slice(-REFRESHED_MAX);
    for (const group of groups) {
      if (refreshed.includes(group)) void this.loadMembers(group).catch(() => undefined);
      else group.unload();
    }
  }

  #lost(): void {
    this.#catchUp.lost();
    this.#refresh.stop();
    this.#asks.lost();
    for (const timer of this.#unanswered.values()) clearTimeout(timer);
    this.#unanswered.clear();
    this.presences.clear();
  }

  #arrived(name: string, payload: Uint8Array): void {
    const arrival = topic.arrivalOf(name);
    if (!arrival) return;
    if (arrival.table === "answer") return this.#asks.answered(arrival.id, payload);
    if (arrival.table === "about" && payload.length === 0) return this.#left(arrival.conv, "left");
    const fields = fieldsOf(payload);
    if (!fields) return;
    switch (arrival.table) {
      case "message":
        return this.#message(arrival.conv, fields);
      case "event":
        return this.#event(arrival.conv, fields);
      case "typing":
        if (typeof fields["from"] === "string") this.conversation(arrival.conv).setTyping(fields["from"] as AccountName);
        return;
      case "about": {
        const about = aboutOf(fields);
        if (about) this.#about(about);
        return;
      }
      case "presence":
        return this.presences.apply(arrival.account, presenceOf(fields));
      case "ack":
        return this.#acknowledged(arrival.mid, fields);
      case "me":
        return this.#aboutMe(fields);
    }
  }

  #message(conv: Conv, fields: Fields): void {
    const message = messageOf(fields);
    if (!message) return;
    this.#toldIn(conv);
    const conversation = this.conversation(conv);
    const known = message.seq <= conversation.last;
    this.#apply(conv, message);
    if (message.from === this.me || known) return;
    for (const hearer of [...this.#hearers]) hearer(conversation, message);
  }

  #event(conv: Conv, fields: Fields): void {
    const event = eventOf(fields);
    if (event?.entry === "receipt") this.conversation(conv).applyReceipt(event);
    else if (event) {
      const conversation = this.conversation(conv);
      this.#apply(conv, event);
      // The list of members is out of date with every coming and going.
      if (conversation.memberList) void this.loadMembers(conversation).catch(() => undefined);
    }
  }

  /** An entry, live or caught up. */
  #apply(conv: Conv, entry: Entry): void {
    const conversation = this.conversation(conv);
    if (entry.entry === "message" && entry.from === this.me && entry.mid) this.outbox.remove(entry.mid);
    const { joined } = conversation;
    if (conversation.apply(entry) === "gap") this.#fill(conversation);
    if (!joined && conversation.joined) this.#told.set(conv, "in");
    this.outbox.settle(conv, conversation.upTo);
  }

  #departed(conv: Conv, departure: Departure): void {
    if (this.conversation(conv).applyDeparture(departure)) this.#told.set(conv, "out");
  }

  /** This account is told that it has left; twice, by the two topics that tell of it. */
  #left(conv: Conv, why: "left" | "deleted"): void {
    const conversation = this.conversation(conv);
    this.#told.set(conv, "out");
    if (conversation.joined || why === "deleted") conversation.leave(why);
  }

  #fill(conversation: Conversation): void {
    // Lost again: the next catch-up finds the gap once more.
    this.#history.newer(conversation).catch(() => undefined);
  }

  #about(about: About): void {
    // Worked out before one left.
    if (this.#told.get(about.conv) === "out") return;
    this.#toldIn(about.conv);
    this.#learn(about);
    this.conversation(about.conv).applyAbout(about);
  }

  #learn({ conv, kind, title, peer }: About): void {
    if (peer) this.directory.learn([peer]);
    if (kind === "group") this.directory.learnTitle(conv, title);
  }

  #replaceList(abouts: readonly About[], before: Before): void {
    const named = new Set(abouts.map(({ conv }) => conv));
    for (const conversation of this.#conversations.values()) {
      const { id, listed, kind, loaded } = conversation;
      const gone = listed && !named.has(id) && this.#told.get(id) !== "in";
      if (gone && kind === "group") conversation.leave("left");
      else if (gone) conversation.listed = false;
      // The stretch would have holes.
      else if (before === "untold" && this.listed && loaded) conversation.unload();
    }
    this.listed = true;
    for (const about of abouts) {
      if (this.#told.get(about.conv) === "out") continue;
      this.#learn(about);
      this.conversation(about.conv).applyAbout(about);
    }
    this.changes.tell();
  }

  #aboutMe(fields: Fields): void {
    const conv = fields["conv"];
    switch (fields["kind"]) {
      case "conversation": {
        if (typeof conv !== "string") return;
        const conversation = this.conversation(convOf(conv));
        this.#joined(conversation);
        const { peer } = conversation;
        if (peer && !this.directory.knows(peer)) this.#lookups.want(peer);
        return;
      }
      case "left":
        if (typeof conv !== "string") return;
        return this.#left(convOf(conv), fields["deleted"] === true ? "deleted" : "left");
      case "profile": {
        const { account, display } = fields;
        if (typeof account === "string" && typeof display === "string") this.directory.learn([{ name: account, display }]);
        return;
      }
    }
  }

  /** What comes in shows that one is in a conversation, unless it was still on its way when one left. */
  #toldIn(conv: Conv): void {
    if (this.#told.get(conv) !== "out") this.#told.set(conv, "in");
  }

  #joined(conversation: Conversation): void {
    this.#told.set(conversation.id, "in");
    conversation.joined = true;
    conversation.deleted = false;
    conversation.listed = true;
    conversation.movedAt = Math.max(conversation.movedAt, Date.now());
    conversation.changes.tell();
  }

  /** Not before the catch-up is over: what waits is sent then, in order. */
  #publish(outgoing: Outgoing): void {
    if (!this.#catchUp.live) return;
    const { mid } = outgoing;
    const sent = this.connection.publish(topic.sendTo(outgoing.conv), wireOf(outgoing), 1, {
      settled: (refused) => {
        if (refused) this.#failed(mid, refused.error ?? errorOf(refused.code), "");
      },
    });
    if (!sent) return;
    clearTimeout(this.#unanswered.get(mid));
    const patience = setTimeout(() => {
      this.#unanswered.delete(mid);
      if (this.outbox.get(mid)?.state.is === "sending") this.connection.lose();
    }, ACK_TIMEOUT_MS);
    this.#unanswered.set(mid, patience);
  }

  #acknowledged(mid: Mid, fields: Fields): void {
    const ack = ackOf(fields);
    if (!ack.ok) return this.#failed(mid, ack.error, ack.detail);
    const outgoing = this.outbox.get(mid);
    if (!outgoing || ack.seq === null) return;
    this.outbox.become(mid, { is: "stored", seq: ack.seq });
    this.outbox.settle(outgoing.conv, this.conversation(outgoing.conv).upTo);
    this.#toldOf(outgoing);
  }

  /** `im/ack` has the better words; the reason code alone comes over nothing that is known already. */
  #failed(mid: Mid, error: string, detail: string): void {
    const state = this.outbox.get(mid)?.state;
    if (!state || state.is === "stored" || (state.is === "failed" && !detail)) return;
    this.#toldOf(this.outbox.become(mid, { is: "failed", error, detail }));
    if (error !== MID_REUSED || this.#renewed.has(mid)) return;
    const again = this.outbox.again(mid);
    if (!again) return;
    this.#renewed.add(again.mid);
    this.#publish(again);
    this.#toldOf(again);
  }

  #toldOf(outgoing: Outgoing | null): void {
    if (outgoing) this.conversation(outgoing.conv).changes.tell();
  }
}

/** Whether who has read what is told in it. */
function isCounted({ kind, members }: Conversation): boolean {
  return kind === "group" && members <= RECEIPT_MEMBERS_MAX;
}

/** The contract's reason codes, in the words of `im/ack`. */
function errorOf(code: number): string {
  switch (code) {
    case 0x87:
      return "not_allowed";
    case 0x95:
      return "too_large";
    case 0x97:
      return "quota";
    case 0x99:
      return "payload_format";
    default:
      return "refused";
  }
}
