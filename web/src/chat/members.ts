// Asks who belongs to a group, page by page. One question per group at a time; what changes meanwhile is asked for once
// more, however often it was told. It decides nothing about who is shown.

import { membersOf, type Fields, type Member } from "../wire/contract";
import type { Conversation } from "./conversation";

interface Loading {
  done: Promise<void>;
  /** The answer on its way is out of date already. */
  stale: boolean;
}

export class Members {
  readonly #running = new Map<Conversation, Loading>();

  constructor(
    private readonly ask: (method: string, body?: object) => Promise<Fields>,
    private readonly learn: (members: readonly Member[]) => void,
  ) {}

  /** Resolves when the conversation has its members as they are from now on. */
  load(conversation: Conversation): Promise<void> {
    const running = this.#running.get(conversation);
    if (running) {
      running.stale = true;
      return running.done;
    }
    const loading: Loading = { done: Promise.resolve(), stale: true };
    this.#running.set(conversation, loading);
    loading.done = this.#run(conversation, loading).finally(() => this.#running.delete(conversation));
    return loading.done;
  }

  async #run(conversation: Conversation, loading: Loading): Promise<void> {
    while (loading.stale) {
      loading.stale = false;
      const members = await this.#whole(conversation);
      this.learn(members);
      conversation.applyMembers(members);
    }
  }

  async #whole(conversation: Conversation): Promise<Member[]> {
    const all = new Map<string, Member>();
    for (let after: string | undefined; ; ) {
      const answer = await this.ask("members", { conv: conversation.id, ...(after !== undefined && { after }) });
      const known = all.size;
      for (const member of membersOf(answer["members"])) {
        all.set(member.name, member);
      }
      after = typeof answer["next"] === "string" ? answer["next"] : undefined;
      // A page without anybody new would be asked for for ever.
      if (answer["more"] !== true || after === undefined || all.size === known) return [...all.values()];
    }
  }
}
