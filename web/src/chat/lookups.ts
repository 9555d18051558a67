// Names that are shown and not known yet: asks for them one after the other, each once while a connection lasts.

import { AskError } from "../wire/asks";
import type { AccountName, Fields } from "../wire/contract";

export class Lookups {
  /** Asked for and not answered. */
  readonly #unknown = new Set<AccountName>();
  readonly #waiting = new Set<AccountName>();
  #asking = false;

  constructor(
    private readonly ask: (method: string, body: object) => Promise<Fields>,
    private readonly learn: (people: { readonly name: string; readonly display: string }[]) => void,
  ) {}

  want(account: AccountName): void {
    if (this.#unknown.has(account)) return;
    this.#unknown.add(account);
    this.#waiting.add(account);
    // Whoever wants it may be in the middle of showing something.
    queueMicrotask(() => void this.#run());
  }

  /** A connection stands: what the last one left open is asked for again. */
  connected(): void {
    for (const account of this.#unknown) this.#waiting.add(account);
    void this.#run();
  }

  async #run(): Promise<void> {
    if (this.#asking) return;
    this.#asking = true;
    for (const account of this.#waiting) {
      this.#waiting.delete(account);
      try {
        const { display } = await this.ask("profile.get", { account });
        if (typeof display === "string") this.learn([{ name: account, display }]);
        this.#unknown.delete(account);
      } catch (error) {
        // The account name is shown meanwhile.
        if (error instanceof AskError && error.code === "offline") break;
      }
    }
    this.#asking = false;
  }
}
