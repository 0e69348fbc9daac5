/** Where the time of the last answers went. Pure. */

import { type Moment, MOMENTS, type Waterfall } from "./protocol";

/** A part of the way to an answer, in seconds after the end of the user's speech. */
export interface Stage {
  name: "hearing" | "turn" | "thinking" | "voice" | "picture";
  begin: number;
  end: number;
}

export const MOMENT_NAMES: Record<Moment, string> = {
  turn_decision: "Your turn is over",
  final_transcript: "Your words are understood",
  first_llm_token: "First thought",
  first_tts_audio: "First sound",
  first_response_frame: "First picture of the answer",
};

export const STAGE_NAMES: Record<Stage["name"], string> = {
  hearing: "understanding",
  turn: "turn-taking",
  thinking: "thinking",
  voice: "voice",
  picture: "picture",
};

const MOST_TURNS = 5;
const MOST_RESPONSES = 500;

/** Hearing and deciding go side by side, the rest one after the other; the model may have thought ahead. */
export function stages({ moments }: Waterfall): Stage[] {
  const decided = Math.max(moments.turn_decision ?? 0, moments.final_transcript ?? 0);
  const found: [Stage["name"], number | null, number | null][] = [
    ["hearing", 0, moments.final_transcript],
    ["turn", 0, moments.turn_decision],
    ["thinking", decided, moments.first_llm_token],
    ["voice", moments.first_llm_token, moments.first_tts_audio],
    ["picture", moments.first_tts_audio, moments.first_response_frame],
  ];
  return found.flatMap(([name, begin, end]) =>
    begin === null || end === null ? [] : [{ name, begin: Math.min(begin, end), end }],
  );
}

/** The last turns, and the middle of all. */
export class Turns {
  readonly last: Waterfall[] = [];
  readonly #responses: number[] = [];

  note(turn: Waterfall): void {
    this.last.push(turn);
    if (this.last.length > MOST_TURNS) this.last.shift();
    const response = turn.moments.first_response_frame;
    if (response === null) return;
    this.#responses.push(response);
    if (this.#responses.length > MOST_RESPONSES) this.#responses.shift();
  }

  /** Seconds to the last answer. */
  get response(): number | null {
    return this.#responses.at(-1) ?? null;
  }

  get count(): number {
    return this.#responses.length;
  }

  /** The median response, in seconds. */
  get median(): number | null {
    return median(this.#responses);
  }
}

export function median(values: readonly number[]): number | null {
  if (values.length === 0) return null;
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] as number;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] as number) + upper) / 2;
}

/** A round number of seconds not below this one, for the end of an axis. */
export function axisEnd(seconds: number): number {
  const steps = [0.5, 1, 1.5, 2, 3, 4, 5, 8, 10, 15, 20, 30, 60];
  return steps.find((step) => step >= seconds) ?? Math.ceil(seconds);
}

/** The last moment of some turns, in seconds. */
export function latest(turns: readonly Waterfall[]): number {
  return Math.max(0, ...turns.flatMap(({ moments }) => MOMENTS.map((name) => moments[name] ?? 0)));
}
