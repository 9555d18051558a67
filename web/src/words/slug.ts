// An address for a group out of its title.

const LETTERS = "abcdefghjkmnpqrstuvwxyz23456789";
const SLUG_LETTERS_MAX = 48;

/** The title's own letters where they can stand in a topic; for other scripts `fallback`, or a short random name. */
export function slugFor(title: string, fallback = `group-${randomLetters(4)}`): string {
  const slug = title
    .normalize("NFKD")
    .toLowerCase()
    .replace(/[\u0300-\u036f]/g, "")
    .replace(/[^a-z0-9]+/g, "-")
    .slice(0, SLUG_LETTERS_MAX)
    .replace(/^-+|-+$/g, "");
  // A lone digit out of "2팀" says nothing.
  return /[a-z]/.test(slug) && slug.length >= 2 ? slug : fallback;
}

function randomLetters(count: number): string {
  return Array.from(crypto.getRandomValues(new Uint8Array(count)), (byte) => LETTERS[byte % LETTERS.length]).join("");
}
