// Questions to the server and their answers, matched by an id in the answer's topic. It knows no method.

import { fieldsOf, type Fields } from "./contract";
import type { PublishOptions } from "./link";
import * as topic from "./topic";

/** The server's refusal, or our own: `offline` and `timeout`. */
export class AskError extends Error {
  constructor(
    readonly code: string,
    detail: string,
  ) {
    super(detail);
    this.name = "AskError";
  }
}

const ANSWER_TIMEOUT_MS = 15_000;
/** Refusals that pass by themselves. */
const PASSING = ["unavailable", "quota"];
/** How long to wait before asking again, each time. */
const PAUSES_MS = [500, 1000, 2000, 4000] as const;

interface Open {
  resolve(fields: Fields): void;
  reject(error: AskError): void;
  timer: ReturnType<typeof setTimeout>;
}

export class Asks {
  #next = 1;
  /** Counts connections that were lost. */
  #losses = 0;
  readonly #open = new Map<string, Open>();

  constructor(private readonly publish: (topic: string, payload: string, qos: 0 | 1, options?: PublishOptions) => boolean) {}

  ask(method: string, body: object = {}): Promise<Fields> {
    const id = String(this.#next++);
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(id, "timeout", "the server did not answer"), ANSWER_TIMEOUT_MS);
      this.#open.set(id, { resolve, reject, timer });
      const sent = this.publish(topic.ask(method), JSON.stringify(body), 1, {
        responseTopic: topic.answer(id),
        settled: (refused) => {
          if (refused) this.#fail(id, "refused", `the server refused with reason code ${refused.code}`);
        },
      });
      if (!sent) this.#fail(id, "offline", "there is no connection");
    });
  }

  /** Asks again when the server has no time at the moment: for what is asked in the background. */
  async patiently(method: string, body: object = {}): Promise<Fields> {
    const losses = this.#losses;
    for (const pause of PAUSES_MS) {
      try {
        return await this.ask(method, body);
      } catch (error) {
        if (!(error instanceof AskError && PASSING.includes(error.code))) throw error;
      }
      await new Promise((resolve) => setTimeout(resolve, pause));
      if (losses !== this.#losses) throw new AskError("offline", "the connection was lost");
    }
    return this.ask(method, body);
  }

  answered(id: string, payload: Uint8Array): void {
    const fields = fieldsOf(payload);
    if (!fields) return this.#fail(id, "payload_format", "the answer is no JSON object");
    const { error, detail } = fields;
    if (typeof error === "string") return this.#fail(id, error, typeof detail === "string" ? detail : error);
    this.#take(id)?.resolve(fields);
  }

  /** The connection is gone, and every answer with it. */
  lost(): void {
    this.#losses += 1;
    for (const id of [...this.#open.keys()]) this.#fail(id, "offline", "the connection was lost");
  }

  #fail(id: string, code: string, detail: string): void {
    this.#take(id)?.reject(new AskError(code, detail));
  }

  #take(id: string): Open | undefined {
    const open = this.#open.get(id);
    this.#open.delete(id);
    clearTimeout(open?.timer);
    return open;
  }
}
