// What a conversation is called, and how its last line reads.

import type { Conversation } from "../chat/conversation";
import type { Messenger } from "../chat/messenger";
import { m } from "../paraglide/messages.js";

/** The peer's display name or the group's title. */
export function titleOf(messenger: Messenger, conversation: Conversation): string {
  const { peer } = conversation;
  if (peer === null) return conversation.title;
  if (peer === messenger.me) return m.self_chat();
  return messenger.directory.knows(peer) ? messenger.directory.display(peer) : conversation.title;
}

/** The last line below a title: what waits to be sent, else the newest message. */
export function lastLineOf(messenger: Messenger, conversation: Conversation): string {
  const waiting = messenger.outbox.in(conversation.id).at(-1);
  if (waiting) return m.you_said({ text: oneLine(waiting.text) });
  const { head } = conversation;
  if (!head) return "";
  const text = oneLine(head.text);
  if (head.from === messenger.me && conversation.peer !== messenger.me) return m.you_said({ text });
  return conversation.kind === "group" ? m.somebody_said({ name: messenger.directory.display(head.from), text }) : text;
}

/** Marks and line breaks only get in the way in one line. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
