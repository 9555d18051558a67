// From markers to the tick on an own message.

import type { AccountName } from "../wire/contract";
import type { Conversation } from "./conversation";

export type Tick =
  | { readonly is: "sending" }
  /** On the server's disk. */
  | { readonly is: "sent" }
  | { readonly is: "delivered" }
  /** `by` others of `of` have read it. */
  | { readonly is: "read"; readonly by: number; readonly of: number }
  | { readonly is: "failed"; readonly error: string; readonly detail: string };

/** How far an own message with `seq` has come with the others. */
export function tickOf(conversation: Conversation, me: AccountName, seq: number): Tick {
  let read = 0;
  let received = 0;
  let others = 0;
  for (const [account, marker] of conversation.markers) {
    // In a chat with oneself, oneself is the other.
    if (account === me && conversation.peer !== me) continue;
    others += 1;
    if (marker.read >= seq) read += 1;
    if (marker.received >= seq) received += 1;
  }
  if (read > 0) return { is: "read", by: read, of: Math.max(others, conversation.members - 1) };
  return received > 0 ? { is: "delivered" } : { is: "sent" };
}
