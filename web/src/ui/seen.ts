// Lets Svelte follow the plain modules: reading `seen(changes)` in a template or an effect reruns it after every change.

import { createSubscriber } from "svelte/reactivity";
import type { Changes } from "../changes";

const subscribers = new WeakMap<Changes, () => void>();

export function seen(...all: Changes[]): void {
  for (const changes of all) {
    let subscribe = subscribers.get(changes);
    if (!subscribe) {
      subscribe = createSubscriber((update) => changes.listen(update));
      subscribers.set(changes, subscribe);
    }
    subscribe();
  }
}
