/** Pictures that wait for their sound: encoded ones, and the few that are decoded ahead. Pure. */

import type { Packet } from "./protocol";

/** Like a VideoFrame: `timestamp` in microseconds, and memory that must be given back. */
export interface Picture {
  readonly timestamp: number;
  close(): void;
}

/** Decoded pictures, in order. Whoever takes one closes it. */
export class FrameQueue<F extends Picture> {
  /** Pictures that were never shown. */
  dropped = 0;
  readonly #frames: F[] = [];
  readonly #most: number;
  #floor: number | null = null;
  #rushing = false;
  #first = true;

  constructor(most: number) {
    this.#most = most;
  }

  get length(): number {
    return this.#frames.length;
  }

  push(frame: F): void {
    if (this.#floor !== null && frame.timestamp < this.#floor) {
      frame.close();
      this.dropped += 1;
      return;
    }
    this.#frames.push(frame);
    if (this.#frames.length > this.#most) this.#drop(1);
  }

  /** Drop what has a pts before `at`; what comes after is shown as it comes, until the sound has got there. */
  flush(at: number): void {
    this.#floor = at;
    this.#rushing = true;
    let old = 0;
    while ((this.#frames[old]?.timestamp ?? Infinity) < at) old += 1;
    this.#drop(old);
  }

  /** The newest picture whose pts is not after `heard`, or null; older ones are dropped. */
  take(heard: number | null): F | null {
    let due = 0;
    if (heard === null) {
      // Nothing is heard yet: the first picture stands until then.
      due = this.#first ? Math.min(1, this.#frames.length) : 0;
    } else {
      if (this.#rushing && heard >= (this.#floor as number)) this.#rushing = false;
      const limit = this.#rushing ? Infinity : heard;
      const later = this.#frames.findIndex((frame) => frame.timestamp > limit);
      due = later === -1 ? this.#frames.length : later;
    }
    if (due === 0) return null;
    this.#first = false;
    this.#drop(due - 1);
    return this.#frames.shift() as F;
  }

  /** A new connection begins. */
  restart(): void {
    this.clear();
    this.#floor = null;
    this.#rushing = false;
    this.#first = true;
  }

  clear(): void {
    this.#drop(this.#frames.length);
  }

  #drop(count: number): void {
    for (const frame of this.#frames.splice(0, count)) frame.close();
    this.dropped += count;
  }
}

/** Encoded pictures, in order and without holes: after a hole comes a key frame, or nothing. */
export class PacketQueue {
  dropped = 0;
  readonly #packets: Packet[] = [];
  readonly #most: number;
  #needsKey = true;
  #sequence: number | null = null;

  constructor(most: number) {
    this.#most = most;
  }

  get length(): number {
    return this.#packets.length;
  }

  get needsKey(): boolean {
    return this.#needsKey;
  }

  /** Take a packet; false when a key frame must be asked for. */
  push(packet: Packet): boolean {
    const follows = this.#sequence === null || packet.sequence === (this.#sequence + 1) >>> 0;
    this.#sequence = packet.sequence;
    if (packet.key) {
      this.#needsKey = false;
    } else if (this.#needsKey || !follows) {
      const asked = this.#needsKey;
      this.#needsKey = true;
      this.dropped += 1;
      return asked && follows;
    }
    this.#packets.push(packet);
    if (this.#packets.length <= this.#most) return true;
    return this.skipToKey();
  }

  /** The next one to decode. */
  shift(): Packet | undefined {
    return this.#packets.shift();
  }

  peek(): Packet | undefined {
    return this.#packets[0];
  }

  /** Leave out everything before the newest key frame (but the one at the front); false when one must be asked for. */
  skipToKey(): boolean {
    const key = this.#packets.findLastIndex((packet) => packet.key);
    if (key > 0) {
      this.#forget(key);
      return true;
    }
    this.#forget(this.#packets.length);
    this.#needsKey = true;
    return false;
  }

  /** The decoder lost its thread, or nobody looks: begin again with a key frame. */
  restart(): void {
    this.#forget(this.#packets.length);
    this.#needsKey = true;
    this.#sequence = null;
  }

  #forget(count: number): void {
    this.#packets.splice(0, count);
    this.dropped += count;
  }
}
