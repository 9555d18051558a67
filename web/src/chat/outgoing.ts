// Messages on their way out: what was typed and is not yet known to stand in its conversation. They outlive a reload of
// the tab and keep their `mid`, so that sending one again can never make two. It does not send.

import { isConv, objectOf, type AccountName, type Conv, type Mid } from "../wire/contract";

export type OutgoingState =
  /** Not acknowledged yet, or not even sent while there is no connection. */
  | { readonly is: "sending" }
  /** On the server's disk as `seq`; its echo is on the way. */
  | { readonly is: "stored"; readonly seq: number }
  /** Refused; only the person can decide to try again. */
  | { readonly is: "failed"; readonly error: string; readonly detail: string };

export interface Outgoing {
  readonly entry: "outgoing";
  readonly mid: Mid;
  readonly conv: Conv;
  readonly text: string;
  readonly at: number;
  readonly state: OutgoingState;
}

/** The part of `Storage` that is needed. */
export type Shelf = Pick<Storage, "getItem" | "setItem" | "removeItem">;

/** The server forgets a `mid` after seven days; a little earlier, sending again might make a second message. */
const MID_LIFETIME_MS = 6.5 * 24 * 60 * 60 * 1000;
const EXPIRED: OutgoingState = { is: "failed", error: "expired", detail: "" };
/** The server's word for a `mid` that another message has. */
export const MID_REUSED = "mid_reused";
const MID_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
const MID_LENGTH = 12;

/** A random word: two devices that counted would use the same ones. */
export function newMid(): Mid {
  const bytes = crypto.getRandomValues(new Uint8Array(MID_LENGTH));
  return Array.from(bytes, (byte) => MID_LETTERS[byte % MID_LETTERS.length]).join("") as Mid;
}

export class Outbox {
  /** In the order in which they were typed. */
  readonly #waiting = new Map<Mid, Outgoing>();
  readonly #key: string;

  constructor(
    account: AccountName,
    private readonly shelf: Shelf,
    private readonly now: () => number = Date.now,
  ) {
    this.#key = `magpie.outbox.${account}`;
    for (const outgoing of this.#kept()) this.#waiting.set(outgoing.mid, outgoing);
  }

  all(): Outgoing[] {
    return [...this.#waiting.values()];
  }

  in(conv: Conv): Outgoing[] {
    return this.all().filter((outgoing) => outgoing.conv === conv);
  }

  /** What has to be sent (again) when a connection stands. Call `expire` before. */
  unacknowledged(): Outgoing[] {
    return this.all().filter((outgoing) => outgoing.state.is === "sending");
  }

  get(mid: Mid): Outgoing | undefined {
    return this.#waiting.get(mid);
  }

  add(conv: Conv, text: string): Outgoing {
    const outgoing: Outgoing = { entry: "outgoing", mid: newMid(), conv, text, at: this.now(), state: { is: "sending" } };
    this.#put(outgoing);
    return outgoing;
  }

  /** Gives up what has waited for too long, and returns it: only the person can decide to send it again. */
  expire(): Outgoing[] {
    const expired = this.unacknowledged().filter(({ at }) => this.#expired(at));
    return expired.flatMap(({ mid }) => this.become(mid, EXPIRED) ?? []);
  }

  /** Takes up a refused message again. The server knows nothing of its `mid`, whose life begins anew; if it is that of
   * another message, this one gets another, in the same place. */
  again(mid: Mid): Outgoing | null {
    const outgoing = this.#waiting.get(mid);
    if (outgoing?.state.is !== "failed") return null;
    const isReused = outgoing.state.error === MID_REUSED;
    const renewed: Outgoing = { ...outgoing, mid: isReused ? newMid() : mid, at: this.now(), state: { is: "sending" } };
    const all = this.all();
    this.#waiting.clear();
    for (const one of all) {
      const kept = one.mid === mid ? renewed : one;
      this.#waiting.set(kept.mid, kept);
    }
    this.#keep();
    return renewed;
  }

  /** Returns the message as it is then, or null when there is no such message. */
  become(mid: Mid, state: OutgoingState): Outgoing | null {
    const outgoing = this.#waiting.get(mid);
    if (!outgoing) return null;
    const changed = { ...outgoing, state };
    this.#put(changed);
    return changed;
  }

  remove(mid: Mid): Outgoing | null {
    const outgoing = this.#waiting.get(mid) ?? null;
    if (this.#waiting.delete(mid)) this.#keep();
    return outgoing;
  }

  /** Forgets what is known to stand in the conversation up to `seq`. */
  settle(conv: Conv, seq: number): void {
    for (const { mid, state } of this.in(conv)) {
      if (state.is === "stored" && state.seq <= seq) this.remove(mid);
    }
  }

  /** Forgets everything: this account has logged out here. */
  clear(): void {
    this.#waiting.clear();
    this.#keep();
  }

  #expired(at: number): boolean {
    return at < this.now() - MID_LIFETIME_MS;
  }

  #put(outgoing: Outgoing): void {
    this.#waiting.set(outgoing.mid, outgoing);
    this.#keep();
  }

  #keep(): void {
    try {
      if (this.#waiting.size === 0) this.shelf.removeItem(this.#key);
      else this.shelf.setItem(this.#key, JSON.stringify(this.all()));
    } catch {
      // A full or forbidden storage costs only the survival of a reload.
    }
  }

  #kept(): Outgoing[] {
    let kept: unknown;
    try {
      kept = JSON.parse(this.shelf.getItem(this.#key) ?? "[]");
    } catch {
      kept = [];
    }
    return (Array.isArray(kept) ? kept : []).flatMap((one: unknown) => {
      const { mid, conv, text, at } = objectOf(one) ?? {};
      if (typeof mid !== "string" || typeof conv !== "string" || !isConv(conv)) return [];
      if (typeof text !== "string" || typeof at !== "number") return [];
      const state: OutgoingState = this.#expired(at) ? EXPIRED : { is: "sending" };
      return [{ entry: "outgoing" as const, mid: mid as Mid, conv, text, at, state }];
    });
  }
}

/** What is published to `im/to/<conv>`. */
export const wireOf = ({ mid, text }: Outgoing): string => JSON.stringify({ mid, text });

