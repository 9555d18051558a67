// Two people whose names look alike are told apart wherever one is shown, and links say where they lead.
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import path from "node:path";
import { test } from "node:test";
import { eventually, field, missing, say, withServer } from "./browser.mjs";

const options = { skip: missing, timeout: 120_000 };
const SHOTS = process.env["MAGPIE_SHOTS"];
if (SHOTS) mkdirSync(SHOTS, { recursive: true });

const oneLine = (text) => text.replace(/\s+/g, " ").trim();
const texts = async (locator) => (await locator.allInnerTexts()).map(oneLine);

/** In Cyrillic letters. */
const LOOKALIKE = "ВоЬ";

for (const lang of ["en-US", "ko-KR"]) {
  test(`who looks like somebody else is shown with the account's name: ${lang}`, options, withServer(async (world) => {
    const { alice, bob, eve } = await world.server.people(["alice", "김하나"], ["bob", "Bob"], ["eve", LOOKALIKE], ["carol", "Carol"]);
    const his = await world.page({ login: bob, path: "/@alice" });
    await field(his).waitFor();
    await say(his, "it is me");
    const theirs = await world.page({ login: eve, path: "/@alice" });
    await field(theirs).waitFor();
    await say(theirs, "[https://bank.example](https://evil.example/) [https://bank.example@evil.example](https://bank.example@evil.example/) https://раураl.example/ https://example.org");

    const hers = await world.page({ login: alice, lang });
    const lines = hers.locator("a.line .title");
    await eventually(async () => (await texts(lines)).sort(), ["Bob @bob", `${LOOKALIKE} @eve`]);
    await lines.filter({ hasText: "@eve" }).click();
    await eventually(() => texts(hers.locator("main h2")), [`${LOOKALIKE} @eve`]);
    const links = hers.locator(".text a");
    await eventually(
      () => links.evaluateAll((all) => all.map((one) => `${one.innerText}${getComputedStyle(one, "::after").content.replaceAll('"', "")}`)),
      [
        "https://bank.example (evil.example)",
        "https://bank.example@evil.example (evil.example)",
        "https://раураl.example/ (xn--l-7sba6dbr.example)",
        "https://example.orgnone",
      ],
    );
    if (SHOTS) await hers.screenshot({ path: path.join(SHOTS, `who-${lang}.png`) });

    // A group: over its messages, and among its members.
    await hers.locator("aside header button").nth(1).click();
    const dialog = hers.getByRole("dialog");
    await dialog.locator("input").first().fill("Team");
    for (const name of ["@bob", "@eve", "carol"]) await dialog.getByRole("button").filter({ hasText: name }).click();
    await dialog.locator("button.main").click();
    await dialog.waitFor({ state: "detached" });
    await theirs.getByRole("link", { name: "Team" }).click();
    await say(theirs, "hello from the other one");
    await eventually(() => texts(hers.locator("[role=log] h3")), [`${LOOKALIKE} @eve`]);
    assert.match(await hers.locator("[role=log]").innerText(), /\(@bob\)/);
    await hers.locator("main header button").last().click();
    const named = (item) => `${item.querySelector(".display").innerText} ${item.querySelector("small").innerText}`;
    const members = hers.getByRole("dialog").locator("li .words");
    await eventually(
      async () => (await Promise.all((await members.all()).map((one) => one.evaluate(named)))).slice(1).sort(),
      ["Bob @bob", "Carol carol", `${LOOKALIKE} @eve`],
    );
    if (SHOTS) await hers.screenshot({ path: path.join(SHOTS, `who-group-${lang}.png`) });
  }));
}
