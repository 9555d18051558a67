// Topics out of the contract's tables: what this client publishes and subscribes to, and which table a topic comes from.

import { accountName, isConv, isName, type AccountName, type Conv, type Mid } from "./contract";

/** What one tab subscribes to. */
export const INBOX = ["im/in/#", "im/about/#", "im/presence/#", "im/me/event", "im/ack/+", "im/answer/+"] as const;

export const sendTo = (conv: Conv): string => `im/to/${conv}`;
export const readTo = (conv: Conv): string => `im/to/${conv}/read`;
export const typingTo = (conv: Conv): string => `im/to/${conv}/typing`;
export const ask = (method: string): string => `im/ask/${method}`;
export const answer = (id: string): string => `im/answer/${id}`;
export const presence = (account: AccountName): string => `im/presence/${account}`;
export const ACTIVE = "im/me/active";

export type Arrival =
  | { readonly table: "message" | "event" | "typing" | "about"; readonly conv: Conv }
  | { readonly table: "presence"; readonly account: AccountName }
  | { readonly table: "ack"; readonly mid: Mid }
  | { readonly table: "answer"; readonly id: string }
  | { readonly table: "me" };

/** Where a topic belongs, or null for one that this client does not know. */
export function arrivalOf(topic: string): Arrival | null {
  const [root, table, name, below, ...rest] = topic.split("/");
  if (root !== "im" || name === undefined || rest.length > 0) return null;
  switch (table) {
    case "in":
      if (!isConv(name)) return null;
      if (below === undefined) return { table: "message", conv: name };
      return below === "event" || below === "typing" ? { table: below, conv: name } : null;
    case "about":
      return below === undefined && isConv(name) ? { table: "about", conv: name } : null;
    case "presence":
      return below === undefined && isName(name) ? { table: "presence", account: accountName(name) } : null;
    case "ack":
      return below === undefined ? { table: "ack", mid: name as Mid } : null;
    case "answer":
      return below === undefined ? { table: "answer", id: name } : null;
    case "me":
      return name === "event" && below === undefined ? { table: "me" } : null;
    default:
      return null;
  }
}
