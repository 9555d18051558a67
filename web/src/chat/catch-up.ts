// Brings the tab up to date: the list of conversations at first, later everything since the cursor. The cursor is what the
// server gives with a list or a `sync`, and nothing that arrives live moves it: it may make an entry come twice, and leaves none out.

import {
  aboutsOf,
  cursorOf,
  gapsOf,
  posOf,
  statesOf,
  syncedOf,
  type About,
  type Conv,
  type Cursor,
  type Departure,
  type Entry,
  type Fields,
  type Gap,
  type Pos,
  type State,
} from "../wire/contract";

/** Entries asked for at a time. */
const PAGE_ENTRIES = 200;

/** What happened before a list, since the one before: every entry was told, or nothing was. */
export type Before = "told" | "untold";

export interface CaughtUp {
  /** The whole list of conversations. */
  listed(conversations: readonly About[], before: Before): void;
  /** What stands in a conversation, known already or not, or that it was left. */
  entry(conv: Conv, entry: Entry | Departure): void;
  gap(gap: Gap): void;
  state(state: State): void;
}

export class CatchUp {
  #cursor: Cursor | null = null;
  #live = false;
  #run = 0;

  constructor(
    private readonly ask: (method: string, body?: object) => Promise<Fields>,
    private readonly into: CaughtUp,
  ) {}

  get cursor(): Cursor | null {
    return this.#cursor;
  }

  /** Whether everything up to this connection is there. */
  get live(): boolean {
    return this.#live;
  }

  lost(): void {
    this.#live = false;
    this.#run += 1;
  }

  /** A connection stands. Rejects when it is lost meanwhile or the server refuses. */
  async run(): Promise<void> {
    this.lost();
    const run = this.#run;
    await this.#everything(run);
    if (run === this.#run) this.#live = true;
  }

  /** Moves the cursor on while the connection stands. Rejects as `run` does, and costs nothing then. */
  async refresh(): Promise<void> {
    if (this.#live) await this.#everything(this.#run);
  }

  /** Asks for the list when there is something that only the list tells. */
  async list(): Promise<void> {
    const run = this.#run;
    const abouts = await this.#whole(await this.ask("conversations"), run);
    if (run === this.#run) this.into.listed(abouts, "told");
  }

  async #everything(run: number): Promise<void> {
    if (this.#cursor === null) await this.#anew(await this.ask("conversations"), run);
    else await this.#sync(run);
  }

  async #sync(run: number): Promise<void> {
    for (let more = true; more && run === this.#run; ) {
      const since = this.#cursor;
      const answer = await this.ask("sync", { since, limit: PAGE_ENTRIES, states: true });
      if (run !== this.#run) return;
      if (answer["reset"] === true) return this.#anew(answer, run);
      // First, for an entry may say that the conversation is left, and its name another's.
      for (const gap of gapsOf(answer["gaps"])) this.into.gap(gap);
      for (const { conv, entry } of syncedOf(answer["entries"])) this.into.entry(conv, entry);
      for (const state of statesOf(answer["states"])) this.into.state(state);
      this.#cursor = cursorOf(answer["cursor"]) ?? since;
      // A page that moves nothing would be asked for for ever.
      more = answer["more"] === true && this.#cursor !== since;
    }
  }

  /** Begins with a list: what happened before it is not told. */
  async #anew(answer: Fields, run: number): Promise<void> {
    const abouts = await this.#whole(answer, run);
    if (run !== this.#run) return;
    this.into.listed(abouts, "untold");
    // The first page's: the list is no newer than its oldest page.
    this.#cursor = cursorOf(answer["cursor"]);
  }

  /** A list that comes in parts. */
  async #whole(first: Fields, run: number): Promise<About[]> {
    const abouts = aboutsOf(first["conversations"]);
    for (let answer = first; answer["more"] === true && run === this.#run; ) {
      const before: Pos | null = posOf(answer["next"]);
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
