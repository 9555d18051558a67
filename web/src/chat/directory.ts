// The names that people see, by account, and of groups their titles. It learns from whoever knows: pages of accounts,
// members, peers; and it knows whose name alone does not say who it is.

import { accountName, directWith, type AccountName, type Conv } from "../wire/contract";
import { Changes } from "../changes";
import { Looks, type Confusables } from "./looks";

export interface Person {
  readonly name: AccountName;
  readonly display: string;
}

export class Directory {
  readonly changes = new Changes();
  readonly #people = new Map<AccountName, Person>();
  readonly #groups = new Map<Conv, string>();
  /** Null where it has to be made anew. */
  #looks: Looks | null = null;
  /** Until they have come, only the same names are alike. */
  #confusables: Confusables = new Map();
  #loading = false;

  /** `want` hears of accounts that are to be shown and not known. */
  constructor(
    private readonly want: (account: AccountName) => void = () => undefined,
    private readonly load = async () => (await import("./confusables")).confusables,
  ) {}

  display(account: AccountName): string {
    const person = this.#people.get(account);
    if (!person) this.want(account);
    return person?.display ?? account;
  }

  knows(account: AccountName): boolean {
    return this.#people.has(account);
  }

  /** `@bob` or a group's slug where the name or title alone could be taken for another's, else null. */
  handle(conv: Conv): string | null {
    const name = this.#groups.get(conv) ?? this.#people.get(accountName(conv.slice(1)))?.display;
    if (name === undefined) return null;
    // Whoever writes a handle into a name says who somebody is; we do.
    return name.includes("@") || this.#index().shared(conv, name) ? conv : null;
  }

  learn(people: Iterable<{ readonly name: string; readonly display: string }>): void {
    let changed = false;
    for (const { name, display } of people) {
      const account = accountName(name);
      if (this.#people.get(account)?.display === (display || name)) continue;
      this.#people.set(account, { name: account, display: display || name });
      changed = true;
    }
    if (changed) this.#changed();
  }

  learnTitle(group: Conv, title: string): void {
    if (this.#groups.get(group) === title) return;
    this.#groups.set(group, title);
    this.#changed();
  }

  #changed(): void {
    this.#looks = null;
    if (this.#people.size > 1) void this.#fetch();
    this.changes.tell();
  }

  #index(): Looks {
    if (this.#looks) return this.#looks;
    const looks = new Looks(this.#confusables);
    for (const { name, display } of this.#people.values()) {
      looks.claim(directWith(name), name);
      looks.claim(directWith(name), display);
    }
    for (const [group, title] of this.#groups) looks.claim(group, title);
    this.#looks = looks;
    return looks;
  }

  async #fetch(): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    try {
      this.#confusables = await this.load();
      this.#looks = null;
      this.changes.tell();
    } catch {
      // The next name tries again.
      this.#loading = false;
    }
  }
}
