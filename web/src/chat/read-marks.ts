// Read markers on their way to the server: the first at once, further ones gathered for a moment, and all of them kept
// while there is no connection.

import type { Conv } from "../wire/contract";

const GATHER_MS = 250;

export class ReadMarks {
  readonly #waiting = new Map<Conv, number>();
  /** Runs for a moment after each publish. */
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `publish` returns false when there is no connection. */
  constructor(private readonly publish: (conv: Conv, seq: number) => boolean) {}

  note(conv: Conv, seq: number): void {
    this.#waiting.set(conv, Math.max(seq, this.#waiting.get(conv) ?? 0));
    if (this.#timer === undefined) this.flush();
  }

  /** Says what waits; what cannot be said waits for the next connection. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    const before = this.#waiting.size;
    for (const [conv, seq] of this.#waiting) {
      if (this.publish(conv, seq)) this.#waiting.delete(conv);
    }
    if (this.#waiting.size < before) this.#timer = setTimeout(() => this.flush(), GATHER_MS);
  }
}
