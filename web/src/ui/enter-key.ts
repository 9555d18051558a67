// Decides what the Enter key means while text may still be being composed. A press sends at most once, in whatever order a
// browser reports it. Pure: events in, decisions out; it touches neither the text nor the page.
//
// What browsers do with Enter during a Hangul composition (the input method commits the syllable and passes Enter on):
//   Chromium  keydown(isComposing, 229) · compositionend · keydown(13) or beforeinput(insertLineBreak) · keyup
//   Firefox   keydown(isComposing, 229) · compositionend · keyup, or a second keydown(13) before it
//   Safari    compositionend · keydown(229, not composing) · beforeinput(insertLineBreak) · keyup
// For kana and hanja the same first events confirm a candidate and must not send: no line break follows there.

/** The part of the browser's events that counts. */
export interface KeyPress {
  readonly key: string;
  readonly keyCode: number;
  readonly shiftKey: boolean;
  readonly altKey: boolean;
  readonly ctrlKey: boolean;
  readonly metaKey: boolean;
  readonly isComposing: boolean;
  readonly repeat: boolean;
}

export type Meaning =
  /** Send; the browser's own action is to be prevented. */
  | "send"
  /** Nothing, and the browser's own action is to be prevented. */
  | "swallow"
  /** Let the browser do what it does. */
  | "pass";

/** `keyCode` of a key that an input method has taken. */
const TAKEN = 229;
/** A composition that ended this shortly before its key comes was ended by it (Safari's order). */
const SAME_PRESS_MS = 100;
/** Browsers report one press twice within a few milliseconds; a keyup that got lost must not silence the next press. */
const ONE_PRESS_MS = 300;
const ENDS_IN_HANGUL = /[\u1100-\u11ff\u3130-\u318f\ua960-\ua97f\uac00-\ud7ff]$/u;

type Press =
  | "none"
  /** The input method has this Enter; what becomes of it is not known yet. */
  | "taken"
  /** The same, and the composition that it ended was Hangul. */
  | "ended hangul"
  | "sent"
  /** With Shift, or whatever else does not send. */
  | "break";

export class EnterKey {
  #press: Press = "none";
  #composing = false;
  #hangulEndedAt = -Infinity;
  #sentAt = -Infinity;

  constructor(private readonly now: () => number = () => performance.now()) {}

  /** Whether a composition is under way. */
  get composing(): boolean {
    return this.#composing;
  }

  compositionStart(): void {
    this.#composing = true;
  }

  /** `data`: what the composition has come to. */
  compositionEnd(data: string): void {
    this.#composing = false;
    if (!ENDS_IN_HANGUL.test(data)) return;
    this.#hangulEndedAt = this.now();
    if (this.#press === "taken") this.#press = "ended hangul";
  }

  keyDown(event: KeyPress): Meaning {
    // While an input method has the key, some name it "Process" or not at all.
    const taken = event.isComposing || event.keyCode === TAKEN;
    if (event.key !== "Enter") return "pass";
    if (this.#press === "sent" && !event.repeat && this.now() - this.#sentAt > ONE_PRESS_MS) this.#press = "none";
    if (event.shiftKey || event.altKey || event.ctrlKey || event.metaKey) {
      this.#press = "break";
      return "pass";
    }
    if (taken) {
      if (this.#press === "sent") return "pass";
      const justEnded = this.now() - this.#hangulEndedAt < SAME_PRESS_MS;
      this.#press = !event.isComposing && justEnded ? "ended hangul" : "taken";
      return "pass";
    }
    if (this.#press === "sent" || event.repeat) return "swallow";
    return this.#send();
  }

  /** `inputType` of a `beforeinput`. */
  beforeInput(inputType: string): Meaning {
    if (inputType !== "insertLineBreak" && inputType !== "insertParagraph") return "pass";
    switch (this.#press) {
      case "break":
        return "pass";
      case "sent":
        return "swallow";
      case "none":
        // A keyboard on a screen that reports no Enter, and so no end of the press either.
        return this.#composing ? "pass" : "send";
      case "taken":
      case "ended hangul":
        return this.#composing ? "pass" : this.#send();
    }
  }

  /** Also for keys that an input method had: then the press is over all the same. */
  keyUp(key: string): Meaning {
    if (key !== "Enter" && key !== "Process") return "pass";
    const press = this.#press;
    this.#press = "none";
    // The syllable stands, the Enter that ended it went nowhere: it was meant to send.
    return press === "ended hangul" && !this.#composing ? "send" : "pass";
  }

  #send(): Meaning {
    this.#press = "sent";
    this.#sentAt = this.now();
    return "send";
  }
}
