/**
 * The sound that waits to be heard, and how much of it should. Pure: no clock of its own, no Web Audio.
 *
 * How far the playhead lies behind the fastest packets ("lag") is held at a target that follows how unevenly packets
 * arrive. Only silence is stretched or shortened for that.
 */

/** A decoded piece of sound; `pts` in microseconds, `turn` 0 when nobody speaks. */
export interface Sound {
  samples: Float32Array;
  pts: number;
  turn: number;
}

export interface JitterState {
  /** What the next sample is, in microseconds; null before the first sound. */
  pts: number | null;
  /** Whether the playhead moves: not while sound is missing or held back. */
  moving: boolean;
  /** Sound that waits, in ms. */
  buffered: number;
  /** The lag that is aimed for, in ms. */
  target: number;
  /** How often speech broke off for want of sound. */
  underruns: number;
  /** How often waiting sound was skipped because there was far too much of it. */
  resyncs: number;
  /** Pieces that came twice or too late. */
  refused: number;
}

export const LEAST_TARGET_MS = 80;
export const MOST_TARGET_MS = 600;
/** Until the link is known; a page that just opened is busy with itself. */
const FIRST_TARGET_MS = 150;
const KNOWN = 50;
/** On top of what the arrivals ask for. */
export const MARGIN_MS = 30;
/** Waiting sound above the target from which on it is skipped at once, speech or not. */
export const FAR_OFF_MS = 700;
/** Never more than this waits, whoever reads or doesn't. */
export const MOST_BUFFERED_MS = 2000;
const QUIET = 0.004;
const UNDERRUN_MS = 40;
const PENALTY_DECAY_MS = 2;
const SHRINK_MS = 20;
const WINDOW = 512;
const REVIEW_SECONDS = 0.5;
const BUCKET_SECONDS = 10;
/** The part of the arrivals that the distance is for: one short stall in ten seconds does not count. */
const SHARE = 0.96;
/** Stop adjusting this close to the target, begin this far from it. */
const NEAR_MS = 3;
const TOO_LITTLE_MS = 12;
const TOO_MUCH_MS = 20;
/** One block of so many is held or left out. */
const GENTLY = 8;
const QUICKLY = 3;
const VERY_MUCH_MS = 150;
/** The longest a word is held back for the depth to be rebuilt. */
const PREROLL_MS = 120;
/** A step in the signal fades within about 5 ms. */
const FADE_SECONDS = 0.0012;

export class JitterBuffer {
  readonly #rate: number;
  readonly #queue: Sound[] = [];
  /** Samples of the first piece that were played. */
  #offset = 0;
  #depth = 0;
  #end: number | null = null;
  #moving = false;
  #filling = true;
  /** After a flush: what comes is played as it comes, until the depth is rebuilt. */
  #thin = false;
  #speaking = false;
  #preroll = 0;
  #adjusting = 0;
  #blocks = 0;
  #last = 0;
  #residual = 0;
  #jumped = false;
  readonly #fade: number;
  readonly #arrivals: Arrivals = new Arrivals();
  #underruns = 0;
  #resyncs = 0;
  #refused = 0;

  /** `rate`: samples a second of all sound that is pushed and read. */
  constructor(rate: number) {
    this.#rate = rate;
    this.#fade = Math.exp(-1 / (FADE_SECONDS * rate));
  }

  get state(): JitterState {
    return {
      pts: this.#playhead(),
      moving: this.#moving,
      buffered: this.#ms(this.#depth),
      target: this.#arrivals.target,
      underruns: this.#underruns,
      resyncs: this.#resyncs,
      refused: this.#refused,
    };
  }

