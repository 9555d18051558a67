// Loads pages of a conversation: the newest when it is opened, older ones on the way up, and what a gap is missing. One
// question per conversation and direction at a time. It decides nothing about what is shown.

import { entriesOf, type Fields } from "../wire/contract";
import type { Conversation, Page } from "./conversation";

const PAGE_ENTRIES = 50;
/** A page that held only comings and goings is asked for again, this large. */
const WIDE_PAGE_ENTRIES = 200;
/** Pages to close one gap; a larger gap starts over with the newest page. */
const GAP_PAGES_MAX = 5;

type Direction = "newest" | "older" | "newer";

export class History {
  readonly #running = new Map<string, Promise<void>>();

  constructor(private readonly ask: (method: string, body?: object) => Promise<Fields>) {}

  /** The newest page, unless one is loaded. */
  newest(conversation: Conversation): Promise<void> {
    if (conversation.loaded) return Promise.resolve();
    return this.#once("newest", conversation, async () => {
      const lastThen = conversation.last;
      const applied = conversation.applyNewest(await this.#page(conversation, {}, PAGE_ENTRIES), lastThen);
      if (applied === "gap") await this.newer(conversation);
    });
  }

  /** The page before the oldest loaded one. */
  older(conversation: Conversation): Promise<void> {
    if (!conversation.loaded || conversation.fromStart) return Promise.resolve();
    return this.#once("older", conversation, async () => {
      const before = conversation.oldestSeq ?? conversation.last + 1;
      const page = await this.#page(conversation, { before }, PAGE_ENTRIES);
      if (conversation.applyOlder(page) || !page.more) return;
      const wide = await this.#page(conversation, { before }, WIDE_PAGE_ENTRIES);
      const moved = conversation.applyOlder(wide);
      if (!moved) conversation.applyOlder({ entries: [], more: false });
    });
  }

  /** What is missing behind the loaded stretch. */
  newer(conversation: Conversation): Promise<void> {
    return this.#once("newer", conversation, async () => {
      for (let pages = 0; pages < GAP_PAGES_MAX && conversation.loaded; pages += 1) {
        const after = conversation.upTo;
        const page = await this.#page(conversation, { after }, WIDE_PAGE_ENTRIES);
        const applied = conversation.applyNewer(page);
        if (applied !== "gap" && !page.more) return;
        if (conversation.upTo === after) break;
      }
      conversation.unload();
      await this.newest(conversation);
    });
  }

  async #page(conversation: Conversation, where: object, limit: number): Promise<Page> {
    const answer = await this.ask("history", { conv: conversation.id, ...where, limit });
    return { entries: entriesOf(answer["entries"]), more: answer["more"] === true };
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
