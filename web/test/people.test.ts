// Whom to pick: searched by the server while somebody types, and names looked up when they are shown.
import { describe, expect, test, vi } from "vitest";
import { PeopleSearch, TYPING_PAUSE_MS, type PeoplePage, type PeopleQuery } from "../src/chat/people";
import { accountName } from "../src/wire/contract";
import { server, settle, tab } from "./tab";

interface Asked {
  readonly query: PeopleQuery;
  readonly signal: AbortSignal;
  answer(page: PeoplePage): void;
  refuse(error: Error): void;
}

/** A search whose questions are answered by hand. */
function byHand(leftOut: (account: string) => boolean = () => false): { search: PeopleSearch; asked: Asked[] } {
  const asked: Asked[] = [];
  const fetch = (query: PeopleQuery, signal: AbortSignal): Promise<PeoplePage> =>
    new Promise((answer, refuse) => {
      signal.addEventListener("abort", () => refuse(new Error("called off")));
      asked.push({ query, signal, answer, refuse });
    });
  return { search: new PeopleSearch({ fetch, learn: () => undefined, leftOut }), asked };
}

const page = (names: string[], next: string | null = null): PeoplePage => ({ accounts: names.map((name) => ({ name, display: "" })), next });
const names = ({ found }: PeopleSearch): string[] => found.map(({ name }) => name);

describe("searching for people", () => {
  test("one question follows a pause in typing, and an answer that is out of date counts for nothing", async () => {
    const { search, asked } = byHand();
    void search.again();
    asked[0]!.answer(page(["alice", "bob"]));
    await settle();
    expect([names(search), search.foundFor]).toEqual([["alice", "bob"], ""]);
    for (const text of ["b", "bo", " bo "]) search.type(text);
    await vi.advanceTimersByTimeAsync(TYPING_PAUSE_MS - 1);
    expect(asked).toHaveLength(1);
    await vi.advanceTimersByTimeAsync(1);
    expect(asked[1]!.query).toEqual({ search: "bo", after: null });
    search.type("bob");
    await vi.advanceTimersByTimeAsync(TYPING_PAUSE_MS);
    expect(asked[1]!.signal.aborted).toBe(true);
    asked[1]!.answer(page(["boris"]));
    asked[2]!.answer(page(["bob"]));
    await settle();
    expect([names(search), search.foundFor, search.problem]).toEqual([["bob"], "bob", null]);
  });

  test("the list goes on page by page, over pages in which nobody is to be picked", async () => {
    const { search, asked } = byHand((name) => name.startsWith("x"));
    void search.again();
    asked[0]!.answer(page(["x1"], "x1"));
    await settle();
    expect(asked[1]!.query.after).toBe("x1");
    asked[1]!.answer(page([], "x9"));
    await settle();
    asked[2]!.answer(page(["ya", "yb"], "yb"));
    await settle();
    expect([names(search), search.more]).toEqual([["ya", "yb"], true]);
    void search.further();
    void search.further();
    expect(asked).toHaveLength(4);
    asked[3]!.answer(page(["z"]));
    await settle();
    expect([names(search), search.more]).toEqual([["ya", "yb", "z"], false]);
    void search.further();
    expect(asked).toHaveLength(4);
  });

  test("a refusal is told, and what was found before stays", async () => {
    const { search, asked } = byHand();
    void search.again();
    asked[0]!.answer(page(["alice"]));
    await settle();
    search.type("b");
    const settled = search.settled();
    asked[1]!.refuse(new Error("too often"));
    expect(await settled).toEqual([]);
    expect([names(search), search.foundFor, search.problem]).toEqual([["alice"], "", new Error("too often")]);
    void search.again();
    asked[2]!.answer(page(["bob"]));
    await settle();
    expect([names(search), search.problem]).toEqual([["bob"], null]);
  });

  test("enter picks from what was typed last, without the pause", async () => {
    const { messenger } = await tab("alice");
    const search = messenger.searchPeople((account) => account === messenger.me);
    void search.again();
    search.type("c");
    expect((await search.settled()).map(({ name }) => name)).toEqual(["carol"]);
    search.stop();
    expect(messenger.directory.knows(accountName("carol"))).toBe(true);
  });
});

describe("names", () => {
  test("a name that is shown and not known is looked up, once", async () => {
    const { messenger } = await tab("alice");
    const bob = accountName("bob");
    expect([messenger.directory.display(bob), messenger.directory.display(bob)]).toEqual(["bob", "bob"]);
    messenger.directory.display(accountName("nobody"));
    await settle();
    expect(messenger.directory.display(bob)).toBe("밥");
    messenger.directory.display(accountName("nobody"));
    await settle();
    const asked = server.heard.filter(({ topic }) => topic === "im/ask/profile.get").map(({ payload }) => JSON.parse(payload).account);
    expect(asked.filter((name) => name === "bob")).toHaveLength(1);
    expect(asked.filter((name) => name === "nobody")).toHaveLength(1);
  });

  test("what could not be looked up without a connection is looked up with the next one", async () => {
    const { messenger } = await tab("alice");
    server.cut("alice");
    expect(messenger.directory.display(accountName("bob"))).toBe("bob");
    await vi.advanceTimersByTimeAsync(2000);
    expect(messenger.directory.display(accountName("bob"))).toBe("밥");
  });
});
