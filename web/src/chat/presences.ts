// Who is online, as the server last said.

import type { AccountName, Presence } from "../wire/contract";
import { Changes } from "../changes";

const UNKNOWN: Presence = { state: "offline", text: "", since: null };

export class Presences {
  readonly changes = new Changes();
  readonly #known = new Map<AccountName, Presence>();

  of(account: AccountName): Presence {
    return this.#known.get(account) ?? UNKNOWN;
  }

  apply(account: AccountName, presence: Presence): void {
    this.#known.set(account, presence);
    this.changes.tell();
  }

  /** Without a connection nobody is known to be there. */
  clear(): void {
    this.#known.clear();
    this.changes.tell();
  }
}
