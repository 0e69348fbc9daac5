import { describe, expect, it } from "vitest";
import { SteadyTime, Track } from "../src/clock";

describe("the way of the playhead", () => {
  it("is known between two reports", () => {
    const track = new Track();
    expect(track.at(1)).toBeNull();
    track.note({ time: 1, pts: 500_000, moving: true });
    track.note({ time: 1.02, pts: 520_000, moving: true });
    expect(track.at(1.01)).toBeCloseTo(510_000);
    expect(track.at(1.03)).toBeCloseTo(530_000);
    expect(track.at(0.9)).toBe(500_000);
  });

  it("stands while sound is missing, and does not run ahead of where it was held", () => {
    const track = new Track();
    track.note({ time: 1, pts: 500_000, moving: true });
    track.note({ time: 1.02, pts: 512_000, moving: false });
    track.note({ time: 1.04, pts: 512_000, moving: true });
    expect(track.at(1.018)).toBe(512_000);
    expect(track.at(1.03)).toBe(512_000);
    expect(track.at(1.05)).toBeCloseTo(522_000);
  });

  it("jumps with a cut", () => {
    const track = new Track();
    track.note({ time: 1, pts: 500_000, moving: true });
    track.note({ time: 1.02, pts: 900_000, moving: true });
    expect(track.at(1.01)).toBeCloseTo(510_000);
    expect(track.at(1.02)).toBe(900_000);
  });
});

describe("an audio context's time", () => {
  it("is steady though it advances by buffers", () => {
    const time = new SteadyTime();
    const found: number[] = [];
    for (let ms = 0; ms < 1000; ms += 7) {
      const now = ms / 1000;
      const stepped = Math.floor(now / 0.02) * 0.02;
      found.push(time.at(stepped, now));
    }
    for (let i = 20; i < found.length; i++) expect((found[i] as number) - (found[i - 1] as number)).toBeCloseTo(0.007, 3);
  });

  it("follows a context that was suspended", () => {
    const time = new SteadyTime();
    time.at(5, 100);
    expect(time.at(5, 160)).toBeCloseTo(5);
    expect(time.at(5.1, 160.1)).toBeCloseTo(5.1);
  });
});
