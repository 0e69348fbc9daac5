import { describe, expect, it } from "vitest";
import { FrameQueue, type Picture } from "../src/frames";

class Frame implements Picture {
  closed = false;
  readonly timestamp: number;
  constructor(timestamp: number) {
    this.timestamp = timestamp;
  }
  close(): void {
    this.closed = true;
  }
}

function queue(...timestamps: number[]): { frames: FrameQueue<Frame>; all: Frame[] } {
  const frames = new FrameQueue<Frame>(16);
  const all = timestamps.map((timestamp) => new Frame(timestamp));
  for (const frame of all) frames.push(frame);
  return { frames, all };
}

describe("pictures that wait for their sound", () => {
  it("shows the newest that is due and drops older ones", () => {
    const { frames, all } = queue(0, 40, 80, 120);
    expect(frames.take(90)?.timestamp).toBe(80);
    expect(all.map((frame) => frame.closed)).toEqual([true, true, false, false]);
    expect(frames.take(90)).toBeNull();
    expect(frames.dropped).toBe(2);
  });

  it("shows the first one before anything is heard, and no more", () => {
    const { frames } = queue(0, 40);
    expect(frames.take(null)?.timestamp).toBe(0);
    expect(frames.take(null)).toBeNull();
  });

  it("shows what follows a cut as it comes, until the sound has got there", () => {
    const { frames, all } = queue(0, 40, 80, 120);
    frames.flush(100);
    expect(all.map((frame) => frame.closed)).toEqual([true, true, true, false]);
    expect(frames.take(10)?.timestamp).toBe(120);
    expect(frames.take(10)).toBeNull();
    frames.push(new Frame(90));
    expect(frames.length).toBe(0);
    frames.push(new Frame(160));
    expect(frames.take(20)?.timestamp).toBe(160);
    frames.push(new Frame(200));
    expect(frames.take(110)).toBeNull();
    expect(frames.take(200)?.timestamp).toBe(200);
  });

  it("holds a bounded number", () => {
    const frames = new FrameQueue<Frame>(3);
    for (let i = 0; i < 10; i++) frames.push(new Frame(i));
    expect(frames.length).toBe(3);
    expect(frames.dropped).toBe(7);
  });
});
