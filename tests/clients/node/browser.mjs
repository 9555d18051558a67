// Somebody at the web client in a headless Chromium, who does what lines of standard input say and answers each with one
// line. crates/magpie/tests/demonstration.rs is the other side.
// Usage: browser.mjs URL USER PASSWORD PATH_OF_CHROMIUM
//   open CONV      opens a conversation                     -> opened
//   say TEXT       types it and presses Enter               -> said
//   stored N       waits for N messages, all of them stored -> their texts in the order of the page, as JSON

import { createRequire } from "node:module";
import path from "node:path";
import { createInterface } from "node:readline";

const modules = process.env.MAGPIE_NODE_MODULES ?? path.join(import.meta.dirname, "node_modules");
const { chromium } = createRequire(path.join(modules, "here.js"))("playwright-core");

const PATIENCE_MS = 25_000;
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];
const [url, user, password, executablePath] = process.argv.slice(2);

const browser = await chromium.launch({ executablePath, args: FLAGS });
const context = await browser.newContext({ locale: "en-US", viewport: { width: 1100, height: 2000 } });
const page = await context.newPage();
page.setDefaultTimeout(PATIENCE_MS);
await page.goto(url);
await page.getByLabel("Account name").fill(user);
await page.getByLabel("Password", { exact: true }).fill(password);
await page.getByRole("button", { name: "Log in", exact: true }).click();
await page.getByRole("navigation").waitFor();
console.log("ready");

const commands = {
  async open(conv) {
    await page.goto(conv.startsWith("@") ? `${url}/${conv}` : `${url}/g/${conv}/`);
    await page.locator("textarea").waitFor();
    return "opened";
  },

  async say(text) {
    await page.locator("textarea").fill(text);
    await page.locator("textarea").press("Enter");
    return "said";
  },

  /** A message that is only in the page has its tick on "sending" (or has failed). */
  async stored(count) {
    const texts = await page.waitForFunction(
      (wanted) => {
        const articles = [...document.querySelectorAll("[role=log] article")];
        const waiting = articles.some((article) => ["sending", "failed"].includes(article.querySelector("[data-tick]")?.getAttribute("data-tick")));
        return articles.length >= wanted && !waiting && articles.map((article) => article.querySelector(".text").innerText);
      },
      Number(count),
      { timeout: PATIENCE_MS },
    );
    return JSON.stringify(await texts.jsonValue());
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const [, command, argument] = /^(\S+) ?(.*)$/.exec(line);
  try {
    console.log(await commands[command](argument));
  } catch (error) {
    console.error(`${line}: ${error}\n${await page.locator("body").innerText().catch(() => "")}`);
    break;
  }
}
await browser.close();
