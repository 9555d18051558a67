// Brings the tab up to date after a connection: the list of conversations at first, later everything since the cursor and
// then the list, for what has ended meanwhile. While it runs, what arrives live does not move the cursor, so that a second
// loss in between leaves no hole.

import { aboutsOf, newerPos, objectOf, posOf, syncedOf, type About, type Conv, type Entry, type Fields, type Pos } from "../wire/contract";

/** Entries asked for at a time. */
const PAGE_ENTRIES = 200;

/** What happened before a list, since the one before: every entry was told, or nothing was. */
export type Before = "told" | "untold";

export interface CaughtUp {
  /** The whole list of conversations. */
  listed(conversations: readonly About[], before: Before): void;
  entry(conv: Conv, entry: Entry): void;
}

export class CatchUp {
  #cursor: Pos | null = null;
  #live = false;
  /** The newest that came live while pages were still being read. */
  #ahead: Pos | null = null;
  #run = 0;

  constructor(
    private readonly ask: (method: string, body?: object) => Promise<Fields>,
    private readonly into: CaughtUp,
  ) {}

  get cursor(): Pos | null {
    return this.#cursor;
  }

  /** Whether everything up to now is there. */
  get live(): boolean {
    return this.#live;
  }

  /** An entry arrived on the live subscription. */
  arrived(pos: Pos): void {
    if (this.#live) this.#cursor = newerPos(this.#cursor, pos);
    else this.#ahead = newerPos(this.#ahead, pos);
  }

  lost(): void {
    this.#live = false;
    this.#run += 1;
  }

  /** Rejects when the connection is lost meanwhile or the server refuses. */
  async run(): Promise<void> {
    this.lost();
    this.#ahead = null;
    const run = this.#run;
    if (this.#cursor === null) await this.#anew(await this.ask("conversations"), run);
    else if ((await this.#sync(run)) === "told") await this.#compare(run);
    if (run !== this.#run) return;
    this.#cursor = newerPos(this.#cursor, this.#ahead);
    this.#live = true;
  }

  /** Forgets the cursor: the server said `resync`. */
  restart(): Promise<void> {
    this.#cursor = null;
    return this.run();
  }

  async #sync(run: number): Promise<Before> {
    for (let more = true; more && run === this.#run; ) {
      const since = this.#cursor;
      const answer = await this.ask("sync", { since, limit: PAGE_ENTRIES });
      if (run !== this.#run) break;
      if (answer["reset"] === true) {
        await this.#anew(answer, run);
        return "untold";
      }
      for (const { conv, entry } of syncedOf(answer["entries"])) this.into.entry(conv, entry);
      more = answer["more"] === true;
      // Between pages the last entry is the safe place to go on from, whatever `pos` stands beside it.
      this.#cursor = more ? (lastPos(answer["entries"]) ?? posOf(answer["pos"])) : newerPos(since, posOf(answer["pos"]));
      // A page that moves nothing would be asked for for ever.
      if (this.#cursor === since) break;
    }
    return "told";
  }

  /** Begins with a list: what happened before it is not told. */
  async #anew(answer: Fields, run: number): Promise<void> {
    const abouts = await this.#whole(answer, run);
    if (run !== this.#run) return;
    this.into.listed(abouts, "untold");
    // The first page's: the list is no newer than its oldest page.
    this.#cursor = posOf(answer["pos"]) ?? this.#cursor;
  }

  /** `sync` tells nothing of conversations that one is no longer in: they are missing in the list. */
  async #compare(run: number): Promise<void> {
    if (run !== this.#run) return;
    const abouts = await this.#whole(await this.ask("conversations"), run);
    if (run === this.#run) this.into.listed(abouts, "told");
  }

  /** A list that came in parts. */
  async #whole(first: Fields, run: number): Promise<About[]> {
    const abouts = aboutsOf(first["conversations"]);
    for (let answer = first; answer["more"] === true && run === this.#run; ) {
      const before: Pos | null = posOf(answer["before"]);
      if (before === null) break;
      answer = await this.ask("conversations", { before });
      const page = aboutsOf(answer["conversations"]);
      // An empty page would be asked for for ever.
      if (page.length === 0) break;
      abouts.push(...page);
    }
    return abouts;
  }
}

/** The cursor of a page's last entry, shown here or not. */
function lastPos(entries: unknown): Pos | null {
  return Array.isArray(entries) ? posOf(objectOf(entries.at(-1))?.["pos"]) : null;
}
