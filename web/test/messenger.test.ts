// The messenger through its door: a tab against the server in memory, with its connection cut, doubled and refused.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import type { Conversation } from "../src/chat/conversation";
import { Messenger } from "../src/chat/messenger";
import type { Shelf } from "../src/chat/outgoing";
import { rowsOf } from "../src/chat/rows";
import { accountName, convOf, type Mid } from "../src/wire/contract";
import { FakeServer } from "./fake-server";

let server: FakeServer;

beforeEach(() => {
  vi.useFakeTimers();
  vi.setSystemTime(new Date(2026, 10, 24, 12));
  server = new FakeServer();
  for (const [name, display] of [["alice", "Alice"], ["bob", "밥"], ["carol", "Carol"]] as const) server.account(name, display);
});

afterEach(() => {
  vi.useRealTimers();
});

function shelf(): Shelf {
  const kept = new Map<string, string>();
  return {
    getItem: (key) => kept.get(key) ?? null,
    setItem: (key, value) => void kept.set(key, value),
    removeItem: (key) => void kept.delete(key),
  };
}

interface Tab {
  messenger: Messenger;
  devices: string[];
}

async function tab(name: string, on: Shelf = shelf(), device = `web-${name}`): Promise<Tab> {
  const devices = [device];
  const messenger = new Messenger({
    me: accountName(name),
    token: `mpt_${name}`,
    dial: server.dial,
    device: { id: () => devices.at(-1)!, renew: () => devices[devices.push(`${device}-${devices.length}`) - 1]! },
    shelf: on,
    people: async () => [...server.accounts].map(([account, { display }]) => ({ name: account, display })),
  });
  messenger.start();
  await settle();
  return { messenger, devices };
}

const DAY_MS = 24 * 60 * 60 * 1000;

/** Lets what is under way finish, without moving the clock. */
async function settle(): Promise<void> {
  await vi.advanceTimersByTimeAsync(0);
}

async function open({ messenger }: Tab, conv: string): Promise<Conversation> {
  const conversation = messenger.conversation(convOf(conv));
  await messenger.open(conversation);
  return conversation;
}

/** What the list of messages shows, one word per line. */
function shown({ messenger }: Tab, conversation: Conversation): string[] {
  return rowsOf(conversation, messenger.outbox.in(conversation.id), messenger.me, null).flatMap((row) =>
    row.row === "bubble" ? [`${row.from}: ${row.text}${row.tick ? ` (${row.tick.is})` : ""}`] : [],
  );
}

