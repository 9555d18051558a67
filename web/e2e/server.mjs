// One real server for one test: its own data directory and free ports on loopback, ended by its own process id.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { createInterface } from "node:readline";

const READY_MS = 30_000;
const STOP_MS = 10_000;

export const BINARY = process.env["MAGPIE_BIN"] ?? "";
export const PASSWORD = "correct horse";

export class Server {
  #child;
  #http;
  #said = [];
  setupToken = "";
  /** Passwords of the people of `--demo`, by name. */
  demo = {};

  constructor(data, extra) {
    this.data = data;
    this.extra = extra;
  }

  get url() {
    return `http://${this.#http}`;
  }

  /** `extra`: further arguments of `serve`. */
  static async start(extra = []) {
    const server = new Server(await mkdtemp(path.join(tmpdir(), "magpie-e2e-")), extra);
    await server.run();
    return server;
  }

  /** Starts the program; again at the same HTTP address after `kill`. */
  async run() {
    const data = path.join(this.data, "data");
    const arguments_ = ["serve", "--data", data, "--mqtt", "127.0.0.1:0", "--http", this.#http ?? "127.0.0.1:0", ...this.extra];
    const child = spawn(BINARY, arguments_, { stdio: ["ignore", "pipe", "pipe"], cwd: this.data });
    this.#child = child;
    child.stderr.on("data", (text) => this.#said.push(String(text)));
    const lines = createInterface({ input: child.stdout });
    await new Promise((resolve, reject) => {
      const fail = (why) => reject(new Error(`the server ${why}\n${this.#said.join("")}`));
      const timer = setTimeout(() => fail("did not say that it is ready"), READY_MS);
      child.once("exit", (code) => fail(`ended with ${code}`));
      child.once("error", (error) => fail(`could not be started: ${error.message}`));
      lines.on("line", (line) => {
        this.#said.push(`${line}\n`);
        this.#http = /\bhttp:\/\/(127\.0\.0\.1:\d+)/.exec(line)?.[1] ?? this.#http;
        this.setupToken = /\/setup#token=(\S+)/.exec(line)?.[1] ?? this.setupToken;
        const [, name, password] = /^\s+(\S+)\s+password (\S+)$/.exec(line) ?? [];
        if (name) this.demo[name] = password;
        if (!line.includes("/mqtt")) return;
        clearTimeout(timer);
        resolve();
      });
    });
    // The banner is printed line by line; the link stands below the addresses.
    await this.#answers();
  }

  async #answers() {
    const { setup_required } = await (await fetch(`${this.url}/api/v1/server`)).json();
    const told = () => (setup_required ? this.setupToken !== "" : !this.extra.includes("--demo") || Object.keys(this.demo).length >= 3);
    while (!told()) await once(this.#child.stdout, "data");
  }

  /** As a power cut would. */
  async kill() {
    const gone = once(this.#child, "exit");
    this.#child.kill("SIGKILL");
    await gone;
  }

  async stop() {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      const gone = once(this.#child, "exit");
      this.#child.kill("SIGTERM");
      const timer = setTimeout(() => this.#child.kill("SIGKILL"), STOP_MS);
      await gone;
      clearTimeout(timer);
    }
    await rm(this.data, { recursive: true, force: true });
  }

  async rest(method, where, { token, body } = {}) {
    const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };
    const response = await fetch(`${this.url}/api/v1${where}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
    const said = response.status === 204 ? null : await response.json();
    if (!response.ok) throw new Error(`${method} ${where}: ${response.status} ${JSON.stringify(said)}`);
    return said;
  }

  /** The first is the administrator. Returns the login of each, by name. */
  async people(...people) {
    const logins = {};
    for (const [index, [name, display]] of people.entries()) {
      const account = { name, display, password: PASSWORD };
      if (index === 0) await this.rest("POST", "/setup", { body: { token: this.setupToken, ...account } });
      else await this.rest("POST", "/accounts", { token: Object.values(logins)[0].token, body: account });
      logins[name] = await this.logIn(name);
    }
    return logins;
  }

  async logIn(name) {
    const { token } = await this.rest("POST", "/login", { body: { name, password: PASSWORD, device: "e2e" } });
    return { account: name, token };
  }
}
