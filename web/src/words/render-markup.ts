// Markdown to HTML for one message, cleaned. Only `markup.ts` loads it.

import DOMPurify from "dompurify";
import MarkdownIt from "markdown-it";
import { leadsTo } from "./links";

const markdown = new MarkdownIt({ html: false, linkify: true, breaks: true, typographer: false });
// A message is a paragraph, not a document; pictures from elsewhere would tell their server who reads.
markdown.disable(["heading", "lheading", "hr", "table", "image", "html_block", "html_inline", "reference"]);
// Only what looks like an address all by itself: `readme.md` is a file.
markdown.linkify.set({ fuzzyLink: false, fuzzyEmail: false });
// An address stands as it was written: letters that look like others are not put in the place of what is dialled.
markdown.normalizeLinkText = (text) => text;

const ALLOWED = {
  ALLOWED_TAGS: ["p", "br", "strong", "em", "s", "code", "pre", "a", "ul", "ol", "li", "blockquote"],
  ALLOWED_ATTR: ["href", "start"],
  ALLOWED_URI_REGEXP: /^(?:https?|mailto):/i,
};

DOMPurify.addHook("afterSanitizeAttributes", (node) => {
  if (node.tagName !== "A") return;
  node.setAttribute("target", "_blank");
  node.setAttribute("rel", "noopener noreferrer nofollow");
  // Shown behind the link (`Bubble.svelte`).
  const leads = leadsTo(node.textContent ?? "", node.getAttribute("href") ?? "");
  if (leads !== null) node.setAttribute("data-leads-to", leads);
});

export function renderMarkup(text: string): string {
  return DOMPurify.sanitize(markdown.render(text), ALLOWED).trim();
}