describe("sending", () => {
  test("a message is shown at once, then stored, once, in both tabs of the account", async () => {
    const first = await tab("alice");
    const second = await tab("alice", shelf(), "web-other");
    const conversation = await open(first, "@bob");
    const elsewhere = await open(second, "@bob");
    server.silent = true;
    first.messenger.send(conversation, "hi");
    expect(shown(first, conversation)).toEqual(["alice: hi (sending)"]);
    server.silent = false;
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(1000);
    expect(shown(first, conversation)).toEqual(["alice: hi (sent)"]);
    expect(shown(second, elsewhere)).toEqual(["alice: hi (sent)"]);
    expect(first.messenger.outbox.all()).toEqual([]);
  });

  test("an acknowledgement without its echo counts as stored, and the echo takes its place", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.silent = true;
    const { mid } = alice.messenger.send(conversation, "hi");
    server.tell("alice", `im/ack/${mid}`, { ok: true, conv: "@bob", seq: 1, pos: "9e1" });
    expect(shown(alice, conversation)).toEqual(["alice: hi (sent)"]);
    server.tell("alice", "im/in/@bob", { v: 1, seq: 1, pos: "9e1", from: "alice", at: Date.now(), mid, text: "hi" });
    expect(shown(alice, conversation)).toEqual(["alice: hi (sent)"]);
    expect(alice.messenger.outbox.all()).toEqual([]);
  });

  test("what was typed without a connection goes out in order when it is back", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.cut("alice");
    alice.messenger.send(conversation, "one");
    alice.messenger.send(conversation, "two");
    expect(shown(alice, conversation)).toEqual(["alice: one (sending)", "alice: two (sending)"]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(shown(alice, conversation)).toEqual(["alice: one (sent)", "alice: two (sent)"]);
  });

  test("an unsent message outlives a reload under the same mid", async () => {
    const kept = shelf();
    const before = await tab("alice", kept);
    const conversation = await open(before, "@bob");
    server.silent = true;
    const { mid } = before.messenger.send(conversation, "hi");
    before.messenger.stop();
    server.silent = false;
    const after = await tab("alice", kept);
    const again = await open(after, "@bob");
    await settle();
    expect(shown(after, again)).toEqual(["alice: hi (sent)"]);
    const sent = server.heard.filter(({ topic }) => topic === "im/to/@bob").map(({ payload }) => JSON.parse(payload).mid as Mid);
    expect(sent).toEqual([mid, mid]);
    expect(server.rooms.get("alice+bob")?.seq).toBe(1);
  });

  test("a refused message says why, can be sent again and be discarded for good", async () => {
    const kept = shelf();
    const alice = await tab("alice", kept);
    const conversation = await open(alice, "@bob");
    server.refusing = { error: "quota", detail: "slow down" };
    const first = alice.messenger.send(conversation, "one");
    const second = alice.messenger.send(conversation, "two");
    expect(alice.messenger.outbox.get(first.mid)?.state).toEqual({ is: "failed", error: "quota", detail: "slow down" });
    server.refusing = null;
    alice.messenger.discard(second.mid);
    alice.messenger.retry(first.mid);
    expect(shown(alice, conversation)).toEqual(["alice: one (sent)"]);
    const reloaded = await tab("alice", kept);
    await settle();
    expect(shown(reloaded, await open(reloaded, "@bob"))).toEqual(["alice: one (sent)"]);
  });

  test("what waited for longer than a mid lives is not sent again by itself, only by the person, and then lives anew", async () => {
    const kept = shelf();
    const alice = await tab("alice", kept);
    const conversation = await open(alice, "@bob");
    server.unreachable = () => undefined;
    server.cut("alice");
    const { mid } = alice.messenger.send(conversation, "hi");
    vi.setSystemTime(Date.now() + 7 * DAY_MS);
    server.unreachable = null;
    alice.messenger.connection.hurry();
    await vi.advanceTimersByTimeAsync(40_000);
    expect(alice.messenger.connection.online).toBe(true);
    expect(alice.messenger.outbox.get(mid)?.state).toEqual({ is: "failed", error: "expired", detail: "" });
    expect(server.heard.filter(({ topic }) => topic === "im/to/@bob")).toEqual([]);
    server.deaf = true;
    alice.messenger.retry(mid);
    alice.messenger.stop();
    server.deaf = false;
    const later = await tab("alice", kept);
    expect(shown(later, await open(later, "@bob"))).toEqual(["alice: hi (sent)"]);
  });

  test("the patience with an earlier connection does not end a fresh one", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.deaf = true;
    alice.messenger.send(conversation, "hi");
    await vi.advanceTimersByTimeAsync(14_000);
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.connections).toBe(2);
    await vi.advanceTimersByTimeAsync(7000);
    expect(server.connections).toBe(2);
  });

  test("the patience with a refused try does not end the next one", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.refusing = { error: "quota", detail: "slow down" };
    const { mid } = alice.messenger.send(conversation, "hi");
    await vi.advanceTimersByTimeAsync(15_000);
    server.deaf = true;
    alice.messenger.retry(mid);
    await vi.advanceTimersByTimeAsync(7000);
    expect(server.connections).toBe(1);
  });

  test("a connection that acknowledges nothing is given up and replaced", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.deaf = true;
    alice.messenger.send(conversation, "hi");
    await vi.advanceTimersByTimeAsync(19_000);
    expect(alice.messenger.connection.online).toBe(true);
    server.deaf = false;
    await vi.advanceTimersByTimeAsync(3000);
    expect(shown(alice, conversation)).toEqual(["alice: hi (sent)"]);
  });
});

