// Whatever happens, and whenever the connection is lost meanwhile: in the end the tab shows what the server has. Each seed
// is a course of events of its own; a failure names it.
import { expect, test, vi } from "vitest";
import { convOf } from "../src/wire/contract";
import type { FakeServer } from "./fake-server";
import { server, tab, settle, open, type Tab } from "./tab";

const SEEDS = 150;
const STEPS = 60;
const SLUGS = ["a", "b", "c"];
const HELD = ["sync", "conversations", "history"];

/** mulberry32, by its author in the public domain. */
function randomOf(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const isIn = (slug: string): boolean => server.rooms.get(slug)?.members.has("alice") === true;

/** One thing that happens. */
async function happen(alice: Tab, random: (below: number) => number, n: number): Promise<void> {
  const slug = SLUGS[random(SLUGS.length)]!;
  const conv = random(3) === 0 ? "@bob" : slug;
  const conversation = alice.messenger.conversation(convOf(conv));
  const exists = conv === "@bob" || server.rooms.has(slug);
  switch (random(16)) {
    case 0:
    case 1:
    case 2:
      if (exists) server.say("bob", conv === "@bob" ? "@alice" : conv, String(n));
      return;
    case 3:
      if (isIn(slug)) server.kick(slug, "alice");
      return;
    case 4:
    case 5:
      if (!server.rooms.has(slug)) server.group(slug, `${slug} ${n}`, ["bob", "carol"]);
      else if (!isIn(slug)) server.invite(slug, "alice");
      return;
    case 6:
      if (server.rooms.has(slug) && random(3) === 0) server.delete(slug);
      return;
    case 7:
      return server.cut("alice");
    case 8:
      // What was under way is lost with its connection.
      server.silent = true;
      if (exists) server.say("bob", conv === "@bob" ? "@alice" : conv, String(n));
      server.silent = false;
      return server.cut("alice");
    case 9:
      server.holding = HELD[random(HELD.length)]!;
      return;
    case 10:
      return server.release();
    case 11:
      void alice.messenger.open(conversation).catch(() => undefined);
      return settle();
    case 12:
      if (conv === "@bob" ? server.rooms.has("alice+bob") : isIn(conv)) server.read("alice", conv, server.rooms.get(conv === "@bob" ? "alice+bob" : conv)!.seq);
      return;
    case 13:
      alice.messenger.send(alice.messenger.conversation(convOf("@bob")), `sent ${n}`);
      return;
    case 14:
      // Stored, and the connection is lost before anybody hears of it.
      server.silent = true;
      alice.messenger.send(alice.messenger.conversation(convOf("@bob")), `sent ${n}`);
      server.silent = false;
      return server.cut("alice");
    case 15:
      await vi.advanceTimersByTimeAsync(random(2) === 0 ? 500 : 7 * 60_000);
  }
}

/** What the server has for alice, and what the tab shows. */
function standing({ rooms }: FakeServer): string[] {
  return [...rooms.values()]
    .filter((room) => room.members.has("alice") && (room.title !== null || room.seq > 0))
    .map((room) => `${room.title ?? "밥"}, ${room.seq - room.members.get("alice")!.read} unread: ${room.entries.map(({ pos }) => String(pos)).join(" ")}`)
    .sort();
}

async function shownBy(alice: Tab): Promise<string[]> {
  const shown: string[] = [];
  for (const { id } of alice.messenger.list()) {
    const conversation = await open(alice, id);
    for (let pages = 0; pages < 10 && !conversation.fromStart; pages += 1) await alice.messenger.older(conversation);
    const title = id === "@bob" ? alice.messenger.directory.display(conversation.peer!) : conversation.title;
    shown.push(`${title}, ${conversation.unread} unread: ${conversation.entries.map(({ pos }) => pos).join(" ")}`);
  }
  return shown.sort();
}

const seeds = Array.from({ length: Number(process.env["SEEDS"] ?? SEEDS) }, (_, seed) => seed);

test.each(seeds)("seed %i", async (seed) => {
  const random = randomOf(seed);
  const alice = await tab("alice");
  const send = vi.spyOn(alice.messenger, "send");
  for (let n = 0; n < STEPS; n += 1) {
    await happen(alice, random, n);
    // Long enough to be connected again, or not.
    if (random(3) === 0) await vi.advanceTimersByTimeAsync(1000);
  }
  server.release();
  await vi.advanceTimersByTimeAsync(60_000);
  await vi.advanceTimersByTimeAsync(7 * 60_000);
  expect(await shownBy(alice)).toEqual(standing(server));
  const stored = server.rooms.get("alice+bob")?.entries.filter(({ from }) => from === "alice").map(({ text }) => String(text)) ?? [];
  expect(stored.sort()).toEqual(send.mock.calls.map(([, text]) => text).sort());
  expect(alice.messenger.outbox.all()).toEqual([]);
});
