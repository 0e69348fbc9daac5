/** Which moment of the character's time line is heard now. Pure. */

/** At `time` (seconds of the audio context) the playhead was at `pts` (microseconds), and moved or not. */
export interface Anchor {
  time: number;
  pts: number;
  moving: boolean;
}

const KEPT = 100;

/** The way of the playhead over the last two seconds. */
export class Track {
  #anchors: Anchor[] = [];

  note(anchor: Anchor): void {
    this.#anchors.push(anchor);
    if (this.#anchors.length > KEPT) this.#anchors.shift();
  }

  /** The pts that was played at this time of the context; null before the first. */
  at(time: number): number | null {
    let next: Anchor | undefined;
    for (let i = this.#anchors.length - 1; i >= 0; i--) {
      const anchor = this.#anchors[i] as Anchor;
      if (anchor.time <= time) {
        if (!anchor.moving) return anchor.pts;
        const pts = anchor.pts + (time - anchor.time) * 1e6;
        // Held pieces and missing sound make the way to the next anchor shorter than the time to it.
        return next !== undefined && next.pts >= anchor.pts ? Math.min(pts, next.pts) : pts;
      }
      next = anchor;
    }
    return next === undefined ? null : next.pts;
  }

  restart(): void {
    this.#anchors = [];
  }
}

/** Follow a clock that drifts by this much, in seconds a second. */
const DRIFT = 0.001;
const JUMP_SECONDS = 0.25;

/**
 * An audio context's time without its steps: `currentTime` advances by whole buffers, so the largest difference to a
 * steady clock is the true one.
 */
export class SteadyTime {
  #difference: number | null = null;
  #noted = 0;

  /** The context's time now. `current`: what it says; `now`: of a steady clock; all in seconds. */
  at(current: number, now: number): number {
    const difference = current - now;
    if (this.#difference === null || Math.abs(difference - this.#difference) > JUMP_SECONDS) {
      this.#difference = difference;
    } else {
      this.#difference = Math.max(difference, this.#difference - DRIFT * (now - this.#noted));
    }
    this.#noted = now;
    return now + this.#difference;
  }
}