describe("receiving", () => {
  test("a message raises the count until it is read, and the marker reaches the server", async () => {
    const alice = await tab("alice");
    server.say("bob", "@alice", "안녕");
    const conversation = alice.messenger.conversation(convOf("@bob"));
    expect(alice.messenger.list().map((one) => [one.id, one.unread])).toEqual([["@bob", 1]]);
    await alice.messenger.open(conversation);
    alice.messenger.read(conversation, 1);
    expect(conversation.unread).toBe(0);
    await vi.advanceTimersByTimeAsync(300);
    expect(server.heard.filter(({ topic }) => topic.endsWith("/read"))).toEqual([
      { account: "alice", topic: "im/to/@bob/read", payload: '{"seq":1}' },
    ]);
  });

  test("of several read markers in a moment the first and the last are told", async () => {
    const alice = await tab("alice");
    for (const text of ["a", "b", "c"]) server.say("bob", "@alice", text);
    const conversation = await open(alice, "@bob");
    for (const seq of [1, 2, 3, 2]) alice.messenger.read(conversation, seq);
    await vi.advanceTimersByTimeAsync(300);
    expect(server.heard.filter(({ topic }) => topic.endsWith("/read")).map(({ payload }) => payload)).toEqual(['{"seq":1}', '{"seq":3}']);
    alice.messenger.read(conversation, 3);
    await vi.advanceTimersByTimeAsync(300);
    expect(server.heard.filter(({ topic }) => topic.endsWith("/read")).length).toBe(2);
  });

  test("a hole in seq is filled from history before what follows is shown", async () => {
    const alice = await tab("alice");
    server.say("bob", "@alice", "1");
    const conversation = await open(alice, "@bob");
    server.silent = true;
    for (const text of ["2", "3"]) server.say("bob", "@alice", text);
    server.silent = false;
    server.say("bob", "@alice", "4");
    expect(shown(alice, conversation)).toEqual(["bob: 1"]);
    await settle();
    expect(shown(alice, conversation)).toEqual(["bob: 1", "bob: 2", "bob: 3", "bob: 4"]);
  });

  test("the same message twice is shown once", async () => {
    const alice = await tab("alice");
    server.say("bob", "@alice", "1");
    const conversation = await open(alice, "@bob");
    const entry = server.rooms.get("alice+bob")!.entries[0]!;
    server.tell("alice", "im/in/@bob", entry);
    expect(shown(alice, conversation)).toEqual(["bob: 1"]);
    expect(conversation.unread).toBe(1);
  });

  test("payloads of a wrong shape change nothing", async () => {
    const alice = await tab("alice");
    for (const payload of [{}, { seq: -1 }, { seq: "x", pos: "zz" }, { seq: 1, pos: "9e1" }]) {
      server.tell("alice", "im/in/@bob", payload);
      server.tell("alice", "im/about/@bob", payload);
      server.tell("alice", "im/in/@bob/event", payload);
      server.tell("alice", "im/me/event", payload);
    }
    server.tell("alice", "im/in/a/b/c", { seq: 1 });
    expect(alice.messenger.list()).toEqual([]);
  });

  test("typing lapses after six seconds, and with a message", async () => {
    const alice = await tab("alice");
    const bob = await tab("bob");
    const conversation = await open(alice, "@bob");
    const other = await open(bob, "@alice");
    server.say("alice", "@bob", "hi");
    bob.messenger.typing(other);
    expect(conversation.typing).toEqual(["bob"]);
    await vi.advanceTimersByTimeAsync(6100);
    expect(conversation.typing).toEqual([]);
    bob.messenger.typing(other);
    bob.messenger.send(other, "done");
    expect(conversation.typing).toEqual([]);
  });

  test("typing is told at most once in three seconds", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    for (let key = 0; key < 10; key += 1) {
      alice.messenger.typing(conversation);
      await vi.advanceTimersByTimeAsync(500);
    }
    expect(server.heard.filter(({ topic }) => topic.endsWith("/typing")).length).toBe(2);
  });
});

describe("ticks", () => {
  test("sent, delivered, read", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    alice.messenger.send(conversation, "hi");
    expect(shown(alice, conversation)).toEqual(["alice: hi (sent)"]);
    server.receipt("@alice", "received", "bob", 1);
    expect(shown(alice, conversation)).toEqual(["alice: hi (delivered)"]);
    server.receipt("@alice", "read", "bob", 1);
    expect(shown(alice, conversation)).toEqual(["alice: hi (read)"]);
  });

  test("in a group, by how many of how many", async () => {
    server.group("eng", "엔진", ["alice", "bob", "carol"]);
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    alice.messenger.send(conversation, "hi");
    server.receipt("eng", "read", "bob", 1);
    const row = rowsOf(conversation, [], alice.messenger.me, null).at(-1);
    expect(row?.row === "bubble" && row.tick).toEqual({ is: "read", by: 1, of: 2 });
  });
});

