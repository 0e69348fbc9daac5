import { describe, expect, it } from "vitest";
import { fromInt16, Resampler, toInt16 } from "../src/resampler";

const tone = (hertz: number, rate: number, seconds: number) =>
  Float32Array.from({ length: rate * seconds }, (_, i) => Math.sin((2 * Math.PI * hertz * i) / rate));

function resample(input: Float32Array, from: number, to: number, block: number): Float32Array {
  const resampler = new Resampler(from, to);
  const out: number[] = [];
  for (let i = 0; i < input.length; i += block) out.push(...resampler.process(input.subarray(i, i + block)));
  return Float32Array.from(out);
}

const loudness = (samples: Float32Array) => Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);

describe.each([
  [48_000, 16_000],
  [44_100, 16_000],
  [24_000, 48_000],
])("sound from %i to %i samples a second", (from, to) => {
  it("keeps its length, its pitch and its loudness", () => {
    const out = resample(tone(1000, from, 1), from, to, 128);
    expect(Math.abs(out.length - to)).toBeLessThan(to / 100);
    const middle = out.subarray(to / 4, to / 2);
    expect(loudness(middle)).toBeCloseTo(Math.SQRT1_2, 2);
    const crossings = middle.reduce((count, sample, i) => count + (i > 0 && sample >= 0 && (middle[i - 1] as number) < 0 ? 1 : 0), 0);
    expect(Math.abs(crossings - 250)).toBeLessThanOrEqual(1);
  });

  it("is the same however it is cut into pieces", () => {
    const input = tone(440, from, 0.2);
    const whole = resample(input, from, to, input.length);
    const pieces = resample(input, from, to, 100);
    const length = Math.min(whole.length, pieces.length);
    for (let i = 0; i < length; i++) expect(pieces[i]).toBeCloseTo(whole[i] as number, 4);
  });
});

it("leaves out what the lower rate cannot hold", () => {
  expect(loudness(resample(tone(11_000, 48_000, 0.5), 48_000, 16_000, 128))).toBeLessThan(0.01);
});

it("sixteen bits hold every sample, and no more", () => {
  expect([...toInt16(Float32Array.of(0, 1, -1, 2, -2))]).toEqual([0, 32767, -32767, 32767, -32767]);
  const back = fromInt16(new Uint8Array(toInt16(Float32Array.of(0.25, -0.5)).buffer));
  expect(back[0]).toBeCloseTo(0.25, 3);
  expect(back[1]).toBeCloseTo(-0.5, 3);
  expect(fromInt16(Uint8Array.of(0, 0, 7)).length).toBe(1);
});
