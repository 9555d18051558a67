// The language of the page: found, chosen, remembered. The words themselves are in `messages/`.

import { overwriteGetLocale, type Locale } from "../paraglide/runtime.js";

export type { Locale };

const KEY = "magpie.language";
export const LOCALES: readonly Locale[] = ["ko", "en"];

function find(): Locale {
  const chosen = localStorage.getItem(KEY);
  const wanted = [chosen ?? "", ...navigator.languages];
  for (const language of wanted) {
    const locale = LOCALES.find((one) => language === one || language.startsWith(`${one}-`));
    if (locale) return locale;
  }
  return "en";
}

const found = find();
let current = $state<Locale>(found);
overwriteGetLocale(() => current);
document.documentElement.lang = found;

export const locale = {
  get current(): Locale {
    return current;
  },
  set current(chosen: Locale) {
    current = chosen;
    localStorage.setItem(KEY, chosen);
    document.documentElement.lang = chosen;
  },
};
