// The names that people see, by account. It learns from whoever knows: the list of accounts, members, peers.

import { accountName, type AccountName } from "../wire/contract";
import { Changes } from "../changes";

export interface Person {
  readonly name: AccountName;
  readonly display: string;
}

export class Directory {
  readonly changes = new Changes();
  readonly #people = new Map<AccountName, Person>();

  display(account: AccountName): string {
    return this.#people.get(account)?.display ?? account;
  }

  knows(account: AccountName): boolean {
    return this.#people.has(account);
  }

  /** Everybody, by the name that is shown. */
  all(): Person[] {
    return [...this.#people.values()].sort((a, b) => a.display.localeCompare(b.display) || (a.name < b.name ? -1 : 1));
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
