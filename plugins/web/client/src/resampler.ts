/** Changes the rate of mono sound that comes in pieces. Pure. */

/** Lobes of the filter on each side. */
const LOBES = 12;
const PHASES = 128;
/** Where the filter begins to close, relative to the lower rate's highest frequency. */
const PASS = 0.92;

export class Resampler {
  readonly #step: number;
  readonly #half: number;
  readonly #taps: Float32Array;
  #history: Float32Array;
  /** Of the next output, in samples from the start of the history. */
  #position: number;

  /** `from`, `to`: samples a second. */
  constructor(from: number, to: number) {
    this.#step = from / to;
    const cutoff = Math.min(1, to / from) * PASS;
    this.#half = Math.ceil(LOBES / cutoff);
    this.#taps = designTaps(this.#half, cutoff);
    this.#history = new Float32Array(this.#half);
    this.#position = this.#half;
  }

  /** Samples at the new rate, as far as they can be told from what came. */
  process(input: Float32Array): Float32Array {
    const have = new Float32Array(this.#history.length + input.length);
    have.set(this.#history);
    have.set(input, this.#history.length);
    const count = Math.max(0, Math.ceil((have.length - this.#half - this.#position) / this.#step));
    const out = new Float32Array(count);
    for (let i = 0; i < count; i++) out[i] = this.#at(have, this.#position + i * this.#step);
    const next = this.#position + count * this.#step;
    const keep = Math.max(0, Math.floor(next) - this.#half);
    this.#history = have.slice(keep);
    this.#position = next - keep;
    return out;
  }

  #at(have: Float32Array, position: number): number {
    const whole = Math.floor(position);
    const phase = Math.round((position - whole) * PHASES);
    const width = 2 * this.#half;
    let sum = 0;
    for (let tap = 0; tap < width; tap++) {
      sum += (have[whole - this.#half + 1 + tap] ?? 0) * (this.#taps[phase * width + tap] as number);
    }
    return sum;
  }
}

/** For each phase (0 to PHASES) the weights of the samples from `half - 1` before to `half` after. */
function designTaps(half: number, cutoff: number): Float32Array {
  const width = 2 * half;
  const taps = new Float32Array((PHASES + 1) * width);
  for (let phase = 0; phase <= PHASES; phase++) {
    let sum = 0;
    for (let tap = 0; tap < width; tap++) {
      const x = tap - half + 1 - phase / PHASES;
      const window = 0.5 + 0.5 * Math.cos((Math.PI * x) / (half + 1));
      const angle = Math.PI * x * cutoff;
      const weight = (angle === 0 ? 1 : Math.sin(angle) / angle) * window;
      taps[phase * width + tap] = weight;
      sum += weight;
    }
    for (let tap = 0; tap < width; tap++) (taps[phase * width + tap] as number) /= sum || 1;
  }
  return taps;
}

/** Samples from -1 to 1 as 16-bit ones. */
export function toInt16(samples: Float32Array): Int16Array<ArrayBuffer> {
  return Int16Array.from(samples, (sample) => Math.round(Math.max(-1, Math.min(1, sample)) * 32767));
}

/** 16-bit little-endian samples as ones from -1 to 1. A byte too many is left out. */
export function fromInt16(bytes: Uint8Array): Float32Array {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const samples = new Float32Array(bytes.byteLength >> 1);
  for (let i = 0; i < samples.length; i++) samples[i] = view.getInt16(2 * i, true) / 32768;
  return samples;
}
