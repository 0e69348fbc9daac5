/** What was said, by whom, line by line. Pure. */

export type Speaker = "user" | "character";

export interface Line {
  readonly id: number;
  readonly speaker: Speaker;
  /** What is certain. */
  text: string;
  /** What may still change: the user's words while they are being recognized. */
  interim: string;
  /** More may come. */
  open: boolean;
  /** The character was interrupted here. */
  cut: boolean;
}

const MOST_LINES = 200;
const MOST_DUE = 500;
/** A caption that is not heard by then is shown all the same: there may be no sound to wait for. */
const PATIENCE_MS = 3000;
const NO_SPACE_BEFORE = /^[\s.,;:!?…)\]}’'”%、。，！？]/;
const NO_SPACE_AFTER = /[\s([{“„‘«、。，！？]$/;

interface Due {
  pts: number;
  text: string;
  came: number;
}

export class Captions {
  readonly lines: Line[] = [];
  readonly #changed: (line: Line) => void;
  #due: Due[] = [];
  #id = 0;

  /** `changed` is called with every line that is new or other than before. */
  constructor(changed: (line: Line) => void) {
    this.#changed = changed;
  }

  /** Words of the character, to be shown when `pts` (microseconds) is heard. `now`: ms. */
  expect(text: string, pts: number, now: number): void {
    this.#due.push({ pts, text, came: now });
    if (this.#due.length > MOST_DUE) this.#due.shift();
  }

  /** Show what is heard by now; everything where nobody can tell (null). */
  advance(heard: number | null, now: number): void {
    while (this.#due.length > 0) {
      const { pts, text, came } = this.#due[0] as Due;
      if (heard !== null && pts > heard && now - came < PATIENCE_MS) return;
      this.#due.shift();
      this.#say(text);
    }
  }

  /** The character was cut off: what has a pts before `at` will not be heard. */
  flush(at: number, final: boolean): void {
    this.#due = this.#due.filter((due) => due.pts >= at);
    const line = this.#open("character");
    if (final && line !== undefined) {
      line.cut = true;
      this.#close(line);
    }
  }

  /** The character is done. */
  done(): void {
    const line = this.#open("character");
    if (line !== undefined && this.#due.length === 0) this.#close(line);
  }

  /** What the user was understood to say; `final` when it will not change. */
  understood(text: string, final: boolean): void {
    const line = this.#open("user") ?? this.#begin("user");
    line.interim = final ? "" : text.trim();
    if (final) line.text = join(line.text, text);
    this.#changed(line);
  }

  /** What the user wrote. */
  wrote(text: string): void {
    const open = this.#open("user");
    if (open !== undefined) this.#close(open);
    const line = this.#begin("user");
    line.text = text;
    this.#close(line);
  }

  /** Nothing of the lines so far goes on, because the conversation is another one. */
  end(): void {
    this.#due = [];
    for (const line of this.lines) if (line.open) this.#close(line);
  }

  #say(text: string): void {
    const user = this.#open("user");
    if (user !== undefined) this.#close(user);
    const line = this.#open("character") ?? this.#begin("character");
    line.text = join(line.text, text);
    this.#changed(line);
  }

  #open(speaker: Speaker): Line | undefined {
    const line = this.lines.findLast((other) => other.speaker === speaker);
    return line?.open === true ? line : undefined;
  }

  #begin(speaker: Speaker): Line {
    const line: Line = { id: ++this.#id, speaker, text: "", interim: "", open: true, cut: false };
    this.lines.push(line);
    if (this.lines.length > MOST_LINES) this.lines.shift();
    return line;
  }

  #close(line: Line): void {
    line.open = false;
    line.interim = "";
    this.#changed(line);
  }
}

/** Two pieces of a text, with a space between them where one belongs. */
export function join(before: string, after: string): string {
  const next = after.trim();
  if (before === "" || next === "") return before + next;
  return before + (NO_SPACE_BEFORE.test(next) || NO_SPACE_AFTER.test(before) ? "" : " ") + next;
}