describe("history", () => {
  test("comes page by page up to the beginning", async () => {
    for (let n = 1; n <= 120; n += 1) server.say("bob", "@alice", String(n));
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    expect(conversation.oldestSeq).toBe(71);
    expect(conversation.fromStart).toBe(false);
    await alice.messenger.older(conversation);
    await alice.messenger.older(conversation);
    expect(conversation.oldestSeq).toBe(1);
    expect(conversation.fromStart).toBe(true);
    expect(shown(alice, conversation)).toEqual(Array.from({ length: 120 }, (_, index) => `bob: ${index + 1}`));
  });

  test("a page of nothing but comings and goings does not stop the way up", async () => {
    server.group("eng", "엔진", ["alice"]);
    server.say("alice", "eng", "first");
    const room = server.rooms.get("eng")!;
    for (let n = 0; n < 60; n += 1) server.receipt("eng", "received", "alice", 1);
    for (let n = 0; n < 60; n += 1) {
      room.entries.push({ pos: `a${n.toString(16).padStart(3, "0")}`, kind: "member", action: "join", account: "bob", from: "alice", at: 1 });
    }
    room.entries.push({ v: 1, seq: 2, pos: "b000", from: "alice", at: 2, text: "second" });
    room.seq = 2;
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    await alice.messenger.older(conversation);
    expect(shown(alice, conversation)).toEqual(["alice: first (sent)", "alice: second (sent)"]);
  });

  test("a conversation opens with a message, if there is one, not with comings and goings alone", async () => {
    server.group("eng", "엔진", ["alice"]);
    server.say("alice", "eng", "first");
    server.churn("eng", "bob", 120);
    const alice = await tab("alice");
    expect(shown(alice, await open(alice, "eng"))).toEqual(["alice: first (sent)"]);
  });

  test("any number of comings and goings can be walked past", async () => {
    server.group("eng", "엔진", ["alice"]);
    server.say("alice", "eng", "first");
    server.churn("eng", "bob", 1700);
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    for (let pages = 0; pages < 5 && !conversation.fromStart; pages += 1) await alice.messenger.older(conversation);
    expect(shown(alice, conversation)).toEqual(["alice: first (sent)"]);
    expect(conversation.entries.length).toBe(1702);
    expect(conversation.fromStart).toBe(true);
  });

  test("the beginning is not claimed while there is more, even where an older server shows no way on", async () => {
    server.bySeqOnly = true;
    server.group("eng", "엔진", ["alice"]);
    server.say("alice", "eng", "first");
    server.churn("eng", "bob", 300);
    server.say("alice", "eng", "second");
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    await alice.messenger.older(conversation);
    expect(conversation.fromStart).toBe(false);
    expect(shown(alice, conversation)).toEqual(["alice: second (sent)"]);
  });

  test("a hole is filled past any number of comings and goings", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    server.say("bob", "eng", "1");
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    server.silent = true;
    server.churn("eng", "carol", 250);
    server.say("bob", "eng", "2");
    server.silent = false;
    server.say("bob", "eng", "3");
    await settle();
    expect(shown(alice, conversation)).toEqual(["bob: 1", "bob: 2", "bob: 3"]);
  });

  test("what overtakes the first page is shown behind it", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    server.say("bob", "eng", "1");
    const alice = await tab("alice");
    server.holding = "history";
    const opened = open(alice, "eng");
    await settle();
    server.say("bob", "eng", "2");
    server.invite("eng", "carol");
    server.release();
    const conversation = await opened;
    // It came by itself: nothing had to be asked for.
    expect(server.heard.filter(({ topic }) => topic === "im/ask/history").length).toBe(1);
    expect(shown(alice, conversation)).toEqual(["bob: 1", "bob: 2"]);
    expect(conversation.entries.map((entry) => entry.entry)).toEqual(["member", "member", "message", "message", "member"]);
  });

  test("what the first page lacks though it is known is asked for", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    server.holding = "history";
    const opened = open(alice, "@bob");
    await settle();
    server.silent = true;
    for (const text of ["2", "3"]) server.say("bob", "@alice", text);
    server.silent = false;
    server.say("bob", "@alice", "4");
    server.release();
    expect(shown(alice, await opened)).toEqual(["bob: 1", "bob: 2", "bob: 3", "bob: 4"]);
  });

  test("a page that comes for a stretch thrown away meanwhile makes no hole", async () => {
    for (let n = 1; n <= 120; n += 1) server.say("bob", "@alice", String(n));
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.holding = "history";
    const older = alice.messenger.older(conversation);
    await settle();
    server.holding = null;
    for (let n = 121; n <= 240; n += 1) server.say("bob", "@alice", String(n));
    conversation.unload();
    await alice.messenger.open(conversation);
    server.release();
    await older;
    expect(shown(alice, conversation)).toEqual(Array.from({ length: 50 }, (_, n) => `bob: ${n + 191}`));
  });

  test("a server that is busy for a moment is asked again", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    server.busy = 3;
    const opened = open(alice, "@bob");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(shown(alice, await opened)).toEqual(["bob: 1"]);
  });

  test("a direct chat that has not begun is empty, not an error", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@carol");
    expect(conversation.fromStart).toBe(true);
    expect(alice.messenger.list()).toEqual([]);
  });
});

