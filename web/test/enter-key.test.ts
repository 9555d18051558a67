// Enter and compositions: the event sequences of the browsers, each of which must send exactly once, or not at all.
import { describe, expect, test } from "vitest";
import { EnterKey, type KeyPress } from "../src/ui/enter-key";

type Step =
  | { down: Partial<KeyPress> }
  | { up: string }
  | { start: true }
  | { end: string }
  | { before: string }
  | { wait: number };

const enter = (more: Partial<KeyPress> = {}): Step => ({ down: { key: "Enter", keyCode: 13, ...more } });
const composed: Step = enter({ keyCode: 229, isComposing: true });
const up: Step = { up: "Enter" };
const lineBreak: Step = { before: "insertLineBreak" };

/** Plays events and returns how often the text was sent and how many line breaks the browser was let make. */
function play(steps: Step[]): { sent: number; breaks: number } {
  let now = 1000;
  const key = new EnterKey(() => now);
  const counted = { sent: 0, breaks: 0 };
  const plain = { shiftKey: false, altKey: false, ctrlKey: false, metaKey: false, isComposing: false, repeat: false };
  for (const step of steps) {
    now += 5;
    if ("wait" in step) now += step.wait;
    else if ("start" in step) key.compositionStart();
    else if ("end" in step) key.compositionEnd(step.end);
    else {
      const meaning =
        "down" in step
          ? key.keyDown({ key: "", keyCode: 0, ...plain, ...step.down })
          : "up" in step
            ? key.keyUp(step.up)
            : key.beforeInput(step.before);
      if (meaning === "send") counted.sent += 1;
      if (meaning === "pass" && "before" in step && step.before === "insertLineBreak") counted.breaks += 1;
    }
  }
  return counted;
}

function check(steps: Step[], sent: number, breaks = 0): void {
  expect(play(steps)).toEqual({ sent, breaks });
}

describe("without a composition", () => {
  test("Enter sends", () => check([enter(), up], 1));
  test("two presses send twice", () => check([enter(), up, enter(), up], 2));
  test("a held Enter sends once", () => check([enter(), enter({ repeat: true }), enter({ repeat: true }), up], 1));
  test("Shift+Enter breaks the line", () => check([enter({ shiftKey: true }), lineBreak, up], 0, 1));
  test("Shift+Enter, then Enter", () => check([enter({ shiftKey: true }), lineBreak, up, enter(), up], 1, 1));
  test("an on-screen keyboard that only reports the line break sends", () => check([lineBreak], 1));
  test("and so does the next", () => check([lineBreak, lineBreak], 2));
  test("a keyup that never came does not silence the next press", () => check([enter(), { wait: 1000 }, enter(), up], 2));
  test("a pasted line break is not an Enter", () => check([{ before: "insertFromPaste" }], 0));
});

describe("the Enter that ends a Hangul composition sends exactly once", () => {
  const begun: Step[] = [{ start: true }, { down: { key: "Process", keyCode: 229, isComposing: true } }];
  test("Chromium: a second keydown follows", () => check([...begun, composed, { end: "녕" }, enter(), up], 1));
  test("Chromium: only the line break follows", () => check([...begun, composed, { end: "녕" }, lineBreak, up], 1));
  test("Chromium: both follow", () => check([...begun, composed, { end: "녕" }, enter(), lineBreak, up], 1));
  test("Chromium: two keyups", () => check([...begun, composed, { end: "녕" }, enter(), up, up], 1));
  test("Firefox: nothing but the keyup follows", () => check([...begun, composed, { end: "녕" }, up], 1));
  test("Firefox: the key is called Process", () => check([...begun, composed, { end: "녕" }, { up: "Process" }], 1));
  test("Firefox: a second keydown follows", () => check([...begun, composed, { end: "녕" }, enter(), lineBreak, up], 1));
  test("Safari: the composition ends before the keydown", () =>
    check([...begun, { end: "녕" }, enter({ keyCode: 229 }), lineBreak, up], 1));
  test("Safari: and no line break follows", () => check([...begun, { end: "녕" }, enter({ keyCode: 229 }), up], 1));
  test("Safari: a second keydown follows", () =>
    check([...begun, { end: "녕" }, enter({ keyCode: 229 }), enter(), lineBreak, up], 1));
  test("a lone consonant counts as Hangul", () => check([...begun, composed, { end: "ㅋ" }, up], 1));
  test("twice in a row sends twice", () => {
    const once: Step[] = [...begun, composed, { end: "녕" }, enter(), up];
    check([...once, ...once], 2);
  });
  test("Shift+Enter at the end of a composition breaks the line", () =>
    check([...begun, enter({ keyCode: 229, isComposing: true, shiftKey: true }), { end: "녕" }, enter({ shiftKey: true }), lineBreak, up], 0, 1));
});

describe("an Enter that only picks a candidate does not send", () => {
  test("kana, Chromium and Firefox", () => check([{ start: true }, composed, { end: "日本" }, up], 0));
  test("kana, Safari", () => check([{ start: true }, { end: "日本" }, enter({ keyCode: 229 }), up], 0));
  test("hanja", () => check([{ start: true }, composed, { end: "韓" }, up], 0));
  test("the next Enter does", () => check([{ start: true }, composed, { end: "日本" }, up, enter(), up], 1));
});

test("a syllable ended by a space long ago does not make a taken Enter send", () => {
  check([{ start: true }, { end: "녕" }, { wait: 500 }, { start: true }, composed, { end: "" }, up], 0);
});
