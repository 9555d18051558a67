// Links say where they lead.
import { expect, test } from "vitest";
import { leadsTo } from "../src/words/links";

test("an address that stands as it is dialled needs no more", () => {
  for (const [text, href] of [
    ["https://example.org", "https://example.org"],
    ["https://example.org/a?b#c", "https://example.org/a?b#c"],
    ["HTTPS://Example.org/A", "https://example.org/A"],
    ["http://example.org:8080/x", "http://example.org:8080/x"],
    ["https://ko.wikipedia.org/wiki/까치", "https://ko.wikipedia.org/wiki/%EA%B9%8C%EC%B9%98"],
    ["bob@example.org", "mailto:bob@example.org"],
  ] as const) {
    expect(leadsTo(text, href), text).toBeNull();
  }
});

test("a link in other words, or in those of another address, says its host", () => {
  for (const [text, href, host] of [
    ["here", "https://evil.example/x", "evil.example"],
    ["https://bank.example", "https://evil.example", "evil.example"],
    ["https://bank.example/", "https://bank.example.evil.example/", "bank.example.evil.example"],
    ["bank.example", "https://evil.example:8443", "evil.example:8443"],
    ["https://bank.example@evil.example", "https://bank.example@evil.example", "evil.example"],
    ["https://bank.example:x@evil.example/", "https://bank.example:x@evil.example/", "evil.example"],
    ["https://evil.example\u2215bank", "https://evil.example", "evil.example"],
    ["https://bank.example\\@evil.example", "https://bank.example/@evil.example", "bank.example"],
    ["https://bank.example/a", "https://bank.example/b", "bank.example"],
    ["write to me", "mailto:eve@evil.example", "eve@evil.example"],
    ["bob@bank.example", "mailto:eve@evil.example", "eve@evil.example"],
  ] as const) {
    expect(leadsTo(text, href), text).toBe(host);
  }
});

test("a host of other letters is shown as it is dialled", () => {
  for (const host of ["аррӏе.com", "раураl.com", "münchen.example", "한국.kr", "ｂank.example"]) {
    const { href, host: ascii } = new URL(`https://${host}/`);
    expect(leadsTo(`https://${host}/`, href), host).toBe(ascii);
    expect(ascii).toMatch(/^[ -~]+$/);
  }
});
