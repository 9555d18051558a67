// The messenger through its door: a tab against the server in memory: sending, receiving, ticks, history, groups.
import { describe, expect, test, vi } from "vitest";
import { rowsOf } from "../src/chat/rows";
import { accountName, convOf, type Mid } from "../src/wire/contract";
import { server, shelf, tab, DAY_MS, settle, open, shown } from "./tab";

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
    server.tell("alice", "im/in/@bob", { kind: "message", seq: 1, pos: "9e1", from: "alice", at: Date.now(), mid, text: "hi" });
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

  test("a message whose mid another one has is sent again under a new one, in its place", async () => {
    server.say("alice", "@bob", "elsewhere", "m1");
    const kept = shelf();
    const waiting = ["m1", "m2"].map((mid) => ({ mid, conv: "@bob", text: mid, at: Date.now() }));
    kept.setItem("magpie.outbox.alice", JSON.stringify(waiting));
    const alice = await tab("alice", kept);
    expect(shown(alice, await open(alice, "@bob"))).toEqual(["alice: elsewhere (sent)", "alice: m1 (sent)", "alice: m2 (sent)"]);
    expect(alice.messenger.outbox.all()).toEqual([]);
  });

  test("and only once by itself", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    server.refusing = { error: "mid_reused", detail: "it is another's" };
    const { mid } = alice.messenger.send(conversation, "one");
    const sent = (): Mid[] => server.heard.filter(({ topic }) => topic === "im/to/@bob").map(({ payload }) => JSON.parse(payload).mid as Mid);
    expect(sent().length).toBe(2);
    expect(alice.messenger.outbox.all()).toMatchObject([{ mid: sent()[1], state: { is: "failed", error: "mid_reused" } }]);
    server.refusing = null;
    alice.messenger.retry(sent()[1]!);
    expect(new Set([mid, ...sent()]).size).toBe(3);
    expect(shown(alice, conversation)).toEqual(["alice: one (sent)"]);
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
    for (const payload of [{}, { seq: -1 }, { kind: "message", seq: "x", pos: "zz", from: "bob" }, { kind: "message", seq: 1, pos: "9e1" }]) {
      server.tell("alice", "im/in/@bob", payload);
      server.tell("alice", "im/about/@bob", payload);
      server.tell("alice", "im/in/@bob/event", payload);
      server.tell("alice", "im/me/event", payload);
    }
    server.tell("alice", "im/in/a/b/c", { seq: 1 });
    expect(alice.messenger.list()).toEqual([]);
  });

  test("what is of a kind that is not known is passed over", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    for (const kind of ["poll", undefined]) {
      server.tell("alice", "im/in/@bob", { kind, seq: 2, pos: "fff0", from: "bob", at: 1, text: "?" });
      server.tell("alice", "im/in/@bob/event", { kind, pos: "fff1", action: "join", accounts: ["bob"], from: "bob", at: 1 });
    }
    expect(shown(alice, conversation)).toEqual(["bob: 1"]);
    expect([conversation.last, conversation.entries.length]).toEqual([1, 1]);
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

  test("a message that comes once more does not end the typing that began after it", async () => {
    server.say("bob", "@alice", "1");
    const alice = await tab("alice");
    const bob = await tab("bob");
    server.say("bob", "@alice", "2");
    bob.messenger.typing(await open(bob, "@alice"));
    server.tell("alice", "im/in/@bob", server.rooms.get("alice+bob")!.entries.at(-1)!);
    expect(alice.messenger.conversation(convOf("@bob")).typing).toEqual(["bob"]);
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
    for (let n = 0; n < 60; n += 1) {
      room.entries.push({ pos: `a${n.toString(16).padStart(3, "0")}`, kind: "member", action: "join", accounts: ["bob"], from: "alice", at: 1 });
    }
    room.entries.push({ kind: "message", seq: 2, pos: "b000", from: "alice", at: 2, text: "second" });
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
    expect(conversation.entries.map((entry) => entry.entry)).toEqual(["member", "message", "message", "member"]);
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

  test("and begins with the message that comes while that is being found out", async () => {
    const alice = await tab("alice");
    server.holding = "history";
    const opened = open(alice, "@bob");
    await settle();
    server.say("bob", "@alice", "1");
    server.release();
    expect(shown(alice, await opened)).toEqual(["bob: 1"]);
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

  test("a group that its owner deletes is gone for everybody, and another one under its address begins anew", async () => {
    const alice = await tab("alice");
    const bob = await tab("bob");
    const conv = await alice.messenger.createGroup("eng", "Eng", [accountName("bob")]);
    await settle();
    const hers = await open(alice, "eng");
    const his = await open(bob, "eng");
    for (const text of ["one", "two"]) alice.messenger.send(hers, text);
    await settle();
    expect([his.last, his.unread]).toEqual([2, 2]);
    await expect(alice.messenger.deleteGroup(hers, "Eng")).rejects.toMatchObject({ code: "payload_format" });
    expect([hers.joined, his.joined]).toEqual([true, true]);
    await alice.messenger.deleteGroup(hers, "eng");
    for (const { messenger } of [alice, bob]) {
      const { joined, deleted, loaded } = messenger.conversation(conv);
      expect([joined, deleted, loaded, messenger.list()]).toEqual([false, true, false, []]);
    }
    await alice.messenger.createGroup("eng", "Eng", [accountName("bob")]);
    await settle();
    expect([his.joined, his.deleted, his.last]).toEqual([true, false, 0]);
    await bob.messenger.open(his);
    alice.messenger.send(hers, "new");
    await settle();
    expect([shown(bob, his), his.unread]).toEqual([["alice: new"], 1]);
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
    server.tell("alice", "im/about/@bob", { conv: "@bob", head: { kind: "message", seq: 1, pos: "9e1", from: "bob", at: 1, text: "안녕하", cut: true } });
    expect(conversation.head?.text).toBe("안녕하세요");
  });

  test("never stands for the message", async () => {
    const alice = await tab("alice");
    const conversation = await open(alice, "@bob");
    const head = { kind: "message", seq: 1, pos: "9e1", from: "bob", at: 1, text: "안녕하", cut: true };
    server.tell("alice", "im/about/@bob", { conv: "@bob", title: "밥", unread_count: 1, head });
    expect(shown(alice, conversation)).toEqual([]);
    server.tell("alice", "im/in/@bob", { ...head, text: "안녕하세요", cut: undefined });
    expect(shown(alice, conversation)).toEqual(["bob: 안녕하세요"]);
  });
});
