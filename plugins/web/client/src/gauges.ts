/** What is counted of the pictures that are shown. Pure. */

/** A picture shown so many ms behind its sound is late. */
export const LATE_MS = 100;
const MOST_OFFSETS = 4096;
const MOST_UNTOLD = 256;

export class Gauges {
  shown = 0;
  late = 0;
  repeated = 0;
  /** Sound minus picture at each picture first shown, in ms: the last few thousand. */
  readonly offsets: number[] = [];
  /** The longest time between two pictures since the start, in ms. */
  longestGap = 0;
  #untold: number[] = [];
  #gap = 0;
  #last: number | null = null;
  readonly #fps: () => number;

  constructor(fps: () => number) {
    this.#fps = fps;
  }

  /** A picture is shown at `now` (ms) that is `offset` ms behind the sound that is heard; null when none is. */
  show(now: number, offset: number | null): void {
    this.shown += 1;
    if (offset !== null) {
      if (offset > LATE_MS) this.late += 1;
      this.offset(offset);
    }
    if (this.#last !== null) {
      const gap = now - this.#last;
      this.repeated += Math.max(0, Math.round((gap * this.#fps()) / 1000) - 1);
      this.#gap = Math.max(this.#gap, gap);
      this.longestGap = Math.max(this.longestGap, gap);
    }
    this.#last = now;
  }

  /** Sound was so many ms ahead of the picture. */
  offset(ms: number): void {
    push(this.offsets, ms, MOST_OFFSETS);
    push(this.#untold, ms, MOST_UNTOLD);
  }

  /** Nobody looks, or the connection is away: what comes next is no gap. */
  pause(): void {
    this.#last = null;
  }

  /** Offsets and longest gap (ms) since the last call. */
  since(): { offsets: number[]; longestGap: number } {
    const found = { offsets: this.#untold, longestGap: this.#gap };
    this.#untold = [];
    this.#gap = 0;
    return found;
  }
}

/** Append to a list that holds the last `most`. */
export function push<T>(list: T[], item: T, most: number): void {
  list.push(item);
  if (list.length > most) list.splice(0, list.length - most);
}
