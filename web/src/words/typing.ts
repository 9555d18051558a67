// Who is typing, in words.

import type { Messenger } from "../chat/messenger";
import { m } from "../paraglide/messages.js";
import type { AccountName } from "../wire/contract";
import { personIn } from "./title";

/** Empty when nobody is. */
export function typingWords(messenger: Messenger, accounts: readonly AccountName[]): string {
  const [a, b, ...more] = accounts.map((account) => personIn(messenger, account));
  if (a === undefined) return "";
  if (b === undefined) return m.typing_one({ name: a });
  return more.length === 0 ? m.typing_two({ a, b }) : m.typing_many();
}
