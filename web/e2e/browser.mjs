// A headless Chromium and pages in it, each a person of its own. Whatever a page complains about fails its test.

import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import path from "node:path";
import { chromium } from "playwright-core";
import { BINARY, Server } from "./server.mjs";

const CANDIDATES = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome-stable", "/usr/bin/google-chrome"];
const FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"];

/** A page out of a folder has no address; Chromium would keep it from the server's. */
const FOLDER_FLAGS = ["--disable-features=LocalNetworkAccessChecks,BlockInsecurePrivateNetworkRequests"];

const executable = process.env["MAGPIE_CHROMIUM"] ?? CANDIDATES.find(existsSync);
/** A folder to take the client from in place of the program's own copy, while working on it. */
const DIST = process.env["MAGPIE_WEB_DIST"];

/** Why nothing can be tested here, or false. */
export const missing = !BINARY
  ? "MAGPIE_BIN names no server; install: cargo build -p magpie"
  : !executable
    ? "there is no Chromium; install: apt-get install chromium"
    : false;

/** What the browser itself says of a request that the test meant to fail. */
const EXPECTED = [/Failed to load resource/, /WebSocket connection to .* failed/, /ERR_CONNECTION_REFUSED/];

/** Runs `body` with a server (with further arguments `extra`) and a browser of its own, and ends both. */
export function withServer(body, extra = []) {
  return async (t) => {
    const server = await Server.start(extra);
    let browser;
    try {
      browser = await chromium.launch({ executablePath: executable, args: DIST ? [...FLAGS, ...FOLDER_FLAGS] : FLAGS });
      const world = new World(server, browser);
      await body(world, t);
      assert.deepEqual(world.complaints, [], "the pages complained");
    } finally {
      await browser?.close();
      await server.stop();
    }
  };
}

class World {
  complaints = [];

  constructor(server, browser) {
    this.server = server;
    this.browser = browser;
  }

  /** A page of somebody's own; with a login, it is logged in. */
  async page({ login = null, lang = "en-US", width = 1100, height = 720, path: where = "/", theme = "light" } = {}) {
    const context = await this.browser.newContext({ viewport: { width, height }, locale: lang, colorScheme: theme });
    if (DIST) await context.route("**/*", fromFolder);
    if (login) {
      await context.addInitScript((kept) => {
        if (sessionStorage.getItem("e2e")) return;
        sessionStorage.setItem("e2e", "1");
        localStorage.setItem("magpie.login", kept);
      }, JSON.stringify(login));
    }
    const page = await context.newPage();
    page.setDefaultTimeout(10_000);
    const complain = (text) => {
      if (!EXPECTED.some((pattern) => pattern.test(text))) this.complaints.push(text);
    };
    page.on("console", (message) => ["error", "warning"].includes(message.type()) && complain(message.text()));
    page.on("pageerror", (error) => complain(String(error)));
    await page.goto(this.server.url + where);
    return page;
  }
}

async function fromFolder(route) {
  const { pathname } = new URL(route.request().url());
  if (/^\/(api|mqtt|healthz|readyz|metrics)/.test(pathname)) return route.continue();
  const file = path.join(DIST, pathname);
  const body = existsSync(file) && pathname !== "/" ? file : path.join(DIST, "index.html");
  const type = { ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml" }[path.extname(body)] ?? "text/html; charset=utf-8";
  const policy = (await fetch(new URL("/", route.request().url()))).headers.get("content-security-policy");
  return route.fulfill({ body: readFileSync(body), contentType: type, headers: { "content-security-policy": policy } });
}

/** The messages on a page, each as `own: text` or `other: text`, with ticks where `ticks` is set. */
export async function bubbles(page, { ticks = false } = {}) {
  const all = await page.locator("[role=log] article").evaluateAll((articles) =>
    articles.map((article) => ({
      own: article.classList.contains("own"),
      text: article.querySelector(".text").innerText,
      tick: article.querySelector("[data-tick]")?.getAttribute("data-tick") ?? null,
    })),
  );
  return all.map(({ own, text, tick }) => `${own ? "own" : "other"}: ${text}${ticks && tick ? ` (${tick})` : ""}`);
}

/** Waits until `look` returns something that `expected` deeply equals. */
export async function eventually(look, expected, timeout = 10_000) {
  const until = Date.now() + timeout;
  for (;;) {
    const seen = await look();
    try {
      assert.deepEqual(seen, expected);
      return;
    } catch (error) {
      if (Date.now() > until) throw error;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
}

export const field = (page) => page.locator("textarea");

export async function say(page, text) {
  await field(page).fill(text);
  await field(page).press("Enter");
}