describe("coming back", () => {
  test("everything since is caught up, over several pages, in order", async () => {
    server.say("bob", "@alice", "0");
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.cut("alice");
    for (let n = 1; n <= 450; n += 1) server.say("bob", "@alice", String(n));
    await vi.advanceTimersByTimeAsync(1000);
    expect(shown(alice, conversation)).toEqual(Array.from({ length: 451 }, (_, n) => `bob: ${n}`));
    expect(conversation.unread).toBe(451);
  });

  test("a second loss between the pages leaves no hole", async () => {
    server.say("bob", "@alice", "0");
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.cut("alice");
    for (let n = 1; n <= 450; n += 1) server.say("bob", "@alice", String(n));
    // The first answer of the catch-up is followed by a live message and the next loss.
    let answers = 0;
    conversation.changes.listen(() => {
      if (conversation.upTo === 100 && answers++ === 0) {
        server.say("bob", "@alice", "live");
        server.cut("alice");
      }
    });
    await vi.advanceTimersByTimeAsync(5000);
    expect(shown(alice, conversation)).toEqual([...Array.from({ length: 451 }, (_, n) => `bob: ${n}`), "bob: live"]);
  });

  test("too long away starts over with the list and the newest page", async () => {
    server.say("bob", "@alice", "0");
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.cut("alice");
    server.syncMax = 10;
    for (let n = 1; n <= 80; n += 1) server.say("bob", "@alice", String(n));
    await vi.advanceTimersByTimeAsync(1000);
    expect(conversation.unread).toBe(81);
    expect(conversation.loaded).toBe(false);
    await alice.messenger.open(conversation);
    expect(shown(alice, conversation)).toEqual(Array.from({ length: 50 }, (_, n) => `bob: ${n + 31}`));
  });

  test("a receipt ahead of what has not come yet does not move the cursor past it", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    const since = server.rooms.get("alice+bob")!.entries.at(-1)!["pos"];
    server.silent = true;
    server.say("bob", "@alice", "2");
    server.silent = false;
    server.receipt("@alice", "read", "bob", 2);
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(1000);
    const syncs = server.heard.filter(({ topic }) => topic === "im/ask/sync").map(({ payload }) => JSON.parse(payload));
    expect(syncs).toEqual([{ since, limit: 200 }]);
    expect(alice.messenger.conversation(convOf("@bob")).unread).toBe(2);
  });

  test("a group one was removed from while away is gone, and one that was new is there", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    server.group("ops", "운영", ["alice", "bob"]);
    const alice = await tab("alice");
    const eng = await open(alice, "eng");
    server.cut("alice");
    server.kick("eng", "alice");
    server.group("new", "새 방", ["bob", "alice"]);
    await vi.advanceTimersByTimeAsync(1000);
    expect(alice.messenger.list().map(({ id }) => id).sort()).toEqual(["new", "ops"]);
    expect(eng.joined).toBe(false);
    expect(eng.loaded).toBe(false);
  });

  test("what is told while the list is on its way is newer than the list", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    const alice = await tab("alice");
    server.cut("alice");
    server.holding = "conversations";
    await vi.advanceTimersByTimeAsync(1000);
    server.kick("eng", "alice");
    server.group("new", "새 방", ["bob", "alice"]);
    server.release();
    await settle();
    expect(alice.messenger.list().map(({ id }) => id)).toEqual(["new"]);
  });

  test("a description worked out before one left does not bring the group back", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    const alice = await tab("alice");
    server.kick("eng", "alice");
    server.tell("alice", "im/about/eng", { conv: "eng", kind: "group", title: "엔진", members: 2 });
    expect(alice.messenger.list()).toEqual([]);
    server.invite("eng", "alice");
    expect(alice.messenger.list().map(({ id }) => id)).toEqual(["eng"]);
  });

  test("a question that waits for a busy server ends with its connection", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    server.busy = 1;
    const opened = open(alice, "@bob").catch((error: { code: string }) => error.code);
    await settle();
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(10_000);
    expect(await opened).toBe("offline");
    expect(server.heard.filter(({ topic }) => topic === "im/ask/history").length).toBe(1);
  });

  test("markers and members of an open group are those of today", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    alice.messenger.send(conversation, "hi");
    server.cut("alice");
    server.receipt("eng", "read", "bob", 1);
    server.invite("eng", "carol");
    await vi.advanceTimersByTimeAsync(1000);
    expect(shown(alice, conversation)).toEqual(["alice: hi (read)"]);
    expect(conversation.memberList?.map(({ name }) => name)).toEqual(["alice", "bob", "carol"]);
  });

  test("of many open groups the earlier ones are loaded anew when they are shown again", async () => {
    for (let n = 0; n < 12; n += 1) server.group(`g${n}`, `G${n}`, ["alice", "bob"]);
    const alice = await tab("alice");
    const groups: Conversation[] = [];
    for (let n = 0; n < 12; n += 1) groups.push(await open(alice, `g${n}`));
    server.heard.length = 0;
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(1000);
    expect(server.heard.filter(({ topic }) => topic === "im/ask/members").length).toBe(8);
    expect(groups.map(({ loaded }) => loaded).filter(Boolean).length).toBe(8);
    expect(groups[11]!.loaded).toBe(true);
    await alice.messenger.open(groups[0]!);
    expect(groups[0]!.memberList?.length).toBe(2);
  });

  test("a busy server does not cost the connection", async () => {
    const alice = await tab("alice");
    server.cut("alice");
    server.say("bob", "@alice", "1");
    server.busy = 2;
    await vi.advanceTimersByTimeAsync(10_000);
    expect(server.connections).toBe(2);
    expect(alice.messenger.list().map((one) => one.unread)).toEqual([1]);
  });

  test("a server that never says what was missed is asked ever more rarely", async () => {
    const alice = await tab("alice");
    server.busy = Infinity;
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(10 * 60_000);
    expect(server.connections).toBeLessThan(30);
    expect(server.connections).toBeGreaterThan(5);
    server.busy = 0;
    server.say("bob", "@alice", "1");
    await vi.advanceTimersByTimeAsync(60_000);
    expect(alice.messenger.list().map((one) => one.unread)).toEqual([1]);
  });

  test("pauses grow between attempts, and one can hurry", async () => {
    const alice = await tab("alice");
    const attempts: number[] = [];
    server.unreachable = () => attempts.push(Date.now());
    const start = Date.now();
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(60_000);
    const pauses = attempts.map((at, index) => at - (attempts[index - 1] ?? start));
    expect(pauses.length).toBeGreaterThan(4);
    expect(pauses.length).toBeLessThan(12);
    expect(pauses.at(-1)).toBeGreaterThan(5000);
    server.unreachable = null;
    alice.messenger.connection.hurry();
    await settle();
    expect(alice.messenger.connection.online).toBe(true);
  });

  test("pauses begin small again after each connection that was of use", async () => {
    await tab("alice");
    for (let times = 1; times <= 8; times += 1) {
      server.cut("alice");
      await vi.advanceTimersByTimeAsync(400);
      expect(server.connections).toBe(times + 1);
    }
  });

  test("a revoked token ends the attempts", async () => {
    const alice = await tab("alice");
    server.accounts.get("alice")!.token = "mpt_other";
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(1000);
    expect(alice.messenger.connection.state.is).toBe("refused");
    await vi.advanceTimersByTimeAsync(120_000);
    expect(alice.messenger.connection.state.is).toBe("refused");
  });

  test("two tabs with one client id do not push each other off for ever", async () => {
    const first = await tab("alice");
    const second = await tab("alice", shelf(), "web-alice");
    await vi.advanceTimersByTimeAsync(2000);
    expect(first.messenger.connection.online).toBe(true);
    expect(second.messenger.connection.online).toBe(true);
    expect(first.devices.length).toBe(2);
    expect(second.devices.length).toBe(1);
  });
});

