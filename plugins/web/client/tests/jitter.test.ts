import { describe, expect, it } from "vitest";
import { JitterBuffer, LEAST_TARGET_MS, MOST_BUFFERED_MS, MOST_TARGET_MS } from "../src/jitter";

const RATE = 48_000;
const BLOCK = 128;
const PIECE = 960;
const PIECE_MICROS = 20_000;
const LOUD = 0.5;

interface Arrival {
  at: number;
  pts: number;
  turn: number;
  value: number;
}

/** Plays a buffer in simulated time: pieces of 20 ms arrive, blocks are read. */
class Simulation {
  readonly buffer = new JitterBuffer(RATE);
  readonly heard: { now: number; pts: number; level: number }[] = [];
  now = 0;
  #block = new Float32Array(BLOCK);
  #arrivals: Arrival[] = [];

  /** Sound from `begin` to `end` (seconds) of a turn; each piece is `delay` seconds late. */
  send(begin: number, end: number, turn: number, delay: (index: number) => number = () => 0): void {
    for (let i = Math.round(begin * 50); i < Math.round(end * 50); i++) {
      const value = turn === 0 ? 0 : LOUD;
      this.#arrivals.push({ at: (i + 1) / 50 + delay(i), pts: i * PIECE_MICROS, turn, value });
    }
    // A socket keeps the order: what comes after something late is late too.
    let last = 0;
    for (const arrival of this.#arrivals) last = arrival.at = Math.max(arrival.at, last);
  }

  run(until: number): void {
    for (; this.now < until; this.now += BLOCK / RATE) {
      while (this.#arrivals[0] !== undefined && this.#arrivals[0].at <= this.now) {
        const { pts, turn, value } = this.#arrivals.shift() as Arrival;
        this.buffer.push({ samples: new Float32Array(PIECE).fill(value), pts, turn }, this.now);
      }
      const pts = this.buffer.state.pts ?? NaN;
      this.buffer.read(this.#block, this.now);
      this.heard.push({ now: this.now, pts, level: Math.abs(this.#block[BLOCK - 1] as number) });
    }
  }

  /** Ms from a piece's being sent to its being heard. */
  get distance(): number {
    return this.now * 1000 - (this.buffer.state.pts ?? 0) / 1000;
  }

  loudFrom(time: number): number {
    return this.heard.find(({ now, level }) => now >= time && level > LOUD / 2)?.now ?? Infinity;
  }
}

const jumpy = (most: number) => (index: number) => (((index * 7919) % 97) / 97) * most;

describe("sound that waits", () => {
  it("is heard at a small distance on a good link", () => {
    const link = new Simulation();
    link.send(0, 30, 0);
    link.run(30);
    expect(link.buffer.state.target).toBe(LEAST_TARGET_MS);
    expect(link.distance).toBeGreaterThan(60);
    expect(link.distance).toBeLessThan(140);
    expect(link.buffer.state.moving).toBe(true);
  });

  it("keeps a greater distance where packets come unevenly, and a small one again when they don't", () => {
    const link = new Simulation();
    link.send(0, 20, 0, jumpy(0.25));
    link.send(20, 80, 0);
    link.run(20);
    expect(link.buffer.state.target).toBeGreaterThan(200);
    expect(link.buffer.state.target).toBeLessThanOrEqual(MOST_TARGET_MS);
    link.run(80);
    expect(link.buffer.state.target).toBeLessThan(120);
    expect(link.distance).toBeLessThan(180);
  });

  it("does not break off within its distance, and counts when it does", () => {
    const link = new Simulation();
    link.send(0, 3, 0);
    link.send(3, 8, 1, (i) => (i === 200 ? 0.03 : 0));
    link.run(7.9);
    expect(link.buffer.state.underruns).toBe(0);
    const other = new Simulation();
    other.send(0, 3, 0);
    other.send(3, 8, 1, (i) => (i === 200 ? 0.4 : 0));
    other.run(7.9);
    expect(other.buffer.state.underruns).toBe(1);
    expect(other.buffer.state.target).toBeGreaterThan(LEAST_TARGET_MS);
  });

  it("is never stretched or shortened while somebody speaks", () => {
    const link = new Simulation();
    link.send(0, 2, 0);
    link.send(2, 12, 1, (i) => (i === 150 ? 0.3 : 0));
    link.run(11.5);
    const steps = link.heard.filter(({ now }) => now > 4).map(({ pts }) => pts);
    const usual = (BLOCK / RATE) * 1e6;
    for (let i = 1; i < steps.length; i++) expect((steps[i] as number) - (steps[i - 1] as number)).toBeCloseTo(usual, 0);
  });

  it("is bounded, whether anybody reads or not", () => {
    const buffer = new JitterBuffer(RATE);
    for (let i = 0; i < 1000; i++) {
      buffer.push({ samples: new Float32Array(PIECE), pts: i * PIECE_MICROS, turn: 1 }, 0);
      expect(buffer.state.buffered).toBeLessThanOrEqual(MOST_BUFFERED_MS);
    }
    expect(buffer.state.resyncs).toBeGreaterThan(0);
  });

  it("comes once: what is repeated or late is refused", () => {
    const buffer = new JitterBuffer(RATE);
    const piece = () => ({ samples: new Float32Array(PIECE), pts: 0, turn: 0 });
    buffer.push(piece(), 0);
    buffer.push(piece(), 0);
    expect(buffer.state.refused).toBe(1);
    expect(buffer.state.buffered).toBe(20);
  });

  it("waits anew after a restart, whatever the time line says then", () => {
    const link = new Simulation();
    link.send(0, 2, 1);
    link.run(2);
    link.buffer.restart();
    expect(link.buffer.state).toMatchObject({ pts: null, buffered: 0, moving: false });
    link.buffer.push({ samples: new Float32Array(PIECE), pts: 0, turn: 0 }, link.now);
    expect(link.buffer.state.pts).toBe(0);
  });
});

describe("a cut", () => {
  function cut(): Simulation {
    const link = new Simulation();
    link.send(0, 1, 0);
    link.send(1, 3, 1);
    link.run(3);
    return link;
  }

  it("silences what waits within 5 ms, without a step", () => {
    const link = cut();
    const block = new Float32Array(BLOCK);
    link.buffer.read(block, link.now);
    let before = block[BLOCK - 1] as number;
    expect(before).toBeCloseTo(LOUD);
    link.buffer.flush(3_000_000);
    const after = new Float32Array(480);
    for (let i = 0; i < after.length; i += BLOCK / 4) link.buffer.read(after.subarray(i, i + BLOCK / 4), link.now);
    for (const sample of after) {
      expect(Math.abs(sample - before)).toBeLessThan(0.02);
      before = sample;
    }
    expect(Math.abs(after[240] as number)).toBeLessThan(0.02);
  });

  it("moves the playhead, and what comes then is played as it comes", () => {
    const link = cut();
    link.buffer.flush(3_000_000);
    expect(link.buffer.state.pts).toBe(3_000_000);
    link.send(3, 10, 0);
    link.run(3.1);
    expect(link.distance).toBeLessThan(45);
  });

  it("is followed by slow stretching until the distance is the usual one", () => {
    const link = cut();
    link.buffer.flush(3_000_000);
    link.send(3, 10, 0);
    link.run(3.3);
    const soon = link.distance;
    link.run(6);
    expect(link.distance).toBeGreaterThan(soon + 15);
    expect(link.distance).toBeGreaterThan(75);
    const steps = link.heard.filter(({ now }) => now > 3.1 && now < 6);
    for (let i = 1; i < steps.length; i++) {
      expect((steps[i] as { pts: number }).pts).toBeGreaterThanOrEqual((steps[i - 1] as { pts: number }).pts);
    }
    expect(link.buffer.state.underruns).toBe(0);
  });

  it("keeps what lies behind it", () => {
    const link = cut();
    link.send(3, 3.2, 0);
    link.send(3.2, 5, 2);
    link.run(3.29);
    link.buffer.flush(3_200_000);
    expect(link.buffer.state.pts).toBe(3_200_000);
    expect(link.buffer.state.buffered).toBeGreaterThan(50);
    link.run(4);
    expect(link.loudFrom(3.29)).toBeLessThan(3.5);
  });

  it("in the middle of a piece splits it", () => {
    const buffer = new JitterBuffer(RATE);
    buffer.push({ samples: new Float32Array(PIECE), pts: 0, turn: 1 }, 0);
    buffer.flush(5000);
    expect(buffer.state.pts).toBe(5000);
    expect(buffer.state.buffered).toBe(15);
  });
});
