// Read markers on their way to the server: gathered for a moment, and kept while there is no connection.

import type { Conv } from "../wire/contract";

const GATHER_MS = 250;

export class ReadMarks {
  readonly #waiting = new Map<Conv, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  /** `publish` returns false when there is no connection. */
  constructor(private readonly publish: (conv: Conv, seq: number) => boolean) {}

  note(conv: Conv, seq: number): void {
    this.#waiting.set(conv, Math.max(seq, this.#waiting.get(conv) ?? 0));
    this.#timer ??= setTimeout(() => this.flush(), GATHER_MS);
  }

  /** Says what waits; what cannot be said waits for the next connection. */
  flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const [conv, seq] of this.#waiting) {
      if (this.publish(conv, seq)) this.#waiting.delete(conv);
    }
  }
}
