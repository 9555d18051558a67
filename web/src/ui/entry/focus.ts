// Puts the cursor where one begins to type.

/** An attachment for the first field of a page. A password manager may have been faster. */
export function focus(field: HTMLInputElement): void {
  if (document.activeElement === document.body || document.activeElement === null) field.focus();
}
