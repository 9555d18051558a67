// Small pure pieces: addresses of groups, ids, labels, what is kept of a login.
import { expect, test } from "vitest";
import { deviceIn, deviceLabel, forgetLogin, keepLogin, loginIn } from "../src/session/login";
import { comparePos, isConv, type Pos } from "../src/wire/contract";
import { arrivalOf } from "../src/wire/topic";
import { slugFor } from "../src/words/slug";

test("a group's address comes from its title where it can", () => {
  for (const [title, slug] of [["Design Team", "design-team"], ["Café Ü", "cafe-u"], ["  A--B  ", "a-b"]] as const) expect(slugFor(title)).toBe(slug);
  for (const title of ["디자인 팀", "2팀", ""]) expect(slugFor(title, "group-x")).toBe("group-x");
  expect(slugFor("디자인")).toMatch(/^group-[a-z2-9]{4}$/);
});

test("what a conversation is called", () => {
  for (const good of ["@bob", "eng", "a.b_c-d", "0"]) expect(isConv(good), good).toBe(true);
  for (const bad of ["", "@", "Bob", "-a", "a/b", "@a@b", "a".repeat(65)]) expect(isConv(bad), bad).toBe(false);
});

test("topics lead where the contract says, and others nowhere", () => {
  expect(arrivalOf("im/in/@bob")).toEqual({ table: "message", conv: "@bob" });
  expect(arrivalOf("im/in/eng/event")).toEqual({ table: "event", conv: "eng" });
  expect(arrivalOf("im/presence/bob")).toEqual({ table: "presence", account: "bob" });
  expect(arrivalOf("im/me/event")).toEqual({ table: "me" });
  for (const other of ["", "im", "im/in", "im/in/eng/other", "im/in/eng/event/x", "im/to/eng", "home/lamp", "im/me/status"]) {
    expect(arrivalOf(other), other).toBeNull();
  }
});

test("cursors grow with their length", () => {
  expect(comparePos("ff" as Pos, "100" as Pos)).toBeLessThan(0);
  expect(comparePos("9f2" as Pos, "9f1" as Pos)).toBeGreaterThan(0);
  expect(comparePos("9f2" as Pos, "9f2" as Pos)).toBe(0);
});

test("a login is kept, and nothing is made of what is not one", () => {
  const kept = new Map<string, string>();
  const shelf = { getItem: (key: string) => kept.get(key) ?? null, setItem: (key: string, value: string) => void kept.set(key, value), removeItem: (key: string) => void kept.delete(key) };
  expect(loginIn(shelf)).toBeNull();
  keepLogin(shelf, { account: "alice", token: "mpt_x" });
  expect(loginIn(shelf)).toEqual({ account: "alice", token: "mpt_x" });
  for (const broken of ["", "{", "null", "[]", '{"account":"alice"}', '{"account":"A B","token":"x"}']) {
    kept.set("magpie.login", broken);
    expect(loginIn(shelf), broken).toBeNull();
  }
  forgetLogin(shelf);
  expect(kept.size).toBe(0);
  const device = deviceIn(shelf);
  expect(device.id()).toMatch(/^web-[0-9a-f]{16}$/);
  expect(device.id()).toBe(device.id());
  expect(device.renew()).toBe(device.id());
});

test("a device is called by its browser and system", () => {
  expect(deviceLabel("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/150.0 Safari/537.36")).toBe("Chrome · Linux");
  expect(deviceLabel("Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605 Version/18 Safari/604")).toBe("Safari · iPhone");
  expect(deviceLabel("")).toBe("Browser");
});
