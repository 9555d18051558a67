// Brings the tab up to date after a connection: the list of conversations at first, later everything since the cursor, page
// by page. While it runs, what arrives live does not move the cursor, so that a second loss in between leaves no hole.

import { aboutsOf, newerPos, objectOf, posOf, syncedOf, type About, type Conv, type Entry, type Fields, type Pos } from "../wire/contract";

/** Entries asked for at a time. */
const PAGE_ENTRIES = 200;

export interface CaughtUp {
  /** The whole list of conversations: at first, or because the cursor was too old. */
  listed(conversations: readonly About[]): void;
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

  /** Something arrived on the live subscription. */
  arrived(pos: Pos | null): void {
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
    if (this.#cursor === null) await this.#list(run);
    else await this.#sync(run);
    if (run !== this.#run) return;
    this.#cursor = newerPos(this.#cursor, this.#ahead);
    this.#live = true;
  }

  /** Forgets the cursor: the server said `resync`. */
  restart(): Promise<void> {
    this.#cursor = null;
    return this.run();
  }

  async #list(run: number): Promise<void> {
    const answer = await this.ask("conversations");
    if (run === this.#run) this.#replace(answer);
  }

  async #sync(run: number): Promise<void> {
    for (let more = true; more && run === this.#run; ) {
      const since = this.#cursor;
      const answer = await this.ask("sync", { since, limit: PAGE_ENTRIES });
      if (run !== this.#run) return;
      if (answer["reset"] === true) return this.#replace(answer);
      for (const { conv, entry } of syncedOf(answer["entries"])) this.into.entry(conv, entry);
      more = answer["more"] === true;
      // Between pages the last entry is the safe place to go on from, whatever `pos` stands beside it.
      this.#cursor = more ? (lastPos(answer["entries"]) ?? posOf(answer["pos"])) : newerPos(since, posOf(answer["pos"]));
      // A page that moves nothing would be asked for for ever.
      if (this.#cursor === since) return;
    }
  }

  #replace(answer: Fields): void {
    this.into.listed(aboutsOf(answer["conversations"]));
    this.#cursor = posOf(answer["pos"]) ?? this.#cursor;
  }
}

/** The cursor of a page's last entry, shown here or not. */
function lastPos(entries: unknown): Pos | null {
  return Array.isArray(entries) ? posOf(objectOf(entries.at(-1))?.["pos"]) : null;
}
