// The names that people see, by account. It learns from whoever knows: pages of accounts, members, peers.

import { accountName, type AccountName } from "../wire/contract";
import { Changes } from "../changes";

export interface Person {
  readonly name: AccountName;
  readonly display: string;
}

export class Directory {
  readonly changes = new Changes();
  readonly #people = new Map<AccountName, Person>();

  /** `want` hears of accounts that are to be shown and not known. */
  constructor(private readonly want: (account: AccountName) => void = () => undefined) {}

  display(account: AccountName): string {
    const person = this.#people.get(account);
    if (!person) this.want(account);
    return person?.display ?? account;
  }

  knows(account: AccountName): boolean {
    return this.#people.has(account);
  }

  learn(people: Iterable<{ readonly name: string; readonly display: string }>): void {
    let changed = false;
    for (const { name, display } of people) {
      const account = accountName(name);
      if (this.#people.get(account)?.display === (display || name)) continue;
      this.#people.set(account, { name: account, display: display || name });
      changed = true;
    }
    if (changed) this.changes.tell();
  }
}
