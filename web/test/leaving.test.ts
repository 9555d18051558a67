// In a group, out of it and in it again, on this device or another, while connected or not: no hole, and no ghost.
import { describe, expect, test, vi } from "vitest";
import type { Conversation } from "../src/chat/conversation";
import { convOf } from "../src/wire/contract";
import { server, tab, settle, open, shown, type Tab } from "./tab";

const listed = ({ messenger }: Tab): string[] => messenger.list().map(({ id }) => id);
const asked = (method: string): number => server.heard.filter(({ topic }) => topic === `im/ask/${method}`).length;

/** Loses the connection, lets `happen`, and comes back; how conversations are is not told on subscribing. */
async function away(who: string, happen: () => void): Promise<void> {
  server.untold = true;
  server.cut(who);
  happen();
  await vi.advanceTimersByTimeAsync(1000);
}

async function eng(): Promise<{ alice: Tab; conversation: Conversation }> {
  server.group("eng", "엔진", ["bob", "alice"]);
  server.say("bob", "eng", "before");
  const alice = await tab("alice");
  return { alice, conversation: await open(alice, "eng") };
}

describe("leaving elsewhere", () => {
  test("the group goes from the list, and what was said before is not shown any more", async () => {
    const { alice, conversation } = await eng();
    server.kick("eng", "alice");
    expect([listed(alice), conversation.joined, conversation.deleted, conversation.loaded]).toEqual([[], false, false, false]);
  });

  test("a conversation that is told about emptily goes from the list, and comes with the next word of it", async () => {
    const { alice, conversation } = await eng();
    server.tell("alice", "im/about/eng", "");
    expect([listed(alice), conversation.joined]).toEqual([[], false]);
    server.invite("eng", "alice");
    server.about("alice", "eng");
    expect([listed(alice), conversation.title]).toEqual([["eng"], "엔진"]);
  });

  test("a group that is deleted stays one when it is told about emptily as well", async () => {
    const { conversation } = await eng();
    server.delete("eng");
    expect([conversation.joined, conversation.deleted]).toEqual([false, true]);
  });

  test("while away, it is told by sync, and nothing more has to be asked", async () => {
    const { alice, conversation } = await eng();
    server.heard.length = 0;
    await away("alice", () => {
      server.say("bob", "eng", "last");
      server.kick("eng", "alice");
      server.say("bob", "eng", "not for her");
    });
    expect([listed(alice), conversation.joined, conversation.deleted, conversation.loaded]).toEqual([[], false, false, false]);
    expect([asked("sync"), asked("conversations"), asked("history")]).toEqual([1, 0, 0]);
  });

  test("a group that was deleted while away is told of as deleted", async () => {
    const { alice, conversation } = await eng();
    await away("alice", () => server.delete("eng"));
    expect([listed(alice), conversation.deleted]).toEqual([[], true]);
  });

  test("another group under the address of one that was deleted while away begins anew", async () => {
    const { alice, conversation } = await eng();
    await away("alice", () => {
      for (let n = 0; n < 9; n += 1) server.say("bob", "eng", "old");
      server.delete("eng");
      server.group("eng", "다른 방", ["bob", "alice"]);
      server.say("bob", "eng", "new");
    });
    expect([listed(alice), conversation.title, conversation.deleted, conversation.unread]).toEqual([["eng"], "다른 방", false, 1]);
    await alice.messenger.open(conversation);
    expect(shown(alice, conversation)).toEqual(["bob: new"]);
  });

  test("also when the new one is heard of before the catch-up tells that the old one is gone", async () => {
    const { alice, conversation } = await eng();
    for (let n = 0; n < 9; n += 1) server.say("bob", "eng", "old");
    server.holding = "sync";
    await away("alice", () => {
      server.delete("eng");
      server.group("eng", "다른 방", ["bob", "alice"]);
    });
    server.say("bob", "eng", "new");
    server.release();
    await settle();
    expect([listed(alice), conversation.title, conversation.unread]).toEqual([["eng"], "다른 방", 1]);
    await alice.messenger.open(conversation);
    expect(shown(alice, conversation)).toEqual(["bob: new"]);
  });

  test("what sync worked out before one came back does not undo it", async () => {
    const { alice, conversation } = await eng();
    server.holding = "sync";
    await away("alice", () => server.kick("eng", "alice"));
    server.invite("eng", "alice");
    server.about("alice", "eng");
    server.release();
    await settle();
    expect([listed(alice), conversation.joined]).toEqual([["eng"], true]);
  });

  test("what sync worked out before one left does not bring it back", async () => {
    const { alice, conversation } = await eng();
    server.holding = "sync";
    await away("alice", () => server.say("bob", "eng", "missed"));
    server.kick("eng", "alice");
    server.release();
    await settle();
    expect([listed(alice), conversation.joined, conversation.last]).toEqual([[], false, 0]);
  });
});

