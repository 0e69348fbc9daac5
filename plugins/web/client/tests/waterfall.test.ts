import { describe, expect, it } from "vitest";
import type { Waterfall } from "../src/protocol";
import { axisEnd, median, stages, Turns } from "../src/waterfall";

const turn = (response: number | null): Waterfall => ({
  index: 0,
  user: "Who?",
  character: "",
  interrupted: false,
  moments: {
    turn_decision: 0.4,
    final_transcript: 0.5,
    first_llm_token: 0.3,
    first_tts_audio: 0.9,
    first_response_frame: response,
  },
});

describe("where the time went", () => {
  it("hearing and deciding lie side by side, and who thought ahead took no time", () => {
    expect(stages(turn(1.2))).toEqual([
      { name: "hearing", begin: 0, end: 0.5 },
      { name: "turn", begin: 0, end: 0.4 },
      { name: "thinking", begin: 0.3, end: 0.3 },
      { name: "voice", begin: 0.3, end: 0.9 },
      { name: "picture", begin: 0.9, end: 1.2 },
    ]);
  });

  it("what never came has no bar", () => {
    expect(stages(turn(null)).map(({ name }) => name)).not.toContain("picture");
  });

  it("the median counts all answers, the drawing shows the last", () => {
    const turns = new Turns();
    expect(turns.median).toBeNull();
    for (let i = 1; i <= 9; i++) turns.note(turn(i));
    turns.note(turn(null));
    expect(turns.median).toBe(5);
    expect(turns.count).toBe(9);
    expect(turns.last.length).toBe(5);
  });
});

it("the median of an even number is between the middle ones", () => {
  expect(median([4, 1, 3, 2])).toBe(2.5);
});

it("an axis ends at a round number", () => {
  expect([0, 0.7, 1.31, 90.5].map(axisEnd)).toEqual([0.5, 1, 1.5, 91]);
});
