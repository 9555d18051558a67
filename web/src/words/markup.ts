// Turns the marks in a message (**bold**, `code`, links, lists) into safe HTML. The two libraries for it are loaded with the
// first message that needs them; until then, and for plain text, the text itself is shown.

import { Changes } from "../changes";

/** Letters without which there is no mark and no link. */
const MARKS = /[*_`~[\]]|^\s*(?:>|[-+]|\d+[.)])\s|https?:\/\/|www\./m;
const KEPT_MAX = 1000;

export class Markup {
  readonly changes = new Changes();
  #render: ((text: string) => string) | null = null;
  #loading = false;
  readonly #kept = new Map<string, string>();

  constructor(private readonly load: () => Promise<(text: string) => string>) {}

  /** The HTML of a text, or null while or where it is to be shown as it is. */
  html(text: string): string | null {
    if (!MARKS.test(text)) return null;
    const kept = this.#kept.get(text);
    if (kept !== undefined) return kept;
    if (!this.#render) {
      void this.#fetch();
      return null;
    }
    const html = this.#render(text);
    if (this.#kept.size >= KEPT_MAX) this.#kept.clear();
    this.#kept.set(text, html);
    return html;
  }

  async #fetch(): Promise<void> {
    if (this.#loading) return;
    this.#loading = true;
    try {
      this.#render = await this.load();
      this.changes.tell();
    } catch {
      // The text stays as it was written; the next message tries again.
      this.#loading = false;
    }
  }
}

export const markup = new Markup(async () => (await import("./render-markup")).renderMarkup);
