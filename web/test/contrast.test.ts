// The colours in `app.css`: what is read stands out from what it stands on, light and dark, by WCAG 2 level AA.
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

const css = readFileSync(new URL("../src/ui/app.css", import.meta.url), "utf8");

/** Light and dark value of a custom property. */
function colours(name: string): [string, string] {
  const found = new RegExp(`--${name}: light-dark\\((#[0-9a-f]{6}), (#[0-9a-f]{6})\\)`).exec(css);
  if (!found) throw new Error(`no colour --${name}`);
  return [found[1]!, found[2]!];
}

function luminance(colour: string): number {
  const [red, green, blue] = [1, 3, 5].map((at) => {
    const part = Number.parseInt(colour.slice(at, at + 2), 16) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red! + 0.7152 * green! + 0.0722 * blue!;
}

function contrast(a: string, b: string): number {
  const [dark, light] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (light! + 0.05) / (dark! + 0.05);
}

const TEXT = 4.5;
const CONTROL = 3;
const grounds = ["paper", "sheet", "raised", "hover", "accent-soft"];

test.each([
  ...grounds.flatMap((ground) => [["ink", ground, TEXT], ["ink-soft", ground, TEXT], ["accent", ground, TEXT]] as const),
  ...["paper", "sheet", "danger-soft"].map((ground) => ["danger", ground, TEXT] as const),
  ["on-accent", "accent", TEXT],
  ["on-accent", "accent-strong", TEXT],
  ["on-own", "own", TEXT],
  ["field-line", "raised", CONTROL],
  ["field-line", "sheet", CONTROL],
] as const)("%s on %s", (text, ground, least) => {
  const [[lightText, darkText], [lightGround, darkGround]] = [colours(text), colours(ground)];
  expect(contrast(lightText, lightGround), "light").toBeGreaterThanOrEqual(least);
  expect(contrast(darkText, darkGround), "dark").toBeGreaterThanOrEqual(least);
});
