// Who is logged in in this browser, for all its tabs, and which device this tab is. The token lies in localStorage and
// nowhere else; it is never logged.

import { isName, objectOf } from "../wire/contract";
import type { Device } from "../wire/connection";

export interface Login {
  readonly account: string;
  readonly token: string;
}

/** The part of `Storage` that is needed. */
type Shelf = Pick<Storage, "getItem" | "setItem" | "removeItem">;

export const LOGIN_KEY = "magpie.login";
const DEVICE_KEY = "magpie.device";

export function loginIn(shelf: Shelf): Login | null {
  try {
    const { account, token } = objectOf(JSON.parse(shelf.getItem(LOGIN_KEY) ?? "null")) ?? {};
    if (typeof account !== "string" || typeof token !== "string" || !isName(account) || !token) return null;
    return { account, token };
  } catch {
    return null;
  }
}

export function keepLogin(shelf: Shelf, login: Login): void {
  shelf.setItem(LOGIN_KEY, JSON.stringify(login));
}

export function forgetLogin(shelf: Shelf): void {
  shelf.removeItem(LOGIN_KEY);
}

/** One client id per tab. A duplicated tab brings a copy of it and is given another when the server notices. */
export function deviceIn(shelf: Shelf): Device {
  const renew = (): string => {
    const bytes = crypto.getRandomValues(new Uint8Array(8));
    const id = `web-${Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("")}`;
    shelf.setItem(DEVICE_KEY, id);
    return id;
  };
  return { id: () => shelf.getItem(DEVICE_KEY) ?? renew(), renew };
}

/** What a person reads in a list of devices: `Chrome · Linux`. */
export function deviceLabel(agent: string): string {
  const browser =
    [["Edg/", "Edge"], ["SamsungBrowser/", "Samsung Internet"], ["Whale/", "Whale"], ["Firefox/", "Firefox"], ["Chrome/", "Chrome"], ["Safari/", "Safari"]]
      .find(([mark]) => agent.includes(mark!))?.[1] ?? "Browser";
  const system =
    [["Android", "Android"], ["iPhone", "iPhone"], ["iPad", "iPad"], ["Windows", "Windows"], ["Mac OS", "macOS"], ["CrOS", "ChromeOS"], ["Linux", "Linux"]]
      .find(([mark]) => agent.includes(mark!))?.[1] ?? "";
  return system ? `${browser} · ${system}` : browser;
}
