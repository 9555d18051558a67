// One network connection to the server: what the messenger needs of MQTT, and MQTT.js behind it. It connects once and
// never again (that is `connection.ts`), and knows no topic.

import type { MqttClient } from "mqtt";

/** Who connects, as which device. */
export interface Caller {
  readonly account: string;
  readonly token: string;
  readonly device: string;
}

/** Why a connection ended. */
export type Closed =
  | { readonly why: "lost" }
  /** The server does not take this account and token. */
  | { readonly why: "refused"; readonly code: number }
  /** Another tab has come with the same client id. */
  | { readonly why: "taken" };

/** Why the server did not take a publish: an MQTT 5 reason code. */
export interface Refused {
  readonly code: number;
  /** The contract's code, from the user property `error`. */
  readonly error?: string;
}

export interface Link {
  /** `settled` is told of the server's acknowledgement; never, when the connection ends before it. */
  publish(topic: string, payload: string, qos: 0 | 1, options?: PublishOptions): void;
  subscribe(filters: readonly string[]): void;
  unsubscribe(filters: readonly string[]): void;
  /** Ends the connection at once; `closed` is not called. */
  close(): void;
}

export interface PublishOptions {
  readonly responseTopic?: string;
  readonly settled?: (refused: Refused | null) => void;
}

export interface Hearer {
  /** The connection stands and its subscriptions are granted. */
  opened(): void;
  arrived(topic: string, payload: Uint8Array): void;
  closed(closed: Closed): void;
}

/** Begins to connect and subscribes to `filters`. */
export type Dial = (caller: Caller, filters: readonly string[], hearer: Hearer) => Link;

/** Bad user name or password, not authorised, banned. */
const REFUSALS = [0x86, 0x87, 0x8a];
const SESSION_TAKEN_OVER = 0x8e;
const KEEPALIVE_SECS = 120;
const CONNECT_TIMEOUT_MS = 10_000;

/** Dials over WebSocket with MQTT.js, which is loaded here and nowhere else. */
export function dialWith(mqtt: typeof import("mqtt").default, url: string): Dial {
  return (caller, filters, hearer) => {
    let ended = false;
    let reason: Closed = { why: "lost" };
    const client = mqtt.connect(url, {
      protocolVersion: 5,
      clientId: caller.device,
      username: caller.account,
      password: caller.token,
      clean: true,
      properties: { sessionExpiryInterval: 0 },
      keepalive: KEEPALIVE_SECS,
      connectTimeout: CONNECT_TIMEOUT_MS,
      reconnectPeriod: 0,
      resubscribe: false,
      queueQoSZero: false,
      // A worker of MQTT.js would come from a blob:, which the page's policy forbids.
      timerVariant: "native",
    });
    const end = (closed: Closed): void => {
      if (ended) return;
      ended = true;
      client.end(true);
      hearer.closed(closed);
    };
    client.on("connect", () => {
      client.subscribe([...filters], { qos: 1 }, (error) => {
        if (ended) return;
        if (error) end({ why: "lost" });
        else hearer.opened();
      });
    });
    client.on("message", (topic, payload) => {
      if (!ended) hearer.arrived(topic, payload);
    });
    client.on("disconnect", (packet) => {
      if (packet.reasonCode === SESSION_TAKEN_OVER) reason = { why: "taken" };
    });
    client.on("error", (error) => {
      const code = codeOf(error);
      if (REFUSALS.includes(code)) reason = { why: "refused", code };
      end(reason);
    });
    client.on("close", () => end(reason));
    return linkOf(client, () => {
      ended = true;
    });
  };
}

function linkOf(client: MqttClient, forget: () => void): Link {
  // What fails because the connection is ending is told by `closed`.
  const ignored = (): void => undefined;
  return {
    publish(topic, payload, qos, { responseTopic, settled } = {}) {
      const properties = responseTopic === undefined ? {} : { responseTopic };
      client.publish(topic, payload, { qos, properties }, (error, packet) => {
        const code = codeOf(error);
        if (!error) settled?.(null);
        else if (code >= 0x80) settled?.({ code, ...contractCodeOf(packet) });
      });
    },
    subscribe(filters) {
      client.subscribe([...filters], { qos: 0 }, ignored);
    },
    unsubscribe(filters) {
      client.unsubscribe([...filters], ignored);
    },
    close() {
      forget();
      client.end(true);
    },
  };
}

function codeOf(error: unknown): number {
  const code = (error as { code?: unknown } | null | undefined)?.code;
  return typeof code === "number" ? code : 0;
}

/** What the acknowledgement says in the words of the contract. */
function contractCodeOf(packet: unknown): { error?: string } {
  const { properties } = (packet ?? {}) as { properties?: { userProperties?: { error?: unknown } } };
  const error = properties?.userProperties?.error;
  return typeof error === "string" ? { error } : {};
}
