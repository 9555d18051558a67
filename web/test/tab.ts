// A tab's messenger against the server in memory, for the tests of what a person sees. Importing it gives each test a server
// of its own and a clock that stands still.
import { afterEach, beforeEach, vi } from "vitest";
import type { Conversation } from "../src/chat/conversation";
import { Messenger } from "../src/chat/messenger";
import type { Shelf } from "../src/chat/outgoing";
import { rowsOf } from "../src/chat/rows";
import { accountName, convOf } from "../src/wire/contract";
import { FakeServer } from "./fake-server";

export let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(new Date(2026, 10, 24, 12));
  server = new FakeServer();
  for (const [name, display] of [["alice", "Alice"], ["bob", "밥"], ["carol", "Carol"]] as const) server.account(name, display);
});

afterEach(() => {
  vi.useRealTimers();
});

export function shelf(): Shelf {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

export interface Tab {
  messenger: Messenger;
  devices: string[];
}

export async function tab(name: string, on: Shelf = shelf(), device = `web-${name}`): Promise<Tab> {
  const devices = [device];
  const messenger = new Messenger({
    me: accountName(name),
    token: `mpt_${name}`,
    dial: server.dial,
    device: { id: () => devices.at(-1)!, renew: () => devices[devices.push(`${device}-${devices.length}`) - 1]! },
    shelf: on,
    people: async (query) => server.people(query),
  });
  messenger.start();
  await settle();
  return { messenger, devices };
}

export const DAY_MS = 24 * 60 * 60 * 1000;

/** Lets what is under way finish, without moving the clock. */
export async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

export async function open({ messenger }: Tab, conv: string): Promise<Conversation> {
  const conversation = messenger.conversation(convOf(conv));
  await messenger.open(conversation);
  return conversation;
}

/** What has been asked with `sync`. */
export function syncs(account = "alice"): unknown[] {
  return server.heard.filter((one) => one.account === account && one.topic === "im/ask/sync").map(({ payload }) => JSON.parse(payload) as unknown);
}

/** What the list of messages shows, one word per line. */
export function shown({ messenger }: Tab, conversation: Conversation): string[] {
  return rowsOf(conversation, messenger.outbox.in(conversation.id), messenger.me, null).flatMap((row) =>
    row.row === "bubble" ? [`${row.from}: ${row.text}${row.tick ? ` (${row.tick.is})` : ""}`] : [],
  );
}
