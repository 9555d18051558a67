// What a conversation is called, and how its last line reads.

import type { Conversation } from "../chat/conversation";
import type { Messenger } from "../chat/messenger";
import { m } from "../paraglide/messages.js";
import { directWith, type AccountName } from "../wire/contract";

/** The peer's display name or the group's title. */
export function titleOf(messenger: Messenger, conversation: Conversation): string {
  const { peer } = conversation;
  if (peer === null) return conversation.title;
  if (peer === messenger.me) return m.self_chat();
  // Asks for it where it is not known.
  const display = messenger.directory.display(peer);
  return messenger.directory.knows(peer) ? display : conversation.title;
}

/** What has to stand beside its title so that it is not taken for another; null where the title says it. */
export function handleOf(messenger: Messenger, conversation: Conversation): string | null {
  return conversation.peer === messenger.me ? null : messenger.directory.handle(conversation.id);
}

/** Somebody's name within a sentence. */
export function personIn(messenger: Messenger, account: AccountName): string {
  const name = isolated(messenger.directory.display(account));
  const handle = messenger.directory.handle(directWith(account));
  return handle === null ? name : `${name} (${handle})`;
}

/** Letters and marks that may turn the direction of what stands beside them. */
const TURNING = /[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\p{Script=Arabic}\p{Script=Hebrew}\p{Script=Syriac}\p{Script=Thaana}\p{Script=Nko}\p{Script=Adlam}]/u;

/** Another's word within a sentence, where it cannot turn the rest of it around. */
export function isolated(word: string): string {
  if (!TURNING.test(word)) return word;
  const [begin, end] = ["\u2068", "\u2069"];
  // What would end the isolation within the word is no part of it.
  return `${begin}${word.replace(/[\u202a-\u202e\u2066-\u2069]/gu, "")}${end}`;
}

/** The last line below a title: what waits to be sent, else the newest message. */
export function lastLineOf(messenger: Messenger, conversation: Conversation): string {
  const waiting = messenger.outbox.in(conversation.id).at(-1);
  if (waiting) return m.you_said({ text: oneLine(waiting.text) });
  const { head } = conversation;
  if (!head) return "";
  const text = oneLine(head.text);
  if (head.from === messenger.me && conversation.peer !== messenger.me) return m.you_said({ text });
  return conversation.kind === "group" ? m.somebody_said({ name: personIn(messenger, head.from), text }) : text;
}

/** Marks and line breaks only get in the way in one line. */
function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
