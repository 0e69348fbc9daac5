import { describe, expect, it } from "vitest";
import { PacketQueue } from "../src/frames";
import { Kind, type Packet } from "../src/protocol";

const picture = (sequence: number, key = false): Packet => ({
  kind: Kind.video,
  key,
  turn: 0,
  sequence,
  pts: sequence * 40_000,
  payload: new Uint8Array(1),
});

describe("encoded pictures that wait", () => {
  it("begin with a key frame", () => {
    const queue = new PacketQueue(8);
    queue.push(picture(0));
    expect(queue.length).toBe(0);
    expect(queue.push(picture(1, true))).toBe(true);
    expect(queue.push(picture(2))).toBe(true);
    expect(queue.length).toBe(2);
  });

  it("ask for a key frame after a hole, and wait for it", () => {
    const queue = new PacketQueue(8);
    queue.push(picture(0, true));
    expect(queue.push(picture(2))).toBe(false);
    queue.push(picture(3));
    expect(queue.length).toBe(1);
    expect(queue.push(picture(9, true))).toBe(true);
    expect(queue.length).toBe(2);
  });

  it("skip to the newest key frame when there are too many", () => {
    const queue = new PacketQueue(8);
    for (let i = 0; i < 12; i++) expect(queue.push(picture(i, i % 6 === 0))).toBe(true);
    expect(queue.peek()?.sequence).toBe(6);
    expect(queue.length).toBe(6);
    expect(queue.dropped).toBe(6);
  });

  it("are dropped and a key frame is asked for when there is none to skip to", () => {
    const queue = new PacketQueue(8);
    const asked = Array.from({ length: 12 }, (_, i) => !queue.push(picture(i, i === 0)));
    expect(asked.indexOf(true)).toBe(8);
    expect(queue.length).toBe(0);
    expect(queue.needsKey).toBe(true);
  });
});
