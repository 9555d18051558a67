// Marks in a message: what loads the libraries for it, and what never.
import { expect, test, vi } from "vitest";
import { Markup } from "../src/words/markup";

test("plain text never loads anything", () => {
  const load = vi.fn();
  const markup = new Markup(load);
  for (const text of ["hi", "안녕하세요!", "1 + 1 = 2", "a < b && c > d", "줄\n바꿈"]) expect(markup.html(text)).toBeNull();
  expect(load).not.toHaveBeenCalled();
});

test("the first mark loads once; until then the text stays", async () => {
  const load = vi.fn(async () => (text: string) => `<b>${text}</b>`);
  const markup = new Markup(load);
  const told = vi.fn();
  markup.changes.listen(told);
  expect(markup.html("**a**")).toBeNull();
  expect(markup.html("https://example.org")).toBeNull();
  await vi.waitFor(() => expect(told).toHaveBeenCalledOnce());
  expect(markup.html("**a**")).toBe("<b>**a**</b>");
  expect(load).toHaveBeenCalledOnce();
});

test("a failed load is tried again with the next message", async () => {
  const load = vi.fn<() => Promise<(text: string) => string>>().mockRejectedValueOnce(new Error("offline")).mockResolvedValue(() => "<i>");
  const markup = new Markup(load);
  expect(markup.html("*a*")).toBeNull();
  await Promise.resolve();
  await vi.waitFor(() => {
    markup.html("*a*");
    expect(load).toHaveBeenCalledTimes(2);
  });
  await vi.waitFor(() => expect(markup.html("*a*")).toBe("<i>"));
});
