import { describe, expect, it } from "vitest";
import { Captions, join } from "../src/captions";

function captions() {
  const changed: string[] = [];
  const made = new Captions((line) => changed.push(`${line.speaker}: ${line.text}${line.interim && `[${line.interim}]`}`));
  return { made, changed, last: () => changed.at(-1) };
}

describe("captions of the character", () => {
  it("come when they are heard", () => {
    const { made, changed } = captions();
    made.expect("Hello,", 1000, 0);
    made.expect("there", 2000, 0);
    made.advance(500, 10);
    expect(changed).toEqual([]);
    made.advance(1500, 20);
    expect(changed).toEqual(["character: Hello,"]);
    made.advance(2500, 30);
    expect(changed.at(-1)).toBe("character: Hello, there");
  });

  it("do not wait for a sound that never comes", () => {
    const { made, last } = captions();
    made.expect("Hello", 1e9, 0);
    made.advance(0, 60_000);
    expect(last()).toBe("character: Hello");
    made.expect("there", 1e9, 60_000);
    made.advance(null, 60_001);
    expect(last()).toBe("character: Hello there");
  });

  it("end where the character was interrupted", () => {
    const { made } = captions();
    made.expect("One", 1000, 0);
    made.expect("two", 2000, 0);
    made.advance(1000, 0);
    made.flush(5000, true);
    made.advance(9000, 0);
    expect(made.lines).toMatchObject([{ text: "One", cut: true, open: false }]);
  });

  it("go on in the same line when it was no interruption", () => {
    const { made } = captions();
    made.expect("One", 1000, 0);
    made.advance(1000, 0);
    made.flush(1500, false);
    made.expect("two", 2000, 0);
    made.advance(2000, 0);
    expect(made.lines).toMatchObject([{ text: "One two", cut: false }]);
  });

  it("begin a new line with each answer", () => {
    const { made } = captions();
    made.expect("One.", 1, 0);
    made.advance(1, 0);
    made.done();
    made.expect("Two.", 2, 0);
    made.advance(2, 0);
    expect(made.lines.map((line) => line.text)).toEqual(["One.", "Two."]);
  });
});

describe("captions of the user", () => {
  it("may change until they are final, and go on after that", () => {
    const { made, last } = captions();
    made.understood("who", false);
    made.understood("who pain", false);
    expect(last()).toBe("user: [who pain]");
    made.understood("Who painted", true);
    expect(last()).toBe("user: Who painted");
    made.understood("the Mona Lisa?", true);
    expect(last()).toBe("user: Who painted the Mona Lisa?");
  });

  it("make place for the answer", () => {
    const { made } = captions();
    made.understood("Who?", true);
    made.expect("Leonardo.", 1, 0);
    made.advance(1, 0);
    made.understood("When?", true);
    expect(made.lines.map(({ speaker, text }) => [speaker, text])).toEqual([
      ["user", "Who?"],
      ["character", "Leonardo."],
      ["user", "When?"],
    ]);
  });

  it("are a line each when they are written", () => {
    const { made } = captions();
    made.wrote("One");
    made.wrote("Two");
    expect(made.lines.map((line) => line.text)).toEqual(["One", "Two"]);
  });
});

it("the log is bounded", () => {
  const { made } = captions();
  for (let i = 0; i < 1000; i++) made.wrote("x");
  expect(made.lines.length).toBe(200);
});

it.each([
  ["", "a", "a"],
  ["a", "b", "a b"],
  ["a", ", b", "a, b"],
  ["a ", "b", "a b"],
  ["a", " b", "a b"],
  ["(", "b", "(b"],
  ["It", "’s", "It’s"],
  ["a", "", "a"],
])("%j and %j make %j", (before, after, whole) => {
  expect(join(before, after)).toBe(whole);
});