  /** Take a piece that arrived at `now` (seconds of the clock that `read` is called with). */
  push(sound: Sound, now: number): void {
    const duration = this.#micros(sound.samples.length);
    if (duration === 0 || (this.#end !== null && sound.pts + duration <= this.#end + 1000)) {
      this.#refused += 1;
      return;
    }
    this.#arrivals.note(sound.pts, now);
    this.#queue.push(sound);
    this.#end = sound.pts + duration;
    this.#depth += sound.samples.length;
    if (this.#ms(this.#depth) > MOST_BUFFERED_MS) this.#resync();
  }

  /** Drop what has a pts before `at`; the playhead jumps there. */
  flush(at: number): void {
    while (this.#queue.length > 0) {
      const first = this.#queue[0] as Sound;
      const begin = first.pts + this.#micros(this.#offset);
      if (begin >= at) break;
      const left = first.samples.length - this.#offset;
      // A packet is longer than a rounding error: what straddles `at` by less than that belongs behind it.
      const cut = Math.round(((at - begin) * this.#rate) / 1e6);
      if (cut < left) {
        this.#skip(cut);
        break;
      }
      this.#skip(left);
    }
    if (this.#queue.length === 0 && (this.#end === null || this.#end < at)) this.#end = at;
    this.#thin = true;
    this.#filling = false;
    this.#speaking = false;
    this.#preroll = 0;
    this.#jumped = true;
  }

  /** A new connection begins: forget what waits, and wait for its sound. */
  restart(): void {
    this.#skip(this.#depth);
    this.#end = null;
    this.#filling = true;
    this.#thin = this.#speaking = this.#moving = false;
    this.#arrivals.restart();
  }

  /** Write the next block; silence where there is nothing to hear. */
  read(out: Float32Array, now: number): void {
    this.#arrivals.review(now);
    this.#moving = this.#ready(now);
    let written = 0;
    if (this.#moving) {
      this.#adjust(out.length, now);
      if (this.#moving) written = this.#copy(out);
    }
    if (written < out.length) {
      this.#say(out, written, null, 0, out.length - written);
      this.#jumped = true;
    }
  }

  /** Whether the next block is played. */
  #ready(now: number): boolean {
    const first = this.#queue[0];
    if (first === undefined) {
      if (this.#end !== null && !this.#filling && !this.#thin) this.#ranDry();
      return false;
    }
    const short = this.#arrivals.target - this.#lag(now);
    if (this.#filling) {
      if (short > 0) return false;
      this.#filling = false;
    }
    if (this.#thin && short <= TOO_LITTLE_MS) this.#thin = false;
    const speaking = first.turn !== 0;
    if (speaking && !this.#speaking && short > TOO_LITTLE_MS && this.#preroll < PREROLL_MS) {
      this.#preroll += this.#ms(128);
      return false;
    }
    this.#preroll = 0;
    this.#speaking = speaking;
    return true;
  }

  #ranDry(): void {
    if (this.#speaking) {
      this.#underruns += 1;
      this.#arrivals.punish();
    }
    this.#filling = true;
  }

  /** In silence, come nearer to the target: hold this block, or leave one out. */
  #adjust(block: number, now: number): void {
    if (this.#ms(this.#depth) > this.#arrivals.target + FAR_OFF_MS) {
      this.#resync();
      return;
    }
    const excess = this.#lag(now) - this.#arrivals.target;
    if (excess < -TOO_LITTLE_MS) this.#adjusting = -1;
    else if (excess > TOO_MUCH_MS) this.#adjusting = 1;
    else if (Math.abs(excess) < NEAR_MS) this.#adjusting = 0;
    if (this.#adjusting === 0 || this.#adjusting * excess < 0) return;
    this.#blocks += 1;
    if (this.#blocks % (excess > VERY_MUCH_MS ? QUICKLY : GENTLY) !== 0 || !this.#quiet(block)) return;
    if (this.#adjusting < 0) this.#moving = false;
    else if (this.#depth > 2 * block && this.#ms(this.#depth) > MARGIN_MS) this.#skip(block);
  }

  #quiet(samples: number): boolean {
    const first = this.#queue[0] as Sound;
    if (first.turn !== 0) return false;
    const end = Math.min(this.#offset + 2 * samples, first.samples.length);
    for (let i = this.#offset; i < end; i++) if (Math.abs(first.samples[i] as number) > QUIET) return false;
    return true;
  }

  #copy(out: Float32Array): number {
    let written = 0;
    while (written < out.length && this.#queue.length > 0) {
      const first = this.#queue[0] as Sound;
      const count = Math.min(out.length - written, first.samples.length - this.#offset);
      this.#say(out, written, first.samples, this.#offset, count);
      this.#take(count);
      written += count;
    }
    return written;
  }

  /** Write samples (or silence) so that a step to them fades. */
  #say(out: Float32Array, at: number, from: Float32Array | null, offset: number, count: number): void {
    if (count > 0 && this.#jumped) {
      this.#residual = this.#last - (from === null ? 0 : (from[offset] as number));
      this.#jumped = false;
    } else if (count > 0 && from === null) {
      this.#residual = this.#last;
    }
    for (let i = 0; i < count; i++) {
      const sample = (from === null ? 0 : (from[offset + i] as number)) + this.#residual;
      out[at + i] = sample;
      this.#last = sample;
      this.#residual *= this.#fade;
    }
    if (Math.abs(this.#residual) < 1e-5) this.#residual = 0;
  }

  #resync(): void {
    const keep = Math.round((this.#arrivals.target * this.#rate) / 1000);
    this.#skip(Math.max(0, this.#depth - keep));
    this.#resyncs += 1;
  }

  #skip(samples: number): void {
    if (samples > 0) this.#jumped = true;
    for (let left = samples; left > 0 && this.#queue.length > 0; ) {
      const count = Math.min(left, (this.#queue[0] as Sound).samples.length - this.#offset);
      this.#take(count);
      left -= count;
    }
  }

  #take(samples: number): void {
    this.#offset += samples;
    this.#depth -= samples;
    const first = this.#queue[0] as Sound;
    if (this.#offset < first.samples.length) return;
    this.#queue.shift();
    this.#offset = 0;
    const next = this.#queue[0];
    if (next !== undefined && Math.abs(next.pts - first.pts - this.#micros(first.samples.length)) > 5000) {
      this.#jumped = true;
    }
  }

  #playhead(): number | null {
    const first = this.#queue[0];
    return first === undefined ? this.#end : first.pts + this.#micros(this.#offset);
  }

  #lag(now: number): number {
    return this.#arrivals.fastest(now) / 1000 - (this.#playhead() ?? 0) / 1000;
  }

  #ms(samples: number): number {
    return (samples * 1000) / this.#rate;
  }

  #micros(samples: number): number {
    return (samples * 1e6) / this.#rate;
  }
}

/** How unevenly packets arrive: each one's delay against the fastest of the last 10 to 20 seconds. */
class Arrivals {
  /** Lag to aim for, in ms. */
  target = FIRST_TARGET_MS;
  /** The shortest way (arrival minus pts, in microseconds) in this bucket of time and in the one before. */
  #current = Infinity;
  #previous = Infinity;
  #bucketEnd = -Infinity;
  readonly #ways = new Float64Array(WINDOW);
  readonly #delays = new Float64Array(WINDOW);
  #count = 0;
  #reviewed = -Infinity;
  #penalty = 0;

  note(pts: number, now: number): void {
    const way = now * 1e6 - pts;
    if (now >= this.#bucketEnd) {
      this.#previous = this.#current;
      this.#current = Infinity;
      this.#bucketEnd = now + BUCKET_SECONDS;
    }
    this.#current = Math.min(this.#current, way);
    this.#ways[this.#count % WINDOW] = way;
    this.#count += 1;
  }

  /** The pts (microseconds) that a packet on the fastest way would have, arriving now. */
  fastest(now: number): number {
    return now * 1e6 - Math.min(this.#current, this.#previous);
  }

  /** Follow the last arrivals: up at once, down slowly. */
  review(now: number): void {
    if (now - this.#reviewed < REVIEW_SECONDS) return;
    this.#reviewed = now;
    const known = Math.min(this.#count, WINDOW);
    if (known < KNOWN) return;
    this.#penalty = Math.max(0, this.#penalty - PENALTY_DECAY_MS * REVIEW_SECONDS);
    const least = Math.min(this.#current, this.#previous);
    const delays = this.#delays.subarray(0, known);
    for (let i = 0; i < known; i++) delays[i] = (this.#ways[i] as number) - least;
    delays.sort();
    const spread = (delays[Math.floor((known - 1) * SHARE)] as number) / 1000;
    const wanted = Math.min(MOST_TARGET_MS, Math.max(LEAST_TARGET_MS, spread + MARGIN_MS + this.#penalty));
    this.target = Math.max(wanted, this.target - SHRINK_MS * REVIEW_SECONDS);
  }

  /** Speech broke off. */
  punish(): void {
    this.#penalty = Math.min(this.#penalty + UNDERRUN_MS, MOST_TARGET_MS);
    this.target = Math.min(MOST_TARGET_MS, this.target + UNDERRUN_MS);
  }

  restart(): void {
    this.#current = this.#previous = Infinity;
    this.#bucketEnd = -Infinity;
    this.#count = 0;
    this.#reviewed = -Infinity;
  }
}
