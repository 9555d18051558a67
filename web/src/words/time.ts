// Times and days as a person reads them, in the language of the page.

import { locale } from "./locale.svelte";

const DAY_MS = 24 * 60 * 60 * 1000;

const made = new Map<string, Intl.DateTimeFormat>();

function format(at: number, options: Intl.DateTimeFormatOptions): string {
  const key = locale.current + JSON.stringify(options);
  let formatter = made.get(key);
  if (!formatter) {
    formatter = new Intl.DateTimeFormat(locale.current, options);
    made.set(key, formatter);
  }
  return formatter.format(at);
}

const startOfDay = (at: number): number => new Date(at).setHours(0, 0, 0, 0);

/** Whole days between the day of `at` and today. */
const daysAgo = (at: number, now: number): number => Math.round((startOfDay(now) - startOfDay(at)) / DAY_MS);

function relativeDay(days: number): string {
  const words = new Intl.RelativeTimeFormat(locale.current, { numeric: "auto" }).format(-days, "day");
  return words.charAt(0).toUpperCase() + words.slice(1);
}

/** `오후 3:24` */
export const clock = (at: number): string => format(at, { hour: "numeric", minute: "2-digit" });

/** The line between two days. */
export function dayLine(at: number, now = Date.now()): string {
  const days = daysAgo(at, now);
  if (days >= 0 && days < 2) return relativeDay(days);
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return format(at, { weekday: "long", month: "long", day: "numeric", ...(!sameYear && { year: "numeric" }) });
}

/** As short as a list allows: a time today, a weekday this week, else a date. */
export function shortly(at: number, now = Date.now()): string {
  const days = daysAgo(at, now);
  if (days <= 0) return clock(at);
  if (days === 1) return relativeDay(1);
  if (days < 7) return format(at, { weekday: "short" });
  const sameYear = new Date(at).getFullYear() === new Date(now).getFullYear();
  return format(at, { month: "numeric", day: "numeric", ...(!sameYear && { year: "2-digit" }) });
}

/** The whole moment, for a tooltip. */
export const moment = (at: number): string => format(at, { dateStyle: "full", timeStyle: "short" });
