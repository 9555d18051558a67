// Accounts to pick from, searched by the server while somebody types: the last question counts, earlier ones are called off.

import { Changes } from "../changes";
import { accountName, type AccountName } from "../wire/contract";
import type { Person } from "./directory";

export interface PeopleQuery {
  /** What words of the names begin with; nothing for everybody. */
  readonly search: string;
  /** Only names behind this one. */
  readonly after: string | null;
}

export interface PeoplePage {
  readonly accounts: readonly { readonly name: string; readonly display: string }[];
  /** Behind which name the list goes on. */
  readonly next: string | null;
}

export interface PeopleParts {
  readonly fetch: (query: PeopleQuery, signal: AbortSignal) => Promise<PeoplePage>;
  readonly learn: (people: PeoplePage["accounts"]) => void;
  /** Who is not to be picked. */
  readonly leftOut: (account: AccountName) => boolean;
}

/** A pause this long ends a word. */
export const TYPING_PAUSE_MS = 200;
/** The server looks at a bounded number of accounts for a page, so that one may be empty; nobody is asked without end. */
const EMPTY_PAGES_MAX = 10;

export class PeopleSearch {
  readonly changes = new Changes();
  /** By account name, page after page. */
  found: readonly Person[] = [];
  /** Whether the list goes on. */
  more = false;
  /** What `found` was searched for; null before the first answer. */
  foundFor: string | null = null;
  /** Why the last question was not answered. */
  problem: unknown = null;
  #text = "";
  #next: string | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #asking: AbortController | null = null;
  #answered: Promise<void> = Promise.resolve();

  constructor(private readonly parts: PeopleParts) {}

  /** Searches for what has been typed so far, once nothing more is typed. */
  type(text: string): void {
    const search = text.trim().normalize("NFC");
    if (search === this.#text) return;
    this.#text = search;
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => void this.again(), TYPING_PAUSE_MS);
  }

  /** Begins anew with the text as it is. */
  again(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    return this.#ask({ search: this.#text, after: null });
  }

  /** Goes on with the list. */
  async further(): Promise<void> {
    if (this.#timer === undefined && this.#next !== null && !this.#asking) await this.#ask({ search: this.#text, after: this.#next });
  }

  /** Whoever is found for the text as it is. */
  async settled(): Promise<readonly Person[]> {
    await (this.#timer === undefined ? this.#answered : this.again());
    return this.problem === null ? this.found : [];
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#asking?.abort();
  }

  #ask(query: PeopleQuery): Promise<void> {
    this.#asking?.abort();
    const asking = new AbortController();
    this.#asking = asking;
    this.#answered = this.#pages(query, asking.signal).finally(() => {
      if (this.#asking === asking) this.#asking = null;
    });
    return this.#answered;
  }

  async #pages(query: PeopleQuery, signal: AbortSignal): Promise<void> {
    const found: Person[] = query.after === null ? [] : [...this.found];
    const before = found.length;
    let { after } = query;
    let problem: unknown = null;
    try {
      for (let page = 0; page < EMPTY_PAGES_MAX && found.length === before; page += 1) {
        const { accounts, next } = await this.parts.fetch({ ...query, after }, signal);
        this.parts.learn(accounts);
        for (const { name, display } of accounts) {
          if (!this.parts.leftOut(accountName(name))) found.push({ name: accountName(name), display: display || name });
        }
        after = next;
        if (next === null) break;
      }
    } catch (error) {
      problem = error;
    }
    if (signal.aborted) return;
    this.problem = problem;
    if (problem === null) {
      this.found = found;
      this.foundFor = query.search;
      this.#next = after;
      this.more = after !== null;
    }
    this.changes.tell();
  }
}
