// What the components below the messenger share: the messenger itself and which sheet lies open.

import { createContext } from "svelte";
import type { Messenger } from "../chat/messenger";

export type Sheet = "chat" | "group" | "members" | "settings";

export interface Around {
  readonly messenger: Messenger;
  /** Whether this account may add accounts. */
  readonly admin: boolean;
  /** Text that was begun and not sent, by conversation. */
  readonly drafts: Map<string, string>;
  open(sheet: Sheet | null): void;
  logOut(): void;
}

export const [around, setAround] = createContext<Around>();
