// Who came into a group and who left it, in words.

import type { Messenger } from "../chat/messenger";
import { m } from "../paraglide/messages.js";
import type { AccountName, Membership } from "../wire/contract";
import { personIn } from "./title";

/** As many are named; of more, one fewer, and how many others there are. */
const NAMED_MAX = 3;

/** One line, however many there are. */
export function membershipWords(messenger: Messenger, { action, accounts, from }: Membership): string {
  const others = accounts.filter((account) => account !== from);
  const alone = others.length === 0;
  // Whoever reads it looks for themselves first.
  const named = alone ? [from] : others.toSorted((a, b) => Number(b === messenger.me) - Number(a === messenger.me));
  const by = personIn(messenger, from);
  if (named.length > NAMED_MAX) {
    const names = named.slice(0, NAMED_MAX - 1).map((account) => personIn(messenger, account)).join(", ");
    const count = named.length - NAMED_MAX + 1;
    return action === "join" ? m.invited_many({ by, names, count }) : m.removed_many({ by, names, count });
  }
  const name = listed(messenger, named);
  if (action === "join") return alone ? m.joined({ name }) : m.invited({ by, name });
  return alone ? m.left({ name }) : m.removed({ by, name });
}

function listed(messenger: Messenger, accounts: readonly AccountName[]): string {
  const names = accounts.map((account) => personIn(messenger, account));
  const last = names.pop() ?? "";
  return names.length === 0 ? last : m.names_and({ names: names.join(", "), last });
}
