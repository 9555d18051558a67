// The messenger through its door: what a tab does after its connection was cut, doubled or refused, and with answers in parts.
import { describe, expect, test, vi } from "vitest";
import type { Conversation } from "../src/chat/conversation";
import { convOf } from "../src/wire/contract";
import { server, shelf, tab, settle, open, shown, syncs } from "./tab";

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

  test("what comes live does not move the cursor past what has not come", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    const since = `${String(server.rooms.get("alice+bob")!.entries.at(-1)!["pos"])}-`;
    server.silent = true;
    server.say("bob", "@alice", "2");
    server.silent = false;
    server.group("eng", "엔진", ["bob", "alice"]);
    server.say("bob", "eng", "live");
    server.receipt("@alice", "read", "bob", 2);
    server.cut("alice");
    await vi.advanceTimersByTimeAsync(1000);
    expect(syncs()).toEqual([{ since, limit: 200, states: true }]);
    expect(alice.messenger.conversation(convOf("@bob")).unread).toBe(2);
    expect(alice.messenger.conversation(convOf("eng")).unread).toBe(1);
  });

  test("what waits is sent when everything since is there, and not what turns out to have arrived", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.silent = true;
    alice.messenger.send(conversation, "stored");
    server.silent = false;
    server.cut("alice");
    alice.messenger.send(conversation, "waits");
    server.holding = "sync";
    server.heard.length = 0;
    await vi.advanceTimersByTimeAsync(1000);
    alice.messenger.send(conversation, "later");
    expect(server.heard.filter(({ topic }) => topic.startsWith("im/to/"))).toEqual([]);
    server.release();
    await settle();
    const sent = server.heard.filter(({ topic }) => topic === "im/to/@bob").map(({ payload }) => JSON.parse(payload).text as string);
    expect(sent).toEqual(["waits", "later"]);
    expect(shown(alice, conversation)).toEqual(["alice: stored (sent)", "alice: waits (sent)", "alice: later (sent)"]);
  });

  test("while connected, somebody who looks has the cursor moved on now and then, and nothing comes twice", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    const bob = await tab("bob");
    server.say("bob", "@alice", "2");
    bob.messenger.typing(await open(bob, "@alice"));
    server.heard.length = 0;
    await vi.advanceTimersByTimeAsync(3.5 * 60_000);
    expect(syncs()).toEqual([]);
    await vi.advanceTimersByTimeAsync(3 * 60_000);
    expect(syncs("alice").length).toBe(1);
    expect(shown(alice, conversation)).toEqual(["bob: 1", "bob: 2"]);
    expect(conversation.unread).toBe(2);
    alice.messenger.setActive(false);
    await vi.advanceTimersByTimeAsync(60 * 60_000);
    expect(syncs("alice").length).toBe(1);
    alice.messenger.setActive(true);
    await settle();
    expect(syncs("alice").length).toBe(2);
    expect(server.connections).toBe(2);
  });

  test("a refresh that the server refuses costs nothing and is made up for", async () => {
    const alice = await tab("alice");
    server.busy = 5;
    await vi.advanceTimersByTimeAsync(7 * 60_000);
    expect([server.connections, server.busy]).toEqual([1, 0]);
    server.silent = true;
    server.say("bob", "@alice", "1");
    await vi.advanceTimersByTimeAsync(7 * 60_000);
    expect(alice.messenger.list().map((one) => one.unread)).toEqual([1]);
  });

  test("markers that moved elsewhere come with what changed without an entry", async () => {
    for (const text of ["1", "2"]) server.say("bob", "@alice", text);
    server.say("alice", "@carol", "hi");
    const alice = await tab("alice");
    const [bob, carol] = [await open(alice, "@bob"), await open(alice, "@carol")];
    expect([bob.unread, shown(alice, carol)]).toEqual([2, ["alice: hi (sent)"]]);
    server.untold = true;
    server.cut("alice");
    server.read("alice", "@bob", 2);
    server.receipt("@alice", "received", "carol", 1);
    await vi.advanceTimersByTimeAsync(1000);
    expect([bob.unread, shown(alice, carol)]).toEqual([0, ["alice: hi (delivered)"]]);
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
    server.tell("alice", "im/about/eng", { conv: "eng", kind: "group", title: "엔진", member_count: 2 });
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
