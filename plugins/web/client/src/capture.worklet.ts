/** Makes packets of what a microphone hears. Speaks with microphone.ts. */

import { Resampler, toInt16 } from "./resampler";

/** 20 ms at 16 kHz, 16 bit; `level`: the loudest sample in it, from 0 to 1. */
export interface FromCapture {
  pcm: ArrayBuffer;
  level: number;
}

const RATE = 16_000;
const PACKET = RATE / 50;

class CaptureProcessor extends AudioWorkletProcessor {
  readonly #resampler: Resampler | null = sampleRate === RATE ? null : new Resampler(sampleRate, RATE);
  readonly #packet = new Float32Array(PACKET);
  #filled = 0;

  process(inputs: Float32Array[][]): boolean {
    const channels = inputs[0] ?? [];
    const first = channels[0];
    if (first === undefined) return true;
    const mono = first.slice();
    for (const channel of channels.slice(1)) channel.forEach((sample, i) => ((mono[i] as number) += sample));
    if (channels.length > 1) mono.forEach((sample, i) => (mono[i] = sample / channels.length));
    const samples = this.#resampler?.process(mono) ?? mono;
    for (let taken = 0; taken < samples.length; ) {
      const count = Math.min(samples.length - taken, PACKET - this.#filled);
      this.#packet.set(samples.subarray(taken, taken + count), this.#filled);
      taken += count;
      this.#filled += count;
      if (this.#filled === PACKET) this.#send();
    }
    return true;
  }

  #send(): void {
    this.#filled = 0;
    const level = this.#packet.reduce((most, sample) => Math.max(most, Math.abs(sample)), 0);
    const pcm = toInt16(this.#packet).buffer;
    const message: FromCapture = { pcm, level };
    this.port.postMessage(message, [pcm]);
  }
}

registerProcessor("capture", CaptureProcessor);