describe("groups", () => {
  test("are made, seen by those who are in them, and left", async () => {
    const alice = await tab("alice");
    const bob = await tab("bob");
    const conv = await alice.messenger.createGroup("eng", "엔진", [accountName("bob")]);
    const conversation = await open(alice, conv);
    await alice.messenger.invite(conversation, [accountName("carol")]);
    expect(conversation.memberList?.map(({ name, role }) => `${name} ${role}`)).toEqual(["alice owner", "bob member", "carol member"]);
    expect(bob.messenger.list().map(({ id }) => id)).toEqual(["eng"]);
    await bob.messenger.leave(bob.messenger.conversation(conv));
    expect(bob.messenger.list()).toEqual([]);
  });

  test("being added again after leaving loads the conversation anew", async () => {
    server.group("eng", "엔진", ["alice", "bob"]);
    const alice = await tab("alice");
    const bob = await tab("bob");
    const his = await open(bob, "eng");
    await bob.messenger.leave(his);
    server.say("alice", "eng", "while away");
    await alice.messenger.invite(await open(alice, "eng"), [accountName("bob")]);
    expect(his.joined).toBe(true);
    await bob.messenger.open(his);
    expect(shown(bob, his)).toEqual(["alice: while away"]);
  });
});

describe("answers in parts", () => {
  test("the list of conversations, at first and after too long", async () => {
    server.listMax = 2;
    const slugs = ["a", "b", "c", "d", "e"];
    for (const slug of slugs) server.group(slug, slug, ["alice", "bob"]);
    // Only the list tells of them.
    const alice = await tab("alice");
    expect(server.heard.filter(({ topic }) => topic === "im/ask/conversations").map(({ payload }) => Object.keys(JSON.parse(payload)))).toEqual([
      [], ["before"], ["before"],
    ]);
    server.cut("alice");
    server.syncMax = 0;
    server.kick("b", "alice");
    server.say("bob", "a", "hi");
    await vi.advanceTimersByTimeAsync(1000);
    expect(alice.messenger.list().map(({ id }) => id).sort()).toEqual(["a", "c", "d", "e"]);
  });

  test("the members of a group, and their count is that of all", async () => {
    server.membersMax = 1;
    server.group("eng", "엔진", ["bob", "alice", "carol"]);
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    expect(conversation.memberList?.map(({ name }) => name)).toEqual(["alice", "bob", "carol"]);
    expect(conversation.members).toBe(3);
  });

  test("many comings at once are not as many questions", async () => {
    server.group("eng", "엔진", ["alice"]);
    const alice = await tab("alice");
    const conversation = await open(alice, "eng");
    server.heard.length = 0;
    for (let n = 0; n < 40; n += 1) {
      server.account(`p${n}`);
      server.invite("eng", `p${n}`);
    }
    await settle();
    expect(conversation.memberList?.length).toBe(41);
    expect(server.heard.filter(({ topic }) => topic === "im/ask/members").length).toBeLessThan(4);
  });
});

describe("a head that is cut", () => {
  test("is shown in the list and gives way to the message", async () => {
    server.headMax = 3;
    server.say("bob", "@alice", "안녕하세요");
    const alice = await tab("alice");
    const conversation = alice.messenger.conversation(convOf("@bob"));
    expect(conversation.head?.text).toBe("안녕하");
    await alice.messenger.open(conversation);
    expect(shown(alice, conversation)).toEqual(["bob: 안녕하세요"]);
    expect(conversation.head?.text).toBe("안녕하세요");
    server.tell("alice", "im/about/@bob", { conv: "@bob", head: { seq: 1, pos: "9e1", from: "bob", at: 1, text: "안녕하", cut: true } });
    expect(conversation.head?.text).toBe("안녕하세요");
  });

  test("never stands for the message", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    const head = { seq: 1, pos: "9e1", from: "bob", at: 1, text: "안녕하", cut: true };
    server.tell("alice", "im/about/@bob", { conv: "@bob", title: "밥", unread: 1, head });
    expect(shown(alice, conversation)).toEqual([]);
    server.tell("alice", "im/in/@bob", { ...head, text: "안녕하세요", cut: undefined });
    expect(shown(alice, conversation)).toEqual(["bob: 안녕하세요"]);
  });
});
