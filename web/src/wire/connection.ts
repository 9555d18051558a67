// Stays connected: dials again with growing pauses, takes a new client id when another tab holds ours, and stops when the
// server refuses the login. It knows no topic and no message.

import { Changes } from "../changes";
import type { Caller, Closed, Dial, Link, PublishOptions } from "./link";

export type ConnectionState =
  | { readonly is: "connecting" }
  | { readonly is: "online" }
  /** Lost; the next attempt comes at `retryAt`, milliseconds since 1970. */
  | { readonly is: "waiting"; readonly retryAt: number }
  /** The token is no longer valid. */
  | { readonly is: "refused" }
  | { readonly is: "stopped" };

export interface ConnectionHearer {
  opened(): void;
  arrived(topic: string, payload: Uint8Array): void;
  lost(): void;
}

export interface Device {
  id(): string;
  /** Another id, because somebody else holds this one. */
  renew(): string;
}

const PAUSES_MS = [300, 1000, 2000, 4000, 8000, 15_000, 30_000] as const;
/** How long a publish that proves the connection may stay unacknowledged. */
const PROBE_TIMEOUT_MS = 5000;

export class Connection {
  readonly changes = new Changes();
  #state: ConnectionState = { is: "stopped" };
  #link: Link | null = null;
  #failures = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** Told apart so that an ended connection cannot speak for the present one. */
  #attempt = 0;

  constructor(
    private readonly dial: Dial,
    private readonly login: Omit<Caller, "device">,
    private readonly device: Device,
    private readonly filters: readonly string[],
    private readonly hearer: ConnectionHearer,
    private readonly random: () => number = Math.random,
  ) {}

  get state(): ConnectionState {
    return this.#state;
  }

  get online(): boolean {
    return this.#state.is === "online";
  }

  start(): void {
    if (this.#state.is === "stopped") this.#connect();
  }

  stop(): void {
    this.#drop();
    this.#become({ is: "stopped" });
  }

  /** Tries now when a pause is running: the network is back, or somebody is looking. */
  hurry(): void {
    if (this.#state.is === "waiting") this.#connect();
  }

  /** Publishes and drops the connection when no acknowledgement comes back in time. */
  probe(topic: string, payload: string): void {
    if (!this.online) return this.hurry();
    const attempt = this.#attempt;
    const timer = setTimeout(() => this.lose(attempt), PROBE_TIMEOUT_MS);
    this.publish(topic, payload, 1, { settled: () => clearTimeout(timer) });
  }

  /** The present connection has been of use: when it is lost, the pauses begin small again. */
  proved(): void {
    if (this.online) this.#failures = 0;
  }

  /** Gives up a connection that seems dead; by default the present one. */
  lose(attempt = this.#attempt): void {
    if (attempt !== this.#attempt || !this.online) return;
    this.#link?.close();
    this.#closed({ why: "lost" });
  }

  /** False when there is no connection: the caller keeps what it wanted to say. */
  publish(topic: string, payload: string, qos: 0 | 1, options?: PublishOptions): boolean {
    if (!this.online) return false;
    this.#link?.publish(topic, payload, qos, options);
    return true;
  }

  subscribe(filters: readonly string[]): void {
    if (this.online) this.#link?.subscribe(filters);
  }

  unsubscribe(filters: readonly string[]): void {
    if (this.online) this.#link?.unsubscribe(filters);
  }

  #connect(): void {
    this.#drop();
    const attempt = this.#attempt;
    const current = (): boolean => attempt === this.#attempt;
    this.#become({ is: "connecting" });
    this.#link = this.dial({ ...this.login, device: this.device.id() }, this.filters, {
      opened: () => {
        if (!current()) return;
        this.#become({ is: "online" });
        this.hearer.opened();
      },
      arrived: (topic, payload) => {
        if (current()) this.hearer.arrived(topic, payload);
      },
      closed: (closed) => {
        if (current()) this.#closed(closed);
      },
    });
  }

  #closed(closed: Closed): void {
    const wasOnline = this.online;
    this.#attempt += 1;
    this.#link = null;
    switch (closed.why) {
      case "refused":
        this.#become({ is: "refused" });
        break;
      case "taken":
        this.device.renew();
        this.#wait();
        break;
      case "lost":
        this.#wait();
        break;
    }
    if (wasOnline) this.hearer.lost();
  }

  #wait(): void {
    const pause = PAUSES_MS[Math.min(this.#failures, PAUSES_MS.length - 1)] ?? 0;
    this.#failures += 1;
    const jittered = pause * (0.75 + this.random() / 2);
    this.#timer = setTimeout(() => this.#connect(), jittered);
    this.#become({ is: "waiting", retryAt: Date.now() + jittered });
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#attempt += 1;
    this.#link?.close();
    this.#link = null;
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.changes.tell();
  }
}
