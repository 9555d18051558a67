// Loads pages of a conversation: the newest when it is opened, older ones on the way up, and what a gap is missing. One
// question per conversation and direction at a time. It decides nothing about what is shown.

import { AskError } from "../wire/asks";
import { entriesOf, posOf, type Fields, type Pos } from "../wire/contract";
import type { Conversation, Page } from "./conversation";

const PAGE_ENTRIES = 50;
/** A page that held only comings and goings is followed by larger ones. */
const WIDE_PAGE_ENTRIES = 200;
/** Pages to get past comings and goings at a time; what they hold is shown, and the next look up goes on. */
const OLDER_PAGES_MAX = 5;
/** Pages to close one gap; a larger gap starts over with the newest page. */
const GAP_PAGES_MAX = 5;

type Direction = "newest" | "older" | "newer";

export class History {
  readonly #running = new Map<string, Promise<void>>();

  constructor(private readonly ask: (method: string, body?: object) => Promise<Fields>) {}

  /** The newest page, unless one is loaded, with what is known to come after it, and up to a message if there is one. */
  newest(conversation: Conversation): Promise<void> {
    if (conversation.loaded) return Promise.resolve();
    return this.#once("newest", conversation, async () => {
      for (;;) {
        const { thrownAway } = conversation;
        conversation.expectNewest();
        const page = await this.#newestPage(conversation);
        if (thrownAway === conversation.thrownAway) {
          conversation.applyNewest(page);
          break;
        }
        // What happened meanwhile may not be in it.
        if (!conversation.joined) return;
      }
      if (conversation.lacksNewer) await this.#follow(conversation);
      if (conversation.oldestSeq === null) await this.older(conversation);
    });
  }

  /** What stands above the loaded stretch. */
  older(conversation: Conversation): Promise<void> {
    if (!conversation.loaded || conversation.fromStart) return Promise.resolve();
    return this.#once("older", conversation, async () => {
      for (let pages = 0; pages < OLDER_PAGES_MAX; pages += 1) {
        const { before, thrownAway } = conversation;
        const page = await this.#page(conversation, from("before", before), pages === 0 ? PAGE_ENTRIES : WIDE_PAGE_ENTRIES);
        if (thrownAway !== conversation.thrownAway || conversation.before !== before) return;
        if (conversation.applyOlder(page) || !page.more) return;
        // Without a way on, only a larger page can help, and only once.
        if (conversation.before === before && pages > 0) return;
      }
    });
  }

  /** What is missing behind the loaded stretch. */
  newer(conversation: Conversation): Promise<void> {
    return this.#once("newer", conversation, async () => {
      if (await this.#follow(conversation)) return;
      conversation.unload();
      await this.newest(conversation);
    });
  }

  /** False when something is still missing. */
  async #follow(conversation: Conversation): Promise<boolean> {
    let after: Pos | number | null = null;
    const { thrownAway } = conversation;
    for (let pages = 0; pages < GAP_PAGES_MAX && conversation.loaded; pages += 1) {
      const edge: Pos | number = after ?? conversation.upTo;
      const lastThen = conversation.last;
      const page = await this.#page(conversation, from("after", edge), WIDE_PAGE_ENTRIES);
      // Whoever shows it again asks for all of it.
      if (thrownAway !== conversation.thrownAway) return true;
      conversation.applyNewer(page, lastThen);
      if (!page.more && !conversation.lacksNewer) return true;
      after = page.more ? page.next : null;
      if ((after ?? conversation.upTo) === edge) break;
    }
    return !conversation.loaded;
  }

  /** A direct chat begins with its first message; until then it is simply empty. */
  async #newestPage(conversation: Conversation): Promise<Page> {
    const { last, peer } = conversation;
    try {
      return await this.#page(conversation, {}, PAGE_ENTRIES);
    } catch (error) {
      const notBegun = error instanceof AskError && error.code === "no_such_conversation" && peer !== null && last === 0;
      if (!notBegun) throw error;
      return { entries: [], more: false, next: null };
    }
  }

  async #page(conversation: Conversation, where: object, limit: number): Promise<Page> {
    const answer = await this.ask("history", { conv: conversation.id, ...where, limit });
    return { entries: entriesOf(answer["entries"]), more: answer["more"] === true, next: posOf(answer["next"]) };
  }

  #once(direction: Direction, conversation: Conversation, load: () => Promise<void>): Promise<void> {
    const key = `${direction} ${conversation.id}`;
    const running = this.#running.get(key);
    if (running) return running;
    const started = load().finally(() => this.#running.delete(key));
    this.#running.set(key, started);
    return started;
  }
}

/** Where a page begins: a place that a page has named, or the number of a message. */
function from(direction: "before" | "after", place: Pos | number | null): object {
  return { [typeof place === "number" ? `${direction}_seq` : direction]: place };
}
