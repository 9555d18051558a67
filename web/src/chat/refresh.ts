// When the server is asked what is new though everything comes live: now and then, while somebody looks, so that the cursor
// does not grow old. It does not ask itself.

/** About so often; tabs that have come back together do not ask together for long. */
export const REFRESH_EVERY_MS = 5 * 60 * 1000;

export class Refresh {
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** The time has come while nobody looked. */
  #due = false;
  #looking = true;

  constructor(
    private readonly ask: () => Promise<void>,
    private readonly random: () => number = Math.random,
  ) {}

  /** Everything up to now is there. */
  done(): void {
    this.stop();
    this.#timer = setTimeout(() => this.#come(), REFRESH_EVERY_MS * (0.75 + this.random() / 2));
  }

  /** There is no connection. */
  stop(): void {
    clearTimeout(this.#timer);
    this.#due = false;
  }

  /** Somebody has the tab in front of them, or no longer. */
  look(looking: boolean): void {
    this.#looking = looking;
    if (looking && this.#due) this.#come();
  }

  #come(): void {
    this.#due = !this.#looking;
    if (this.#looking) void this.ask();
  }
}