describe("coming back into a group", () => {
  const wayOutAndIn = (...said: string[]) => (): void => {
    server.kick("eng", "alice");
    server.invite("eng", "carol");
    for (const text of said) server.say("bob", "eng", text);
    server.invite("eng", "alice");
  };

  test("what was said meanwhile is loaded with the rest, comings and goings too", async () => {
    const { alice, conversation } = await eng();
    await away("alice", wayOutAndIn("while", "she was out"));
    server.say("bob", "eng", "after");
    await alice.messenger.open(conversation);
    expect(shown(alice, conversation)).toEqual(["bob: before", "bob: while", "bob: she was out", "bob: after"]);
    expect(conversation.entries.map((entry) => (entry.entry === "message" ? entry.seq : `${entry.action} ${entry.accounts.join()}`))).toEqual([
      "join bob,alice", 1, "leave alice", "join carol", 2, 3, "join alice", 4,
    ]);
  });

  test("when nothing was said, who came meanwhile is no hole either", async () => {
    const { alice, conversation } = await eng();
    await away("alice", wayOutAndIn());
    await alice.messenger.open(conversation);
    expect(conversation.entries.length).toBe(5);
  });

  test("a gap in what is loaded is no silent hole", async () => {
    const { alice, conversation } = await eng();
    conversation.applyGap({ after: 1, before: 1 });
    expect(conversation.loaded).toBe(true);
    conversation.applyGap({ after: 1, before: 4 });
    expect([conversation.loaded, conversation.last]).toEqual([false, 3]);
    await alice.messenger.open(conversation);
    expect(conversation.loaded).toBe(true);
  });

  test("what may not be read is passed over, and not asked for again and again", async () => {
    const { alice, conversation } = await eng();
    server.rooms.get("eng")!.history = "joined";
    await away("alice", wayOutAndIn("not", "for her"));
    await alice.messenger.open(conversation);
    expect(shown(alice, conversation)).toEqual(["bob: before"]);
    expect(conversation.lacksNewer).toBe(false);
    server.heard.length = 0;
    server.say("bob", "eng", "after");
    await settle();
    expect(shown(alice, conversation)).toEqual(["bob: before", "bob: after"]);
    expect([asked("history"), conversation.loaded]).toEqual([0, true]);
  });

  test("a page asked for before is not taken for the one that is needed then", async () => {
    server.group("eng", "엔진", ["bob", "alice"]);
    server.say("bob", "eng", "before");
    const alice = await tab("alice");
    server.holding = "history";
    const opened = open(alice, "eng");
    await settle();
    server.holding = null;
    wayOutAndIn("while")();
    server.release();
    const conversation = await opened;
    expect(shown(alice, conversation)).toEqual(["bob: before", "bob: while"]);
  });
});

test("what was asked for to fill a hole is not shown in another group of that name", async () => {
  const { alice, conversation } = await eng();
  server.silent = true;
  server.say("bob", "eng", "lost");
  server.silent = false;
  server.holding = "history";
  server.say("bob", "eng", "live");
  await settle();
  server.holding = null;
  server.delete("eng");
  server.group("eng", "다른 방", ["bob", "alice"]);
  await alice.messenger.open(conversation);
  server.release();
  await settle();
  expect([shown(alice, conversation), conversation.entries.length]).toEqual([[], 1]);
});

describe("a conversation that is new", () => {
  test("and known by its entries alone counts those, until the list says how it is", async () => {
    const alice = await tab("alice");
    server.group("eng", "엔진", ["bob", "carol"]);
    for (let n = 1; n <= 40; n += 1) server.say("bob", "eng", String(n));
    server.holding = "conversations";
    await away("alice", () => {
      server.invite("eng", "alice");
      server.say("bob", "eng", "hello");
    });
    const conversation = alice.messenger.conversation(convOf("eng"));
    expect([listed(alice), conversation.title, conversation.unread]).toEqual([["eng"], "eng", 1]);
    server.release();
    await settle();
    expect([conversation.title, conversation.unread, conversation.group]).toEqual(["엔진", 1, { open: false, history: "all" }]);
  });

  test("stands where its newest entry belongs, with or without its newest message", async () => {
    server.headless = true;
    for (const slug of ["a", "b", "c"]) {
      vi.setSystemTime(Date.now() + 1000);
      server.group(slug, slug, ["alice", "bob"]);
    }
    vi.setSystemTime(Date.now() + 1000);
    server.say("bob", "a", "hi");
    const alice = await tab("alice");
    expect(listed(alice)).toEqual(["a", "c", "b"]);
    expect(alice.messenger.list().map(({ unread }) => unread)).toEqual([1, 0, 0]);
    vi.setSystemTime(Date.now() + 1000);
    server.invite("b", "carol");
    expect(listed(alice)).toEqual(["b", "a", "c"]);
  });
});
