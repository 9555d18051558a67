// Coming in: the first account, login, and a login that ends.
import assert from "node:assert/strict";
import { test } from "node:test";
import { missing, withServer } from "./browser.mjs";
import { PASSWORD } from "./server.mjs";

const options = { skip: missing, timeout: 120_000 };

test("the first account is made from the printed link, and somebody to talk to after it", options, withServer(async (world) => {
  const page = await world.page({ path: "/setup" });
  await page.getByText("lacks its one-time token").waitFor();

  await page.goto(`${world.server.url}/setup#token=wrong`);
  await page.getByLabel("Account name").fill("alice");
  await page.getByLabel("Name that people see").fill("Alice Han");
  await page.getByLabel("Password", { exact: true }).fill("short");
  await page.getByRole("button", { name: "Make account and start" }).click();
  await page.getByText("needs at least 8 characters").waitFor();
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Make account and start" }).click();
  await page.getByText("This one-time link is not valid").waitFor();

  await page.evaluate((token) => { location.hash = `token=${token}`; }, world.server.setupToken);
  await page.getByRole("button", { name: "Make account and start" }).click();
  await page.getByText("No conversations yet").waitFor();
  assert.equal(new URL(page.url()).hash, "", "the token has left the address");

  await page.getByRole("navigation").getByRole("button", { name: "New chat" }).click();
  await page.getByText("You are the only one here so far").waitFor();
  await page.getByLabel("Account name").fill("bob");
  await page.getByLabel("Name that people see").fill("밥");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Add account" }).click();
  await page.getByText("밥 can log in now").waitFor();
  // A name that looks like another's has to be insisted on.
  await page.getByLabel("Account name").fill("a1ice");
  await page.getByLabel("Name that people see").fill("Rob");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Add account" }).click();
  await page.getByText("This name looks like that of another account").waitFor();
  await page.getByRole("button", { name: "Add it anyway" }).click();
  await page.getByText("Rob can log in now").waitFor();
  await page.getByRole("list", { name: "Whom" }).getByRole("button", { name: "밥" }).click();
  await page.getByText("Nothing here yet. Write to 밥.").waitFor();
  assert.equal(new URL(page.url()).pathname, "/@bob");

  const late = await world.page({ path: `/setup#token=${world.server.setupToken}` });
  await late.getByText("has been set up already").waitFor();
}));

test("a wrong password is said to be wrong, a right one lets in, and logging out forgets", options, withServer(async (world) => {
  await world.server.people(["alice", "Alice Han"]);
  const page = await world.page({ lang: "ko-KR" });
  await page.getByLabel("계정 이름").fill("alice");
  await page.getByLabel("비밀번호", { exact: true }).fill("not this one");
  await page.getByRole("button", { name: "로그인", exact: true }).click();
  await page.getByText("이름이나 비밀번호가 맞지 않습니다").waitFor();
  await page.getByLabel("비밀번호", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "로그인", exact: true }).click();
  await page.getByText("아직 대화가 없습니다").waitFor();
  assert.equal(await page.locator("html").getAttribute("lang"), "ko");

  await page.getByRole("button", { name: "설정" }).click();
  await page.getByRole("radio", { name: "English" }).check();
  await page.getByRole("heading", { name: "Settings" }).waitFor();
  await page.getByRole("radio", { name: "Dark" }).check();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark");
  const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor);
  assert.equal(ground, "rgb(20, 23, 26)", "a system that is light does not stand in the way");
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  assert.equal(await page.evaluate(() => localStorage.getItem("magpie.login")), null);
  await page.reload();
  await page.getByRole("heading", { name: "Log in" }).waitFor();
  assert.equal(await page.locator("html").getAttribute("data-theme"), "dark", "the choice of appearance stays");
}));

test("a revoked token asks to log in again, with the name filled in", options, withServer(async (world) => {
  const { alice } = await world.server.people(["alice", "Alice"]);
  const page = await world.page({ login: alice });
  await page.getByText("No conversations yet").waitFor();
  await world.server.rest("POST", "/logout", { token: alice.token });
  // The next connection is refused.
  await page.reload();
  await page.getByText("Your login on this device has ended").waitFor();
  assert.equal(await page.getByLabel("Account name").inputValue(), "alice");
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByRole("button", { name: "Log in", exact: true }).click();
  await page.getByText("No conversations yet").waitFor();
}));
