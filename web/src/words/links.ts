// Where a link leads, in so far as its own words do not say it.

/** The host or address that a link leads to, or null where the text already begins with it and says nothing else. */
export function leadsTo(text: string, href: string): string | null {
  const to = parsed(href);
  if (!to) return null;
  if (to.protocol === "mailto:") return text.trim().toLowerCase() === to.pathname.toLowerCase() ? null : to.pathname;
  // As the browser will dial it: in ASCII, without what stands before an `@`.
  const origin = `${to.protocol}//${to.host}`;
  const shown = text.trim();
  const behind = shown.slice(origin.length, origin.length + 1);
  const says = shown.toLowerCase().startsWith(origin) && (behind === "" || "/?#".includes(behind));
  return says && parsed(shown)?.href === to.href ? null : to.host;
}

function parsed(text: string): URL | null {
  try {
    return new URL(text);
  } catch {
    return null;
  }
}
